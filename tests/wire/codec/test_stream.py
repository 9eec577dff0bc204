"""The scan of the plain stream, by what either twin seals and opens: what is not in order does not go on."""

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import zmtp
from support.records import Direction
from support.twins import CHAIN, called, filled, plain, record_state
from support.zmtp import COMMAND, MORE

from curveproxy.wire.codec.python import RecordState
from curveproxy.wire.codec.state import Buffer, Stop
from curveproxy.wire.codec.stream import Scan
from curveproxy.wire.zmtp.frame import Dialect

HELLO = plain([(b"hello", False)])
PING = zmtp.frame(zmtp.ping(), COMMAND)
SIZES = [0, 1, 252, 253, 254, 255, 256, 257, 700]


def through(twin: ModuleType, state: RecordState, stream: bytes, capacity: int = 1 << 18) -> tuple[bytes, Stop]:
    """What is in the records that are sealed of a stream, and why that ended."""
    octets, batch = called(twin, "seal_records", state, stream, capacity)
    return Direction(CHAIN, 1).open(octets)[0], batch.stop


def from_records(twin: ModuleType, state: RecordState, stream: bytes) -> tuple[bytes, Stop]:
    """What goes on of a stream that comes in records, and why that ended."""
    opened, batch = called(twin, "open_records", state, Direction(CHAIN, 1).batch(stream))
    return opened, batch.stop


def test_a_scan_goes_on_where_it_stood() -> None:
    data = bytearray(HELLO + HELLO)
    scan = Scan(RecordState(CHAIN, 1, 100), data, 0, 0, opened=True)
    for end, read in ((1, 0), (3, 3), (7, 7), (8, 7), (14, 14)):
        assert scan.advance_untrusted(end) == Stop.INCOMPLETE
        assert scan.read == scan.write == read
    assert (scan.messages, scan.octets) == (2, 10)


# --- its form


@pytest.mark.parametrize("size", SIZES)
def test_the_form_of_a_header_follows_from_the_size(twin: ModuleType, size: int) -> None:
    """A sender writes it anew, a receiver refuses it."""
    bodies = [b"a" * size, b"b" * size]
    lavish = b"".join(zmtp.frame(body, MORE, long=True) for body in bodies)
    canonical = b"".join(zmtp.frame(body, MORE) for body in bodies)
    for stream in (lavish, lavish + canonical, canonical + lavish):
        assert through(twin, record_state(twin), stream) == (
            canonical if stream == lavish else canonical * 2,
            Stop.INCOMPLETE,
        )
        accepted = from_records(twin, record_state(twin), stream)
        assert accepted == (
            (stream, Stop.INCOMPLETE)
            if size > 255
            else (canonical if stream.startswith(canonical) else b"", Stop.FRAMING)
        )


def test_what_is_written_anew_may_come_in_pieces(twin: ModuleType) -> None:
    state = record_state(twin)
    stream = HELLO + zmtp.frame(b"x" * 100, long=True) + zmtp.frame(b"y" * 100, MORE, long=True) + HELLO
    client, got, begun = Direction(CHAIN, 1), b"", 0
    for end in range(len(stream) + 1):
        octets, batch = called(twin, "seal_records", state, stream[begun:end])
        got, begun = got + client.open(octets)[0], begun + batch.start
    assert got == HELLO + zmtp.frame(b"x" * 100) + zmtp.frame(b"y" * 100, MORE) + HELLO


@pytest.mark.parametrize(
    ("octets", "stop"),
    [
        (b"\x08\0", Stop.FRAMING),
        (b"\x05\0", Stop.FRAMING),
        (b"\x02" + b"\xff" * 8, Stop.FRAMING),
        (b"\x02" + (1 << 62).to_bytes(8, "big"), Stop.TOO_LARGE),
    ],
    ids=["a reserved flag", "COMMAND with MORE", "2^63", "2^62"],
)
def test_what_is_no_frame_ends_it_behind_what_is(twin: ModuleType, octets: bytes, stop: Stop) -> None:
    for turned in (through, from_records):
        state = record_state(twin)
        assert turned(twin, state, HELLO + octets) == (HELLO, stop)
        assert (state.body_left, state.held) == (0, 0)


