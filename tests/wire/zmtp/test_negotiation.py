"""How a service of any age is greeted: two of ours agree, whatever they remember of each other."""

import pytest
from support.zmtp import command_frame

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Plain, Version
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.greeting import greeting
from curveproxy.wire.zmtp.negotiation import PlainInitiator
from curveproxy.wire.zmtp.null import Pacing

READY = command_frame(b"READY", b"\x0bSocket-Type\x00\x00\x00\x03REP")
NULL_GREETING = greeting(spec.NULL, as_server=False)
SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"
DEALER = {"Socket-Type": b"DEALER", "Identity": b"me", "X-Colour": b"green"}


def feed(peer: PlainInitiator, octets: bytes, step: int = 1) -> tuple[bytes, bytes]:
    """Give these octets in pieces, up to the end of the handshake: what it answers, and what stands behind that end."""
    answer, at = b"", 0
    while at < len(octets) and not peer.done:
        answer += peer.receive_untrusted(octets[at : at + step])
        at += step
    return answer, (peer.negotiated.leftover if peer.done else b"") + octets[at:]


def end(peer: PlainInitiator) -> tuple[Dialect, dict[str, bytes], bytes]:
    """What is known of the service, and what came behind its handshake."""
    found = peer.negotiated
    assert found.security == Plain()
    assert found.version.dialect == peer.dialect
    return found.version.dialect, dict(found.metadata), found.leftover


@pytest.mark.parametrize("step", [1, 1000], ids=["octet by octet", "in one piece"])
@pytest.mark.parametrize("pacing", list(Pacing), ids=lambda pacing: pacing.name)
def test_two_peers_agree(pacing: Pacing, step: int) -> None:
    ours, theirs = PlainInitiator({"Socket-Type": b"REQ"}, pacing), PlainInitiator({"Socket-Type": b"REP"})
    to_theirs, to_ours = ours.start(), theirs.start()
    for _ in range(1000):
        piece, to_theirs = to_theirs[:step], to_theirs[step:]
        to_ours += theirs.receive_untrusted(piece) if piece else b""
        piece, to_ours = to_ours[:step], to_ours[step:]
        to_theirs += ours.receive_untrusted(piece) if piece else b""
        if ours.done and theirs.done:
            break
    assert end(ours) == (Dialect.V3, {"Socket-Type": b"REP"}, b"")
    assert end(theirs) == (Dialect.V3, {"Socket-Type": b"REQ"}, b"")


def test_an_unknown_service_is_asked_step_by_step() -> None:
    peer = PlainInitiator({})
    assert peer.start() == SIGNATURE
    assert peer.receive_untrusted(NULL_GREETING[:9]) == b""
    assert peer.receive_untrusted(NULL_GREETING[9:10]) == b"\x03"
    assert peer.receive_untrusted(NULL_GREETING[10:11]) == NULL_GREETING[11:] + command_frame(b"READY", b"")
    assert peer.receive_untrusted(NULL_GREETING[11:] + READY + b"behind") == b""
    assert end(peer) == (Dialect.V3, {"Socket-Type": b"REP"}, b"behind")


def test_one_that_listens_says_ready_behind_the_other() -> None:
    peer = PlainInitiator({}, Pacing.PEER_FIRST)
    assert peer.receive_untrusted(NULL_GREETING[:11]) == NULL_GREETING[10:]
    assert peer.receive_untrusted(NULL_GREETING[11:] + READY[:-1]) == b""
    assert peer.receive_untrusted(READY[-1:]) == command_frame(b"READY", b"")


def test_the_minor_version_is_told() -> None:
    peer = PlainInitiator({}, Pacing.PIPELINED)
    peer.receive_untrusted(NULL_GREETING[:11] + b"\x01" + NULL_GREETING[12:] + READY)
    assert peer.negotiated.version == Version(Dialect.V3, 1)


@pytest.mark.parametrize("step", [1, 1000], ids=["octet by octet", "in one piece"])
@pytest.mark.parametrize("ours", [b"", b"me", b"i" * 255], ids=len)
@pytest.mark.parametrize(
    ("theirs", "identity"),
    [
        (b"\x01\x00", b""),  # libzmq 2.0, 2.2
        (b"\x01\x7e", b""),  # libzmq 2.1.7 to 2.1.11
        (b"\x05\x00name", b"name"),
        (b"\xff" + bytes(7) + b"\x01\x00", b""),
        (b"\xff" + bytes(6) + b"\x01\x00\x00" + b"n" * 255, b"n" * 255),
    ],
    ids=["no flags", "flags of 2.1", "an identity", "long, none", "long, of 255 octets"],
)
def test_zmtp_1(theirs: bytes, identity: bytes, ours: bytes, step: int) -> None:
    peer = PlainInitiator(DEALER, identity=ours)
    answer, behind = feed(peer, theirs + b"\x02\x00x", step)
    assert peer.start() + answer == b"\xff" + (len(ours) + 1).to_bytes(8, "big") + b"\x7f" + ours
    assert behind == b"\x02\x00x"
    assert end(peer)[:2] == (Dialect.V1, {"Identity": identity} if identity else {})


