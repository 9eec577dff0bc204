"""What is wrong with a frame that did not open, and how a stream goes on behind it, with the state of either twin."""

from types import ModuleType

import pytest
from support.twins import direction, filled, message

from curveproxy.wire import spec
from curveproxy.wire.codec.resync import Defect, Probed, Resync, has_room, probe
from curveproxy.wire.codec.state import Buffer, CodecState, Stop
from curveproxy.wire.errors import Fault


def met(
    twin: ModuleType, state: CodecState, octets: bytes, resync: Resync | None = None
) -> tuple[Defect | None, bytes | None]:
    """What is wrong with the one frame that these octets are, and the command that it was. The stream goes on."""
    resync = resync or Resync(state)
    source, target = filled(octets), Buffer(1 << 17)
    batch = twin.open_frames(state, source, 0, len(octets), target, 0)
    assert batch.stop > Stop.FULL
    opened = probe(state, batch, source, len(octets), target)
    defect = resync.diagnose(batch.stop, opened, source, batch.start, len(octets))
    return defect, resync.resume(opened)


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (message(7, 0, b"data", key=bytes(32)), Fault.BOX),
        (message(7, 0, b"data", name=b"MESSAGF"), Fault.NOT_MESSAGE),
        (message(7, 0, b"data", outer=1), Fault.OUTER_MORE),
        (message(6, 0, b"data"), Fault.NONCE),
        (message(8, 0, b"data"), Fault.GAP),
        (message(8, 0, b"data", key=bytes(32)), Fault.BOX),
        (message(7, 0, bytes(1000)), Fault.TOO_LARGE),
        (b"\0\x20" + bytes(32), Fault.TOO_SHORT),
    ],
    ids=["box", "name", "outer more", "old nonce", "gap", "box behind a gap", "large", "short"],
)
def test_a_frame_that_is_wrong_has_its_fault_and_its_size(twin: ModuleType, octets: bytes, fault: Fault) -> None:
    defect, command = met(twin, direction(twin, nonce=6, limit=500), octets)
    assert (defect, command) == (Defect(fault, len(octets)), None)


@pytest.mark.parametrize("octets", [message(7, 0, b"data", outer=0x40), b"\2" + (10**6).to_bytes(8, "big")])
def test_no_frame_can_be_followed_where_the_stream_is_not_framed(twin: ModuleType, octets: bytes) -> None:
    assert met(twin, direction(twin, nonce=6, limit=500), octets)[0] == Defect(Fault.FRAMING, 0)


def test_a_gap_gives_up_the_message_that_it_may_be_in(twin: ModuleType) -> None:
    state = direction(twin, nonce=6)
    state.held = 100
    assert met(twin, state, message(9, 1, b"data"))[0] == Defect(Fault.GAP, 39)
    assert (state.nonce, state.held, state.discarding) == (9, 0, True)
    target = Buffer(1000)
    octets = message(10, 1, b"more") + message(11, 0, b"end") + message(12, 0, b"next")
    batch = twin.open_frames(state, filled(octets), 0, len(octets), target, 0)
    assert (bytes(target.view[: batch.at]), batch.stop) == (b"\0\4next", Stop.INCOMPLETE)


def test_a_frame_that_was_left_out_explains_the_gap_behind_it_once(twin: ModuleType) -> None:
    state = direction(twin, nonce=6)
    resync = Resync(state)
    for _ in range(2):
        assert met(twin, state, message(7, 0, b"data", key=bytes(32)), resync)[0] == Defect(Fault.BOX, 39)
    assert met(twin, state, message(9, 0, b"data"), resync)[0] == Defect(None, 39)
    assert met(twin, state, message(12, 0, b"data"), resync)[0] == Defect(Fault.GAP, 39)
    assert (state.nonce, state.discarding) == (12, False)


def test_more_are_missing_than_were_left_out(twin: ModuleType) -> None:
    state = direction(twin, nonce=6)
    resync = Resync(state)
    assert met(twin, state, message(7, 0, b"data", key=bytes(32)), resync)[0] == Defect(Fault.BOX, 39)
    assert met(twin, state, message(9, 0, b"data"), resync)[0] == Defect(Fault.GAP, 39)


def test_a_command_behind_a_gap_is_heeded_and_ends_no_message(twin: ModuleType) -> None:
    state = direction(twin, nonce=6)
    state.held = 100
    assert met(twin, state, message(9, 2, b"\4PONG")) == (Defect(Fault.GAP, 40), b"\4PONG")
    assert (state.nonce, state.held, state.discarding) == (9, 0, True)


def test_nothing_is_told_of_a_frame_of_which_too_little_is_here(twin: ModuleType) -> None:
    state, octets = direction(twin, nonce=6), message(9, 0, bytes(300))
    for end in (5, len(octets) - 1):
        source = filled(octets)
        batch = twin.open_frames(state, source, 0, end, Buffer(1000), 0)
        assert batch.stop == Stop.INCOMPLETE
        assert probe(state, batch, source, end, Buffer(1000)) is None
        assert Resync(state).diagnose(Stop.NONCE, None, source, 0, end) is None


@pytest.mark.parametrize(
    ("flags", "body", "command"),
    [
        (2, b"\x04PONG", b"\x04PONG"),
        (2, bytes(spec.COMMAND_MAX), bytes(spec.COMMAND_MAX)),
        (2, bytes(spec.COMMAND_MAX + 1), b""),
        (1, bytes(100_000), None),
    ],
)
def test_of_a_frame_behind_a_gap_only_a_command_is_kept_and_only_a_small_one(
    twin: ModuleType, flags: int, body: bytes, command: bytes | None
) -> None:
    """A frame of any size is judged by its nonce and its flags; what else is in it was in nobody's way."""
    octets, state, target = message(9, flags, body), direction(twin, nonce=6), Buffer(1 << 17)
    batch = twin.open_frames(state, filled(octets), 0, len(octets), target, 0)
    assert batch.stop == Stop.NONCE
    assert has_room(state, batch, filled(octets), len(octets), target)
    assert probe(state, batch, filled(octets), len(octets), target) == Probed(9, flags, command)
    small = Buffer(len(octets) - 1)
    assert not has_room(state, batch, filled(octets), len(octets), small)


def test_a_command_in_order_that_is_larger_than_any_is_not_copied(twin: ModuleType) -> None:
    octets, state, target = message(7, 2, bytes(100_000)), direction(twin, nonce=6), Buffer(1 << 17)
    batch = twin.open_frames(state, filled(octets), 0, len(octets), target, 0)
    assert batch.stop == Stop.COMMAND
    assert probe(state, batch, filled(octets), len(octets), target) == Probed(7, 2, b"")