# --- the limit


def test_the_limit_holds_all_parts_with_their_headers(twin: ModuleType) -> None:
    stream = plain([(bytes(100), True), (bytes(300), False)])
    for turned in (through, from_records):
        assert turned(twin, record_state(twin, limit=411), stream) == (stream, Stop.INCOMPLETE)
        assert turned(twin, record_state(twin, limit=410), stream) == (stream[:102], Stop.TOO_LARGE)
        assert turned(twin, record_state(twin, limit=102), stream[:102])[1] == Stop.INCOMPLETE
        assert turned(twin, record_state(twin, limit=7), HELLO * 3) == (HELLO * 3, Stop.INCOMPLETE)


def test_a_frame_is_too_large_at_its_header_before_an_octet_goes_on(twin: ModuleType) -> None:
    header = zmtp.frame(b"", long=True, size=1000)
    for turned in (through, from_records):
        state = record_state(twin, limit=1000)
        assert turned(twin, state, HELLO + header) == (HELLO, Stop.TOO_LARGE)
        state = record_state(twin, limit=1009)
        assert turned(twin, state, HELLO + header) == (HELLO + header, Stop.INCOMPLETE)
        assert (state.held, state.body_left, state.more) == (1009, 1000, False)


def test_what_is_held_is_a_whole_message_until_it_has_ended(twin: ModuleType) -> None:
    state = record_state(twin)
    stream = plain([(bytes(10), True), (bytes(300), False)])
    for at, held, left in ((1, 0, 0), (2, 12, 10), (11, 12, 1), (12, 12, 0), (20, 12, 0), (21, 321, 300), (321, 0, 0)):
        state = record_state(twin)
        through(twin, state, stream[:at])
        assert (state.held, state.body_left) == (held, left)


# --- commands


@pytest.mark.parametrize("cut", range(1, len(PING)))
def test_a_command_is_held_until_it_is_whole(twin: ModuleType, cut: int) -> None:
    state, client = record_state(twin), Direction(CHAIN, 1)
    assert called(twin, "open_records", state, client.seal(HELLO + PING[:cut]))[0] == HELLO
    assert state.rest == PING[:cut]
    octets, target = client.seal(PING[cut:] + HELLO), Buffer(100)
    batch = twin.open_records(state, filled(octets), 0, len(octets), target, 3)
    assert (batch.stop, batch.at, batch.start) == (Stop.COMMAND, 3, len(octets))
    place, size = state.command
    assert bytes(target.view[place : place + size]) == zmtp.ping()
    assert place >= batch.at
    assert state.rest == HELLO  # and comes next, without a record
    assert called(twin, "open_records", state, b"")[0] == HELLO


def test_commands_stand_before_and_behind_and_between_frames_of_any_size(twin: ModuleType) -> None:
    large = plain([(bytes(70_000), True), (bytes(70_000), False)])
    state, octets = record_state(twin), Direction(CHAIN, 1).batch(PING + large + PING + PING + HELLO + PING)
    opened, commands = b"", 0
    while True:
        more, batch = called(twin, "open_records", state, octets)
        opened, octets = opened + more, octets[batch.start :]
        if batch.stop != Stop.COMMAND:
            break
        commands += 1
    assert (opened, commands, octets, state.rest) == (large + HELLO, 4, b"", b"")


def test_a_plain_command_is_left_to_the_caller_when_it_is_whole(twin: ModuleType) -> None:
    state = record_state(twin)
    _, batch = called(twin, "seal_records", state, HELLO + PING + HELLO)
    assert (batch.stop, batch.start) == (Stop.COMMAND, len(HELLO))
    assert state.command == (len(HELLO) + 2, len(PING) - 2)
    assert called(twin, "seal_records", record_state(twin), HELLO + PING[:-1])[1].stop == Stop.INCOMPLETE


