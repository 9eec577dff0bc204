"""Services of ZMTP 1.0 and 2.0: what they break, what is kept from them, and what is done for them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq
from support import zmtp
from support.baseline import baseline
from support.cases import deep, some_deep
from support.client import RawClient
from support.libzmq import Libzmq
from support.old import SIGNATURE, Peer1, Peer2, frame1
from support.peer import Peer, Refused
from support.process import Sidecar, free_port, wait_until
from support.service import Behaviour, RawService, echo
from support.zmtp import COMMAND

from curveproxy.reasons import BackendFailure
from system.endings import ending

ANY = {"allow": "any"}
OFTEN = {"handshakes_per_second_per_source": 100_000}
MIB = 1 << 20

each = pytest.mark.parametrize("peer", [Peer1, Peer2, Peer], ids=["1.0", "2.0", "3.0"])
each_old = pytest.mark.parametrize("peer", [Peer1, Peer2], ids=["1.0", "2.0"])


@contextmanager
def before(behind: RawService, /, **tables: Any) -> Iterator[Sidecar]:
    """A proxy before a service, which lets everybody in."""
    with Sidecar(backend=behind.endpoint, clients=ANY, admission=OFTEN, **tables) as proxy:
        yield proxy


@contextmanager
def session(proxy: Sidecar, service: RawService, **options: Any) -> Iterator[tuple[RawClient, Peer]]:
    """A client that is inside, and what the service sees of it."""
    with RawClient(proxy.public, proxy.server.public, **options) as client:
        client.begin()
        with service.accept() as behind:
            behind.handshake()
            client.ready()
            yield client, behind


# --- frames


SIZES = [0, 1, 253, 254, 255, 256, 65_536, MIB, 3 * MIB]


@each
@pytest.mark.parametrize("on_invalid", ["disconnect", deep("drop")])
def test_frames_of_any_size_in_any_framing(peer: type[Peer], on_invalid: str) -> None:
    with RawService(echo, peer=peer) as service, before(service, messages={"on_invalid": on_invalid}) as proxy:
        with RawClient(proxy.public, proxy.server.public, timeout=60) as client:
            client.handshake()
            for message in ([bytes([size % 251]) * size] for size in SIZES):
                client.send(message)
                assert client.recv() == message
            parts = [b"x" * size for size in SIZES[:-1]]
            client.send(parts)
            assert client.recv() == parts
        with RawClient(proxy.public, proxy.server.public) as client:  # the second is greeted as the first was found
            client.handshake().send([b"hello"])
            assert client.recv() == [b"hello"]


@pytest.mark.parametrize("flags", [0x00, 0x7E], ids=["libzmq 2.0 and 2.2", "libzmq 2.1"])
@pytest.mark.parametrize("identity", [deep(b""), b"i" * 200], ids=["nameless", "of 200 octets"])
def test_a_handshake_of_zmtp_1_octet_by_octet(flags: int, identity: bytes) -> None:
    with RawService() as service, before(service) as proxy, RawClient(proxy.public, proxy.server.public) as client:
        client.begin()
        with service.accept() as behind:
            for octet in frame1(identity, flags) + frame1(b"hello"):
                behind.send_raw(bytes([octet]))
                time.sleep(0.0005)
            assert client.ready() == {"Socket-Type": b"ROUTER"} | ({"Identity": identity} if identity else {})
            assert client.recv() == [b"hello"]
            assert behind.recv_exactly(10) == SIGNATURE


# --- what they break


def dies(peer: Peer) -> None:
    """Echoes once, then sends half a frame."""
    peer.handshake()
    peer.send(peer.recv())
    peer.send_raw(peer.seal(b"first", more=True) + peer.seal(b"x" * 1000)[:500])


def says_zero(peer: Peer) -> None:
    """Sends a length of zero, which not even the flags fit into."""
    peer.handshake()
    peer.send([b"before"])
    peer.send_raw(b"\x00\x00")
    peer.recv()


def commands(peer: Peer) -> None:
    """Sends a command of ZMTP 3."""
    peer.handshake()
    peer.send([b"before"])
    peer.send_raw(zmtp.frame(zmtp.ping(), COMMAND))
    peer.recv()


def claims(size: int, peer_of: Callable[..., bytes]) -> Behaviour:
    """Claims a frame of this size."""

    def behaviour(peer: Peer) -> None:
        peer.handshake()
        peer.send([b"before"])
        peer.send_raw(peer_of(b"", long=True, size=size))
        peer.recv()

    return behaviour


@each_old
def test_one_that_dies_in_the_middle_of_a_frame(peer: type[Peer]) -> None:
    with (
        RawService(dies, peer=peer) as service,
        before(service) as proxy,
        baseline(proxy),
        ending(proxy, {"backend_closed": 1}),
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake().send([b"hello"])
        assert client.recv() == [b"hello"]
        assert client.open(client.recv_frame()) == (b"first", True, False)
        assert client.recv_until_closed().octets == b""


@pytest.mark.parametrize(
    ("peer", "behaviour", "ended", "flaw"),
    [
        (Peer1, says_zero, "invalid_message", "framing"),
        (Peer2, commands, "invalid_message", "framing"),
        (Peer1, claims(2**64 - 1, frame1), "invalid_message", "framing"),
        deep(Peer2, claims(2**63, zmtp.frame), "invalid_message", "framing"),
        deep(Peer1, claims(2**30, frame1), "limit", "too_large"),
        (Peer2, claims(2**30, zmtp.frame), "limit", "too_large"),
    ],
    ids=["1.0 a length of zero", "2.0 a command", "1.0 2^64", "2.0 2^63", "1.0 2^30", "2.0 2^30"],
)
@pytest.mark.parametrize("socket_type", ["DEALER", deep("SUB")])
def test_what_is_no_frame_or_too_large_ends_the_session(
    peer: type[Peer], behaviour: Behaviour, ended: str, flaw: str, socket_type: str
) -> None:
    kind = {"DEALER": "ROUTER", "SUB": "PUB"}[socket_type]
    with (
        RawService(behaviour, peer=peer, socket_type=kind) as service,
        before(service) as proxy,
        baseline(proxy),
        ending(proxy, {ended: 1}, {flaw: 1}),
        RawClient(proxy.public, proxy.server.public, socket_type=socket_type) as client,
    ):
        client.handshake()
        if socket_type == "DEALER":
            assert client.recv() == [b"before"]
        client.recv_until_closed()


GARBAGE: dict[str, tuple[bytes, str]] = {
    "1.0 an identity without a size": (b"\xff" + bytes(9), "handshake"),
    "1.0 an identity of 256 octets": (frame1(bytes(256)), "handshake"),
    "1.0 an identity that begins with zero": (frame1(b"\0me"), "handshake"),
    "1.0 a message for an identity": (b"\x03\x01hi", "greeting"),
    "2.0 a type that nobody has": (SIGNATURE + b"\x01\x0b", "handshake"),
    "2.0 a message for an identity": (SIGNATURE + b"\x01\x06\x01\x02hi", "handshake"),
    "2.0 an identity that begins with zero": (SIGNATURE + b"\x01\x06" + zmtp.frame(b"\0me"), "handshake"),
    "2.0 a long identity": (SIGNATURE + b"\x01\x06" + zmtp.frame(b"me", long=True), "handshake"),
}


QUICK = {"1.0 an identity of 256 octets", "1.0 a message for an identity", "2.0 a message for an identity"}


@pytest.mark.parametrize("name", some_deep(GARBAGE, QUICK))
def test_garbage_for_a_handshake_has_its_reason(name: str) -> None:
    octets, reason = GARBAGE[name]

    def behaviour(peer: Peer) -> None:
        peer.send_raw(octets)
        peer.hold()

    with RawService(behaviour) as service, before(service) as proxy, baseline(proxy):
        with RawClient(proxy.public, proxy.server.public) as client, pytest.raises(EOFError):
            client.handshake()
        proxy.wait_metric("curveproxy_backend_failures_total", 1, reason=reason)
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="backend_unavailable")
        (line,) = [line for line in proxy.log if line["event"] == "backend failed"]
        assert line["hint"] == BackendFailure(reason).hint


# --- one is replaced by another


def test_a_service_is_replaced_by_one_of_another_age_between_two_clients() -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Sidecar(backend=endpoint, clients=ANY) as proxy:
        for peer in (Peer, Peer1, Peer, Peer2, Peer1, Peer2, Peer):
            with RawService(echo, endpoint=endpoint, peer=peer):
                for _ in range(2):
                    with RawClient(proxy.public, proxy.server.public) as client:
                        client.handshake().send([b"hello"])
                        assert client.recv() == [b"hello"]
            proxy.wait_metric("curveproxy_sessions", 0)
        assert proxy.metric("curveproxy_backend_failures_total") == 0


# --- socket types


@each_old
@pytest.mark.parametrize("kind", ["SUB", "PUSH", deep("CLIENT"), deep("RADIO")])
def test_a_client_that_does_not_fit_is_refused_before_ready(peer: type[Peer], kind: str) -> None:
    def greets(peer: Peer) -> None:
        peer.handshake()
        peer.hold()

    configured = {"backend_socket_type": "REP"}
    with (
        RawService(greets, peer=peer, socket_type="REP") as service,
        before(service, service=configured) as proxy,
        baseline(proxy),
    ):
        for _ in range(2):
            client = RawClient(proxy.public, proxy.server.public, socket_type=kind)
            with client, pytest.raises(Refused, match="400"):
                client.handshake()
        proxy.wait_metric("curveproxy_handshakes_total", 2, outcome="socket_type")
        assert proxy.metric("curveproxy_backend_failures_total", reason="socket_type") == 2
        assert proxy.metric("curveproxy_backend_up") == 1


def test_the_type_of_a_zmtp_1_service_is_what_its_client_most_likely_faces() -> None:
    with RawService(echo, peer=Peer1) as service, before(service) as proxy:
        for kind, behind in (("REQ", b"REP"), ("DEALER", b"ROUTER"), ("PULL", b"PUSH"), ("XSUB", b"PUB")):
            with RawClient(proxy.public, proxy.server.public, socket_type=kind) as client:
                client.handshake()
                assert client.theirs["Socket-Type"] == behind
        with RawClient(proxy.public, proxy.server.public, socket_type="CLIENT") as client, pytest.raises(Refused):
            client.handshake()
        [line] = [line for line in proxy.log if "taken_for" in line]
        assert (line["level"], line["taken_for"], line["hint"]) == ("warning", "REP", "set backend_socket_type")


def test_a_zmtp_1_service_with_a_configured_type_is_not_greeted_for_who_does_not_fit() -> None:
    """A PUSH of that age deals its jobs to whoever greets it."""
    configured = {"backend_socket_type": "PUSH"}
    with RawService(echo, peer=Peer1) as service, before(service, service=configured) as proxy:
        with RawClient(proxy.public, proxy.server.public, socket_type="PULL") as client:
            client.handshake()
        assert len(service.accepted) == 1
        with RawClient(proxy.public, proxy.server.public, socket_type="SUB") as client, pytest.raises(Refused):
            client.handshake()
        assert len(service.accepted) == 1


# --- identities


@pytest.mark.parametrize("passed_on", [False, True])
@pytest.mark.parametrize("identity", [b"me", deep(b""), deep(b"i" * 255)], ids=len)
def test_a_zmtp_1_service_is_told_identities_where_that_is_wanted(passed_on: bool, identity: bytes) -> None:
    with (
        RawService(peer=Peer1) as service,
        before(service, service={"zmtp1_identities": passed_on}) as proxy,
        session(proxy, service, identity=identity) as (client, behind),
    ):
        assert behind.theirs["Identity"] == (identity if passed_on else b"")
        client.send([b"hello"])
        assert behind.recv() == [b"hello"]


def test_a_zmtp_2_service_is_told_type_and_identity() -> None:
    for kind, told in (("DEALER", b"DEALER"), ("XSUB", b"SUB"), ("XPUB", b"PUB")):
        behind_it = {"DEALER": "ROUTER", "XSUB": "PUB", "XPUB": "SUB"}[kind]
        with (
            RawService(peer=Peer2, socket_type=behind_it) as service,
            before(service) as proxy,
            session(proxy, service, socket_type=kind, identity=b"me") as (_, behind),
        ):
            assert behind.theirs == {"Socket-Type": told, "Identity": b"me"}


# --- subscriptions and commands


@each_old
def test_a_ping_is_answered_and_no_command_reaches_the_service(peer: type[Peer]) -> None:
    with RawService(peer=peer) as service, before(service) as proxy, session(proxy, service) as (client, behind):
        assert client.ping(b"context", 30) == b"context"
        client.send_command(b"FUTURE", b"data")
        client.send_command(b"SUBSCRIBE", b"topic")
        client.send([b"a message"])
        assert behind.recv() == [b"a message"]
        assert proxy.metric("curveproxy_invalid_messages_total", reason="command") == 2


def publish(behind: Peer, *topics: bytes) -> None:
    for topic in topics:
        behind.send([topic, b"body"])


@contextmanager
def published_to(peer: type[Peer] = Peer1, **tables: Any) -> Iterator[tuple[RawClient, Peer, Sidecar]]:
    """A subscriber of a publisher."""
    with (
        RawService(peer=peer, socket_type="PUB") as service,
        before(service, **tables) as proxy,
        session(proxy, service, socket_type="SUB") as (client, behind),
    ):
        yield client, behind, proxy


def hears(client: RawClient, behind: Peer, *topics: bytes) -> list[bytes]:
    """Which of these are sent to the client, once what it has said is heeded."""
    client.ping()  # what came before it has been heeded
    publish(behind, *topics, b"\xff end")
    heard = []
    while (message := client.recv())[0] != b"\xff end":
        assert message[1:] == [b"body"]
        heard += [message[0]]
    return heard


@pytest.mark.parametrize("by", ["message", "command"])
@pytest.mark.parametrize("on_invalid", ["disconnect", "drop"])
def test_a_zmtp_1_publisher_is_sent_nothing_and_its_client_what_it_asked_for(by: str, on_invalid: str) -> None:
    def subscribe(client: RawClient, topic: bytes) -> None:
        client.send([b"\1" + topic]) if by == "message" else client.send_command(b"SUBSCRIBE", topic)

    def cancel(client: RawClient, topic: bytes) -> None:
        client.send([b"\0" + topic]) if by == "message" else client.send_command(b"CANCEL", topic)

    with published_to(messages={"on_invalid": on_invalid}) as (client, behind, _):
        publish(behind, b"a", b"")
        subscribe(client, b"\xff end")
        assert hears(client, behind, b"a", b"") == []
        subscribe(client, b"a")
        subscribe(client, b"a")
        subscribe(client, b"long" * 60)
        cancel(client, b"never asked for")
        assert hears(client, behind, b"b", b"ab", b"", b"long" * 60, b"long" * 61) == [
            b"ab",
            b"long" * 60,
            b"long" * 61,
        ]
        cancel(client, b"a")  # once for both, as libzmq does
        assert hears(client, behind, b"ab") == []
        subscribe(client, b"")
        assert hears(client, behind, b"ab", b"") == [b"ab", b""]
        behind.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):  # it has been sent nothing behind its handshake
            behind.recv_exactly(1)


@each_old
def test_a_thousand_subscriptions(peer: type[Peer]) -> None:
    names = [b"topic %d." % number for number in range(1000)]
    with published_to(peer) as (client, behind, _):
        client.send_raw(b"".join(client.seal(b"\1" + name) for name in [*names, b"\xff end"]))
        if peer is Peer1:
            assert hears(client, behind, b"topic 1234.", b"topic 999.", b"topic 0.x") == [b"topic 999.", b"topic 0.x"]
        else:
            assert [behind.recv() for _ in names] == [[b"\1" + name] for name in names]


@each_old
@pytest.mark.parametrize("size", [4095, 5000, deep(0), deep(255)])
def test_a_topic_of_any_length(peer: type[Peer], size: int) -> None:
    topic = b"t" * size
    with published_to(peer) as (client, behind, proxy):
        if size > 4095:
            with ending(proxy, {"invalid_message": 1}, {"too_large": 1}):
                client.send([b"\1" + topic])
        elif peer is Peer1:
            client.send([b"\1" + topic])
            client.send([b"\1\xff end"])
            assert hears(client, behind, topic, topic + b"more") == [topic, topic + b"more"]
        else:
            client.send([b"\1" + topic])
            assert behind.recv() == [b"\1" + topic]


def test_large_messages_are_sent_to_who_wants_them() -> None:
    with published_to() as (client, behind, _):
        client.send([b"\1yes"])
        client.send([b"\1\xff end"])
        client.ping()
        wanted = [b"yes", b"x" * (3 * MIB), b"y"]
        for message in ([b"no", b"x" * (3 * MIB)], wanted, [b"no" * MIB], [b"yes" * MIB]):
            behind.send(message)
        assert client.recv() == wanted
        assert client.recv() == [b"yes" * MIB]


def test_a_zmtp_1_subscriber_is_published_to_without_asking() -> None:
    with RawService(peer=Peer1, socket_type="SUB") as service, before(service) as proxy, Libzmq() as z:
        publisher = z.connect(zmq.PUB, proxy.public, server=proxy.server.public)
        with service.accept() as behind:
            behind.handshake()
            wait_until(lambda: proxy.metric("curveproxy_messages_total", direction="in") or publisher.send(b"again"))
            assert behind.recv() == [b"again"]
        proxy.wait_metric("curveproxy_sessions_closed_total", 1)
