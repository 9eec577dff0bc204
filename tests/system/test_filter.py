"""What a running proxy keeps from a service, by its socket type and age, and tells of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq
from support import zmtp
from support.cases import deep
from support.client import RawClient
from support.libzmq import Libzmq
from support.old import Peer1, Peer2
from support.peer import Peer
from support.process import Sidecar
from support.service import RawService

from system.endings import ending

ANY = {"allow": "any"}


@contextmanager
def session(
    kind: str, client_kind: str, *, peer: type[Peer] = Peer, minor: int = 0, properties: dict[str, bytes] | None = None,
    **tables: Any
) -> Iterator[tuple[RawClient, Peer, Sidecar]]:  # fmt: skip
    """A client, what its service sees of it, and the proxy between them."""
    with (
        RawService(peer=peer, socket_type=kind, minor=minor) as service,
        Sidecar(backend=service.endpoint, clients=ANY, **tables) as proxy,
        RawClient(proxy.public, proxy.server.public, socket_type=client_kind, properties=properties) as client,
    ):
        client.begin()
        with service.accept() as behind:
            behind.handshake()
            client.ready()
            yield client, behind, proxy


@pytest.mark.parametrize(("kind", "minor"), [("PUB", 0), ("XPUB", 1), deep("PUB", 1), deep("XPUB", 0)])
def test_a_command_can_not_become_a_message_within_another(kind: str, minor: int) -> None:
    messages = {"xpub_messages": True}
    with (
        session(kind, "XSUB", minor=minor, service=messages) as (client, behind, proxy),
        ending(proxy, {"invalid_message": 1}, {"command": 1} | ({"not_accepted": 1} if kind == "PUB" else {})),
    ):
        client.send([b"\1first"])
        spliced = client.seal(b"x", more=True) + client.seal(zmtp.command(b"SUBSCRIBE", b"t"), command=True)
        client.send_raw(spliced + client.seal(b"\1" + b"a" * 6000))
        client.recv_until_closed()
        assert behind.recv() == [b"\1first"]
        left = behind.recv_until_closed().octets
        behind.finish()
        assert left == (zmtp.frame(b"x", zmtp.MORE) if kind == "XPUB" else b"")


def test_with_drop_the_message_around_a_command_that_is_dropped_is_whole() -> None:
    with session("XPUB", "XSUB", service={"xpub_messages": True}, messages={"on_invalid": "drop"}) as found:
        client, behind, proxy = found
        with ending(proxy, {}, {"command": 1, "not_accepted": 1}):
            client.send_raw(client.seal(b"x", more=True) + client.seal(zmtp.command(b"CANCEL", b""), command=True))
            client.send_raw(client.seal(b"y"))
            client.send([b"x", b"\1a"])
            client.send([b"\1b"])
            assert [behind.recv(), behind.recv()] == [[b"x", b"y"], [b"\1b"]]


@pytest.mark.parametrize(("peer", "minor", "is_old"), [(Peer2, 0, True), (Peer, 0, True), (Peer, 1, False)])
@pytest.mark.parametrize("on_invalid", ["disconnect", deep("drop")])
def test_a_cancellation_in_vain_is_kept_from_an_old_publisher(
    peer: type[Peer], minor: int, is_old: bool, on_invalid: str
) -> None:
    messages, flaws = {"on_invalid": on_invalid}, {"not_subscribed": 2} if is_old else {}
    with (
        session("PUB", "SUB", peer=peer, minor=minor, messages=messages) as (client, behind, proxy),
        ending(proxy, {}, flaws),
    ):
        client.send([b"\0a"])
        client.send([b"\1a"])
        client.send_command(b"CANCEL", b"a")
        client.send_command(b"CANCEL", b"a")
        client.send([b"\1end"])
        kept = [[b"\0a"]] * (not is_old)
        wanted = [*kept, [b"\1a"], [b"\0a"], *kept, [b"\1end"]]
        assert [behind.recv() for _ in wanted] == wanted


def test_a_subscriber_of_libzmq_cancels_a_topic_once_that_it_subscribed_to_twice() -> None:
    """What ``policy/subscriptions.py`` relies on."""
    with (
        RawService(peer=Peer2, socket_type="PUB") as service,
        Sidecar(backend=service.endpoint, clients=ANY) as proxy,
        Libzmq() as z,
    ):
        subscriber = z.connect(zmq.SUB, proxy.public, server=proxy.server.public)
        with service.accept() as behind:
            behind.handshake()
            for option in (zmq.SUBSCRIBE, zmq.SUBSCRIBE, zmq.UNSUBSCRIBE, zmq.UNSUBSCRIBE):
                subscriber.setsockopt(option, b"a")
            subscriber.setsockopt(zmq.SUBSCRIBE, b"end")
            assert [behind.recv() for _ in range(4)] == [[b"\1a"], [b"\1a"], [b"\0a"], [b"\1end"]]
        assert proxy.metric("curveproxy_invalid_messages_total") == 0


@pytest.mark.parametrize(("minor", "wanted"), [(0, True), (1, False), deep(0, False), deep(1, True)])
def test_an_xpub_is_sent_messages_only_where_that_is_wanted(minor: int, wanted: bool) -> None:
    with session("XPUB", "XSUB", minor=minor, service={"xpub_messages": wanted}) as (client, behind, proxy):
        with ending(proxy, {}, {} if wanted else {"not_accepted": 2}):
            client.send([b"up"])
            client.send([b"", b"stream"])
            client.send([b"\1end"])
            messages = [[b"up"], [b"", b"stream"]] if wanted else []
            assert [behind.recv() for _ in [*messages, 1]] == [*messages, [b"\1end"]]
        notices = [line for line in proxy.log if line["event"] == "xpub_messages does not suit the service"]
        assert len(notices) == (wanted and minor == 0)


@pytest.mark.parametrize(("kind", "client_kind"), [("PUSH", "PULL"), ("RADIO", "DISH")])
def test_a_service_that_only_sends_is_sent_nothing(kind: str, client_kind: str) -> None:
    with session(kind, client_kind, minor=1) as (client, behind, proxy), ending(proxy, {}, {"not_accepted": 1}):
        client.send([b"for", b"nobody"])
        client.send_command(b"PING", b"\0\0ctx")
        behind.pongs = False
        assert behind.recv_command() == (b"PING", b"\0\0ctx")


@pytest.mark.parametrize("name", [b"JOIN", b"LEAVE"])
def test_a_group_has_255_octets_at_the_most(name: bytes) -> None:
    with (
        session("RADIO", "DISH", minor=1) as (client, behind, proxy),
        ending(proxy, {"invalid_message": 1}, {"too_large": 1}),
    ):
        client.send_command(name, b"g" * 255)
        client.send_command(name, b"g" * 256)
        assert behind.recv_command() == (name, b"g" * 255)
        assert behind.recv_until_closed().octets == b""
        behind.finish()


def test_old_services_that_need_a_delimiter_are_sent_nothing_without() -> None:
    for kind, client_kind in (("REQ", "ROUTER"), ("REP", "DEALER")):
        configured = {"backend_socket_type": kind}
        with (
            session(kind, client_kind, peer=Peer1, service=configured) as (client, behind, proxy),
            ending(proxy, {}, {"not_accepted": 2}),
        ):
            client.send([b"no delimiter"])
            client.send([b""])
            client.send([b"", b"good"])
            assert behind.recv() == [b"", b"good"]
            assert [line for line in proxy.log if line["event"] == "the service speaks ZMTP 1.0"]


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
def test_an_old_publisher_is_told_nothing_by_a_message_that_is_no_subscription(kind: str) -> None:
    configured = {"backend_socket_type": kind}
    with session(kind, "XSUB", peer=Peer1, service=configured) as (client, behind, proxy):
        with ending(proxy, {}, {"not_accepted": 2}):
            client.send([b""])
            client.send([b"zA"])
            client.send([b"\1B"])
            client.ping()
            behind.send([b"A no"])
            behind.send([b"B yes"])
            assert client.recv() == [b"B yes"]
        assert proxy.metric("curveproxy_unexpected_errors_total") == 0


@pytest.mark.parametrize("told", [b"", b"me"])
def test_a_client_can_not_say_what_libzmq_knows_by_itself(told: bytes) -> None:
    said = {"Socket-Type": b"DEALER", "Identity": told, "X-Role": b"admin"}
    reserved = {"Routing-Id": b"admin", "ROUTING-ID.": b"kept", "__fd": b"1", "__x": b"1", "Peer-Address": b"1.2.3.4"}
    with session("ROUTER", "DEALER", properties=said | reserved) as (_, behind, _):
        assert behind.theirs["X-Role"] == b"admin"
        assert set(behind.theirs) & set(reserved) == {"ROUTING-ID."}


@pytest.mark.parametrize("size", [16, 17, deep(60_000)])
def test_a_socket_type_that_leaves_no_room_in_ready_is_a_failure_of_the_service(size: int) -> None:
    def greets(peer: Peer) -> None:
        peer.handshake()
        peer.hold()

    with (
        RawService(greets, socket_type="A" * size) as service,
        Sidecar(backend=service.endpoint, clients=ANY) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        if size == 16:
            client.handshake()
            assert client.theirs["Socket-Type"] == b"A" * 16
            return
        with pytest.raises(EOFError):
            client.handshake()
        proxy.wait_metric("curveproxy_backend_failures_total", 1, reason="handshake")
        assert "too long" in next(line for line in proxy.log if line["event"] == "backend failed")["detail"]


def test_a_pair_of_zmtp_1_has_one_session_at_a_time() -> None:
    configured = {"backend_socket_type": "PAIR"}
    with session("PAIR", "PAIR", peer=Peer1, service=configured) as (client, behind, proxy):
        with RawClient(proxy.public, proxy.server.public, socket_type="PAIR") as other, pytest.raises(EOFError):
            other.handshake()  # closed without ERROR: it may come again
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="service_busy")
        client.send([b"still here"])
        assert behind.recv() == [b"still here"]
