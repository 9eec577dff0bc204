"""What the operator writes into a client's certificate: its identity, its socket types, its services."""

from collections.abc import Iterator

import pytest
import zmq
from support.client import RawClient, answers
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import Refused
from support.process import Sidecar, toml, wait_until
from support.service import RawService, echo

from system.endings import ending


@pytest.fixture(scope="module")
def proxy() -> Iterator[Sidecar]:
    """Two services with one directory of clients."""
    with RawService(echo) as service:
        config = ""
        for name in ("orders", "prices"):
            table = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": service.endpoint}
            config += toml("[[service]]", {**table, "secret_keys": ["server.key_secret"]})
            config += toml("[service.clients]", {"directory": "clients"})
        with Sidecar(config) as proxy:
            proxy.service = service  # type: ignore[attr-defined]
            yield proxy


def listed(proxy: Sidecar, name: str, **metadata: str) -> Keys:
    """A new client, once it is on the list."""
    before = proxy.metric("curveproxy_client_keys", service="orders")
    keys = proxy.new_client(name, {word.replace("_", "-"): text for word, text in metadata.items()})
    proxy.wait_listed(int(before) + 1, "orders")
    return keys


def outcome(proxy: Sidecar, name: str) -> float:
    return proxy.metric("curveproxy_handshakes_total", outcome=name)


def told_to_the_service(proxy: Sidecar) -> bytes | None:
    """The identity that the service was told last."""
    service: RawService = proxy.service  # type: ignore[attr-defined]
    return service.accepted[-1].theirs.get("Identity")


def refused_as(proxy: Sidecar, word: str, client: RawClient, *, final: bool = True) -> bool:
    """final: it is told so, and gives up."""
    before = outcome(proxy, word)
    with client, pytest.raises(Refused if final else EOFError):
        client.handshake()
    return outcome(proxy, word) == before + 1


def test_a_bound_identity_is_given_and_no_other_taken(proxy: Sidecar) -> None:
    keys = listed(proxy, "bound", identity="desk-7")
    for said in (b"", b"desk-7"):
        with RawClient(proxy.endpoints["orders"], proxy.server.public, keys, identity=said) as client:
            assert answers(client.handshake())  # so the service has read who it is
            assert told_to_the_service(proxy) == b"desk-7"
        proxy.wait_metric("curveproxy_sessions", 0)
    other = RawClient(proxy.endpoints["orders"], proxy.server.public, keys, identity=b"desk-8")
    assert refused_as(proxy, "metadata", other)
    assert "its certificate" in proxy.log[-1]["detail"]
    thief = RawClient(proxy.endpoints["orders"], proxy.server.public, listed(proxy, "thief"), identity=b"desk-7")
    assert refused_as(proxy, "metadata", thief), "nor is it another's while its own client is away"
    assert "another client's key" in proxy.log[-1]["detail"]


def test_only_its_socket_types(proxy: Sidecar) -> None:
    keys = listed(proxy, "typed", socket_types="REQ, DEALER")
    with RawClient(proxy.endpoints["orders"], proxy.server.public, keys, socket_type="REQ") as client:
        client.handshake()
    router = RawClient(proxy.endpoints["orders"], proxy.server.public, keys, socket_type="ROUTER")
    assert refused_as(proxy, "socket_type", router)


def test_only_its_services(proxy: Sidecar) -> None:
    keys = listed(proxy, "placed", services="orders")
    with RawClient(proxy.endpoints["orders"], proxy.server.public, keys) as client:
        client.handshake()
    assert refused_as(proxy, "client_unknown", RawClient(proxy.endpoints["prices"], proxy.server.public, keys))
    with RawClient(proxy.endpoints["orders"], proxy.server.public, keys) as client:
        client.handshake()
        with ending(proxy, {"revoked": 1}):
            text = (proxy.clients / "placed.key").read_text()
            (proxy.clients / "placed.key").write_text(text.replace("orders", "prices"))
            assert client.recv_until_closed().octets == b""


@pytest.mark.parametrize(
    "metadata", [{"identity": "x" * 256}, {"socket_types": "REQ CARRIER"}], ids=["identity", "socket types"]
)
def test_a_certificate_that_binds_to_nonsense_is_passed_over(proxy: Sidecar, metadata: dict[str, str]) -> None:
    before = len(proxy.log)
    proxy.new_client(
        f"nonsense {next(iter(metadata))}", {word.replace("_", "-"): text for word, text in metadata.items()}
    )
    wait_until(lambda: any(line["event"] == "client key can not be read" for line in proxy.log[before:]), "it is told")


def test_two_keys_never_share_an_identity(proxy: Sidecar) -> None:
    alice, bob = listed(proxy, "alice"), listed(proxy, "bob")
    endpoint = proxy.endpoints["orders"]
    with RawClient(endpoint, proxy.server.public, alice, identity=b"me") as first:
        first.handshake()
        bobs = RawClient(endpoint, proxy.server.public, bob, identity=b"me")
        assert refused_as(proxy, "identity_in_use", bobs, final=False)
        with RawClient(proxy.endpoints["prices"], proxy.server.public, bob, identity=b"me") as elsewhere:
            elsewhere.handshake()
        assert answers(first)
    wait_until(lambda: not proxy.metric("curveproxy_sessions"), "she has left")
    with RawClient(endpoint, proxy.server.public, bob, identity=b"me") as second:
        second.handshake()


def test_a_client_that_comes_again_replaces_its_older_session(proxy: Sidecar) -> None:
    keys = listed(proxy, "twice")
    endpoint = proxy.endpoints["orders"]
    with (
        RawClient(endpoint, proxy.server.public, keys, identity=b"me") as older,
        RawClient(endpoint, proxy.server.public, keys, identity=b"me") as newer,
        RawClient(endpoint, proxy.server.public, keys) as nameless,
        RawClient(endpoint, proxy.server.public, keys) as another,
    ):
        older.handshake()
        with ending(proxy, {"replaced": 1}):
            newer.handshake()
            assert older.recv_until_closed().octets == b""
        for client in (newer, nameless.handshake(), another.handshake()):
            assert answers(client)


def test_a_client_whose_identity_another_has_for_the_moment_comes_in_once_that_has_gone(proxy: Sidecar) -> None:
    """libzmq would never come again behind an ERROR."""
    keys = [listed(proxy, name) for name in ("for a moment", "its owner")]
    before = outcome(proxy, "identity_in_use")
    with Libzmq() as libzmq:
        owner = None
        with RawClient(proxy.endpoints["orders"], proxy.server.public, keys[0], identity=b"mine") as other:
            other.handshake()
            owner = libzmq.connect(
                zmq.DEALER, proxy.endpoints["orders"], server=proxy.server.public, keys=keys[1], identity=b"mine"
            )
            owner.send(b"hello")
            wait_until(lambda: outcome(proxy, "identity_in_use") >= before + 2, "it has come again in vain")
            assert answers(other)
        assert owner.recv() == b"hello"