def test_a_command_has_a_largest_size(twin: ModuleType) -> None:
    largest = zmtp.frame(zmtp.command(b"SUBSCRIBE", bytes(4352 - 10)), COMMAND)
    for name in ("seal_records", "open_records"):
        for command, size in ((largest, 4352), (zmtp.frame(b"", COMMAND, long=True, size=4353), 0)):
            state = record_state(twin, limit=1 << 20)
            octets = HELLO + command
            if name == "open_records":
                octets = Direction(CHAIN, 1).batch(octets)
            _, batch = called(twin, name, state, octets)
            assert (batch.stop, state.command[1]) == (Stop.COMMAND, size)


def test_a_command_may_not_be_larger_than_a_message(twin: ModuleType) -> None:
    for turned in (through, from_records):
        assert turned(twin, record_state(twin, limit=len(PING) - 2), PING)[1] == Stop.COMMAND
        assert turned(twin, record_state(twin, limit=len(PING) - 3), PING)[1] == Stop.TOO_LARGE


# --- ZMTP 1.0 and 2.0


parts = st.lists(
    st.tuples(st.one_of(st.binary(max_size=5), st.sampled_from(SIZES).map(bytes)), st.booleans()), max_size=12
)


@given(parts, st.sampled_from((Dialect.V1, Dialect.V2)), st.data())
def test_older_peers_have_their_own_headers(
    twin: ModuleType, given_parts: list[tuple[bytes, bool]], dialect: Dialect, data: st.DataObject
) -> None:
    theirs, stream = plain(given_parts, dialect), plain(given_parts)
    sealing, opening = record_state(twin, dialect=dialect), record_state(twin, dialect=dialect)
    client, got, begun = Direction(CHAIN, 1), b"", 0
    cuts = [*sorted(data.draw(st.sets(st.integers(0, len(theirs)), max_size=4))), len(theirs)]
    for end in cuts:
        octets, batch = called(twin, "seal_records", sealing, theirs[begun:end])
        got, begun = got + client.open(octets)[0], begun + batch.start
    assert got == stream
    client, got, begun = Direction(CHAIN, 1), b"", 0
    for end in [*sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=4))), len(stream)]:
        octets, begun = client.batch(stream[begun:end]), end
        more, batch = called(twin, "open_records", opening, octets)
        assert batch.stop == Stop.INCOMPLETE
        got += more
    assert got == theirs


def test_many_headers_that_grow_have_room(twin: ModuleType) -> None:
    """To 1.0 a header of two octets becomes one of ten, at worst in each frame."""
    for size in (0, 1, 253, 254, 255, 256):
        given_parts = [(bytes(size), True)] * (120_000 // (size + 2))
        octets = Direction(CHAIN, 1).batch(plain(given_parts))
        state = record_state(twin, dialect=Dialect.V1, limit=1 << 30, batch=1 << 20)
        assert called(twin, "open_records", state, octets)[0] == plain(given_parts, Dialect.V1)


def test_the_limit_is_of_headers_as_the_plain_side_has_them(twin: ModuleType) -> None:
    stream, theirs = plain([(bytes(255), True)]), plain([(bytes(255), True)], Dialect.V1)
    for limit, stop in ((265, Stop.INCOMPLETE), (264, Stop.TOO_LARGE)):
        state = record_state(twin, limit=limit, dialect=Dialect.V1)
        assert through(twin, state, theirs)[1] == stop
        state = record_state(twin, limit=limit, dialect=Dialect.V1)
        assert from_records(twin, state, stream)[1] == stop


def test_a_size_of_nothing_is_no_frame_of_1_0(twin: ModuleType) -> None:
    for octets in (b"\0\0", b"\xff" + bytes(8) + b"\0"):
        assert through(twin, record_state(twin, dialect=Dialect.V1), octets)[1] == Stop.FRAMING
