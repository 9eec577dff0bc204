"""The handshake of ZMTP 3 without security."""

import pytest
from support.zmtp import command_frame

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.greeting import greeting
from curveproxy.wire.zmtp.null import NullInitiator, Pacing

GREETING = greeting(spec.NULL, as_server=False)
OURS = {"Socket-Type": b"DEALER"}
READY = command_frame(b"READY", b"\x0bSocket-Type\x00\x00\x00\x06DEALER")


@pytest.mark.parametrize(
    ("pacing", "start", "answer"),
    [
        (Pacing.PIPELINED, GREETING + READY, b""),
        (Pacing.STEPWISE, GREETING[11:] + READY, b""),
        (Pacing.PEER_FIRST, GREETING[11:], READY),
    ],
    ids=lambda value: value.name if isinstance(value, Pacing) else "",
)
def test_ready_is_said_when_its_pacing_has_it(pacing: Pacing, start: bytes, answer: bytes) -> None:
    peer = NullInitiator(OURS, pacing)
    assert peer.start() == start
    assert peer.receive_untrusted(GREETING + command_frame(b"READY", b"")[:-1]) == b""
    assert peer.receive_untrusted(command_frame(b"READY", b"")[-1:]) == answer


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"HTTP/1.0 200 OK", Fault.NOT_ZMTP),
        (b"\x01\x00", Fault.ZMTP_VERSION),
        (greeting(spec.CURVE, as_server=True), Fault.MECHANISM),
        (GREETING + command_frame(b"ERROR", b"\x03400"), Fault.COMMAND),
        (GREETING + b"\x00\x05hello", Fault.COMMAND),
        (GREETING + b"\x06" + (spec.BACKEND_HANDSHAKE_MAX + 1).to_bytes(8, "big"), Fault.READY),
        (GREETING + command_frame(b"READY", b"\x0bSocket"), Fault.METADATA),
    ],
)
def test_what_is_no_null_peer_has_its_fault(octets: bytes, fault: Fault) -> None:
    with pytest.raises(PeerError) as caught:
        NullInitiator(OURS, Pacing.PIPELINED).receive_untrusted(octets)
    assert caught.value.fault == fault