@pytest.mark.parametrize("step", [1, 1000], ids=["octet by octet", "in one piece"])
@pytest.mark.parametrize(
    ("client", "sent"),
    [
        (DEALER, b"\x05\x00\x02me"),
        ({"Socket-Type": b"XSUB"}, b"\x02\x00\x00"),  # RFC 15 has no octet for it
        ({"socket-type": b"XPUB", "identity": b"x" * 255}, b"\x01\x00\xff" + b"x" * 255),
    ],
    ids=["DEALER", "XSUB", "XPUB"],
)
@pytest.mark.parametrize("identity", [b"", b"name"], ids=len)
def test_zmtp_2(client: dict[str, bytes], sent: bytes, identity: bytes, step: int) -> None:
    peer = PlainInitiator(client)
    theirs = SIGNATURE + b"\x01\x06\x00" + bytes([len(identity)]) + identity
    assert peer.start() + feed(peer, theirs, step)[0] == SIGNATURE + b"\x03" + sent
    told = {"Socket-Type": b"ROUTER"} | ({"Identity": identity} if identity else {})
    assert end(peer) == (Dialect.V2, told, b"")


def test_what_comes_behind_zmtp_2_is_kept() -> None:
    peer = PlainInitiator(DEALER)
    peer.receive_untrusted(SIGNATURE + b"\x01\x06\x00\x00\x00\x01x")
    assert end(peer) == (Dialect.V2, {"Socket-Type": b"ROUTER"}, b"\x00\x01x")


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"HTTP/1.0 200 OK", Fault.NOT_ZMTP),
        (b"\x00", Fault.NOT_ZMTP),
        (b"\x01\x02", Fault.NOT_ZMTP),
        (SIGNATURE + b"\x00", Fault.ZMTP_VERSION),  # RFC 15 leaves it to nobody
        (SIGNATURE + b"\x02", Fault.ZMTP_VERSION),
        (b"\xff" + bytes(8) + b"\x00", Fault.OLD_HANDSHAKE),  # a 1.0 frame without its flags
        (b"\xff" + bytes(6) + b"\x01\x01\x00", Fault.OLD_HANDSHAKE),  # an identity of 256 octets
        (b"\xff" * 9 + b"\x00", Fault.OLD_HANDSHAKE),
        (SIGNATURE + b"\x01\x0b", Fault.OLD_HANDSHAKE),
        (SIGNATURE + b"\x01\x06\x02", Fault.OLD_HANDSHAKE),
        (greeting(spec.CURVE, as_server=True), Fault.MECHANISM),
        (NULL_GREETING + command_frame(b"ERROR", b"\x03400"), Fault.COMMAND),
        (NULL_GREETING + b"\x00\x05hello", Fault.COMMAND),
        (NULL_GREETING + b"\x06" + (1 << 40).to_bytes(8, "big"), Fault.READY),
        (NULL_GREETING + command_frame(b"READY", b"\x0bSocket"), Fault.METADATA),
    ],
)
def test_what_is_no_plain_service_has_its_fault(octets: bytes, fault: Fault) -> None:
    with pytest.raises(PeerError) as caught:
        feed(PlainInitiator(DEALER), octets)
    assert caught.value.fault == fault


@pytest.mark.parametrize("octets", [b"\x01\x00", b"\x01\x7e", SIGNATURE + b"\x01\x06\x00\x00"])
def test_an_old_service_where_a_new_one_was_known_is_no_zmtp_3_greeting(octets: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        feed(PlainInitiator(DEALER, Pacing.PIPELINED), octets)
    assert caught.value.fault in (Fault.NOT_ZMTP, Fault.ZMTP_VERSION)


@pytest.mark.parametrize("kind", [b"CLIENT", b"RADIO", b"", b"other"])
def test_a_type_that_zmtp_2_does_not_know_is_not_told_to_it(kind: bytes) -> None:
    peer = PlainInitiator({"Socket-Type": kind})
    with pytest.raises(PeerError) as caught:
        feed(peer, SIGNATURE + b"\x01\x06\x00\x00")
    assert caught.value.fault == Fault.SOCKET_TYPE
