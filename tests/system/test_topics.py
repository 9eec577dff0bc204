"""Clients whose key files are for some topics only: what reaches a service of them, and what is told of the rest."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from support.certificates import SEED, authority_text, issued
from support.client import RawClient
from support.curve import Keys
from support.old import Peer1
from support.peer import Peer, Refused
from support.process import Sidecar, toml
from support.service import RawService

from curveproxy.policy.metadata import CERTIFICATE
from system.endings import ending

TOPICS: dict[str, Any] = {"topics": "orders. bc%2F", "publish-topics": "orders. bc%2F"}


def greets(peer: Peer) -> None:
    peer.handshake()
    peer.hold()


class Front:
    """One proxy before services of several types, and a client of it."""

    def __init__(self, stack: ExitStack) -> None:
        old: dict[str, Any] = {"peer": Peer1}
        self.services = {
            "pub": RawService(socket_type="PUB"),
            "sub": RawService(socket_type="SUB"),
            "old sub": RawService(socket_type="SUB", **old),
            "old": RawService(greets, socket_type="PUB", **old),
        }
        config = ""
        for name, service in self.services.items():
            stack.enter_context(service)
            kind = {"backend_socket_type": "SUB"} if name == "old sub" else {}
            table = {"name": name.replace(" ", "-"), "listen": "tcp://127.0.0.1:0", "backend": service.endpoint, **kind}
            config += toml("[[service]]", {**table, "secret_keys": ["server.key_secret"]})
            config += toml("[service.clients]", {"directory": "clients"})
            config += toml("[[service.clients.authorities]]", {"file": "plant-1.authority"})
        self.proxy = Sidecar(config)
        (self.proxy.directory / "plant-1.authority").write_text(authority_text("plant-1", SEED))
        self.keys = self.proxy.new_client("desk-7", TOPICS)
        stack.enter_context(self.proxy)

    def client(self, name: str, kind: str, keys: Keys | None = None, text: bytes = b"") -> RawClient:
        """One that presents a certificate, if there is one."""
        public, presented = self.proxy.endpoints[name.replace(" ", "-")], {CERTIFICATE: text} if text else {}
        properties = {"Socket-Type": kind.encode(), **presented}
        return RawClient(public, self.proxy.server.public, keys or self.keys, properties=properties)

    @contextmanager
    def session(
        self, name: str, kind: str, keys: Keys | None = None, text: bytes = b""
    ) -> Iterator[tuple[RawClient, Peer]]:
        """A client that is inside, and what its service sees of it."""
        with self.client(name, kind, keys, text) as client:
            client.begin()
            with self.services[name].accept() as behind:
                behind.handshake()
                client.ready()
                yield client, behind
        self.proxy.wait_metric("curveproxy_sessions", 0)  # or the next test would see it end


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with ExitStack() as stack:
        yield Front(stack)


@contextmanager
def told_once(proxy: Sidecar) -> Iterator[None]:
    before = len(proxy.log)
    yield
    (line,) = (line for line in proxy.log[before:] if line["event"] == "invalid message")
    assert (line["reason"], line["client"]) == ("topic", "desk-7")
    assert "nobodys" not in str(line)


def test_what_is_left_out_is_counted_each_time_and_told_once_without_the_topic(front: Front) -> None:
    with (
        front.session("pub", "SUB") as (client, behind),
        ending(front.proxy, {}, {"topic": 5}),
        told_once(front.proxy),
    ):
        client.send([b"\1nobodys"])
        client.send_command(b"SUBSCRIBE", b"nobodys")
        client.send_command(b"SUBSCRIBE", b"orders.7")
        client.send([b"\0nobodys"])
        client.send_command(b"CANCEL", b"nobodys")
        client.send([b"\1"])
        client.send([b"\1bc/"])
        assert [behind.recv(), behind.recv()] == [[b"\1orders.7"], [b"\1bc/"]]


@pytest.mark.parametrize("name", ["sub", "old sub"])
def test_a_message_that_is_left_out_is_left_out_whole(front: Front, name: str) -> None:
    with (
        front.session(name, "PUB") as (client, behind),
        ending(front.proxy, {}, {"topic": 3}),
        told_once(front.proxy),
    ):
        for message in ([b"nobodys", b"orders."], [b"orders.7", b"1"], [b""], [b"bc", b"/"], [b"bc/", b""]):
            client.send(message)
        assert [behind.recv(), behind.recv()] == [[b"orders.7", b"1"], [b"bc/", b""]]


def test_topics_of_a_certificate_are_held_as_those_of_a_key_file(front: Front) -> None:
    keys = Keys.new()
    text = issued(keys.public, **TOPICS)
    with (
        front.session("pub", "SUB", keys, text) as (client, behind),
        ending(front.proxy, {}, {"topic": 1}),
        told_once(front.proxy),
    ):
        for topic in (b"nobodys", b"orders.7"):
            client.send([b"\1" + topic])
        assert behind.recv() == [b"\1orders.7"]
    with front.session("sub", "PUB", keys, text) as (client, behind), ending(front.proxy, {}, {"topic": 1}):
        for topic in (b"nobodys", b"bc/"):
            client.send([topic])
        assert behind.recv() == [b"bc/"]


@pytest.mark.parametrize("kind", ["SUB", "DEALER"])
def test_before_a_service_whose_type_nobody_tells_a_key_with_topics_is_refused(front: Front, kind: str) -> None:
    proxy, refused = front.proxy, "curveproxy_handshakes_total"
    before = proxy.metric(refused, outcome="socket_type")
    with front.client("old", kind) as client, pytest.raises(Refused):
        client.handshake()
    proxy.wait_metric(refused, before + 1, outcome="socket_type")
    (*_, line) = (line for line in proxy.log if line["event"] == "client refused")
    assert str(line["detail"]).endswith("set backend_socket_type")


@pytest.mark.deep
def test_a_session_ends_when_the_topics_of_its_key_change(front: Front) -> None:
    proxy = front.proxy
    before = int(proxy.metric("curveproxy_client_keys", service="pub"))
    keys = proxy.new_client("changing", TOPICS)
    proxy.wait_listed(before + 1, "pub")
    file = proxy.clients / "changing.key"
    with front.session("pub", "SUB", keys) as (client, behind), ending(proxy, {"revoked": 1}):
        client.send([b"\1orders.7"])
        assert behind.recv() == [b"\1orders.7"]
        file.write_text(file.read_text().replace("orders.", "prices."))
        assert client.recv_until_closed().octets == b""
        behind.finish()
    with front.session("pub", "SUB", keys) as (client, behind):
        for topic in (b"orders.7", b"prices.7"):
            client.send([b"\1" + topic])
        assert behind.recv() == [b"\1prices.7"]
