"""The NULL handshake: two of ours agree, whatever they remember of each other, and others are named."""

import pytest

from curveproxy.reasons import BackendFailure
from curveproxy.wire import spec
from curveproxy.wire.errors import PeerError
from curveproxy.wire.frame import command
from curveproxy.wire.greeting import greeting
from curveproxy.wire.null import Manner, NullPeer

READY = command(b"READY", b"\x0bSocket-Type\x00\x00\x00\x03REP")
NULL_GREETING = greeting(spec.NULL, as_server=False)


@pytest.mark.parametrize("step", [1, 1000], ids=["octet by octet", "in one piece"])
@pytest.mark.parametrize("manner", list(Manner), ids=lambda manner: manner.name)
def test_two_peers_agree(manner: Manner, step: int) -> None:
    ours, theirs = NullPeer({"Socket-Type": b"REQ"}, manner), NullPeer({"Socket-Type": b"REP"})
    to_theirs, to_ours = ours.opening(), theirs.opening()
    for _ in range(1000):
        piece, to_theirs = to_theirs[:step], to_theirs[step:]
        to_ours += theirs.receive_untrusted(piece) if piece else b""
        piece, to_ours = to_ours[:step], to_ours[step:]
        to_theirs += ours.receive_untrusted(piece) if piece else b""
        if ours.done and theirs.done:
            break
    assert ours.properties == {"Socket-Type": b"REP"}
    assert theirs.properties == {"Socket-Type": b"REQ"}


def test_an_unknown_peer_is_asked_step_by_step() -> None:
    peer = NullPeer({})
    assert peer.opening() == b"\xff" + bytes(8) + b"\x7f"
    assert peer.receive_untrusted(NULL_GREETING[:9]) == b""
    assert peer.receive_untrusted(NULL_GREETING[9:10]) == b"\x03"
    assert peer.receive_untrusted(NULL_GREETING[10:11]) == NULL_GREETING[11:] + command(b"READY", b"")
    assert peer.receive_untrusted(NULL_GREETING[11:] + READY + b"behind") == b""
    assert peer.done
    assert (peer.properties, peer.rest) == ({"Socket-Type": b"REP"}, b"behind")


def test_one_that_listens_says_ready_behind_the_other() -> None:
    peer = NullPeer({}, Manner.LISTENING)
    assert peer.receive_untrusted(NULL_GREETING[:11]) == NULL_GREETING[10:]
    assert peer.receive_untrusted(NULL_GREETING[11:] + READY[:-1]) == b""
    assert peer.receive_untrusted(READY[-1:]) == command(b"READY", b"")


def test_the_minor_version_is_told() -> None:
    peer = NullPeer({}, Manner.AT_ONCE)
    peer.receive_untrusted(NULL_GREETING[:11] + b"\x01" + NULL_GREETING[12:] + READY)
    assert peer.minor == 1


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"HTTP/1.0 200 OK", BackendFailure.GREETING),
        (b"\x01\x00", BackendFailure.GREETING),
        (b"\xff" + bytes(8) + b"\x7f\x01\x04", BackendFailure.GREETING),
        (greeting(spec.CURVE, as_server=True), BackendFailure.MECHANISM),
        (NULL_GREETING + command(b"ERROR", b"\x03400"), BackendFailure.HANDSHAKE),
        (NULL_GREETING + b"\x00\x05hello", BackendFailure.HANDSHAKE),
        (NULL_GREETING + b"\x06" + (1 << 40).to_bytes(8, "big"), BackendFailure.HANDSHAKE),
        (NULL_GREETING + command(b"READY", b"\x0bSocket"), BackendFailure.HANDSHAKE),
    ],
)
def test_what_is_not_a_plain_zmtp_3_service_has_its_reason(octets: bytes, reason: BackendFailure) -> None:
    peer = NullPeer({})

    def feed() -> None:
        for at in range(len(octets)):
            peer.receive_untrusted(octets[at : at + 1])

    with pytest.raises(PeerError) as caught:
        feed()
    assert caught.value.reason == reason
