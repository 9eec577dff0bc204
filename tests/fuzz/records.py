"""Targets of records: what goes on of a stream, by what a slow reader of it says, and by both twins.

The records are made and opened by ``support.records``. The reader of the stream looks at it as a whole.
"""

from typing import NamedTuple

from support import zmtp
from support.records import TAG, Direction, Unopened
from support.twins import CHAIN, filled, record_members_of, record_state
from support.zmtp import COMMAND, LONG, MORE

from curveproxy.wire.codec import python as codec_python
from curveproxy.wire.codec.state import Stop
from curveproxy.wire.zmtp.frame import Dialect
from fuzz.material import Material
from fuzz.targets import target
from fuzz.traffic import CLAIMS, NATIVE, Claim, Guarded, Part, some_data, some_limit

SIDES = (Dialect.V3, Dialect.V1, Dialect.V2)
COMMAND_MAX = 4352
RECORD = 12_000  # a sender's largest
ROOM = 40_000


class Walk(NamedTuple):
    """How far a stream is in order.

    passed: what goes on, as the sink reads it. at: where the stream stands.
    commands: their bodies. One that is too large, or empty, ends it.
    """

    passed: bytes
    at: int
    messages: int
    octets: int
    commands: list[bytes]
    stop: Stop


def walk(stream: bytes, limit: int, source: Dialect, sink: Dialect, *, opened: bool) -> Walk:
    """Read a stream of frames as its source writes them, for a sink. opened: it was in records, so it is strict."""
    passed, at, messages, octets, held, commands = b"", 0, 0, 0, 0, list[bytes]()
    while True:
        rest = stream[at:]
        begin, size, flags = claim = Claim.of(rest, source)
        stop = judged(rest, claim, source, opened=opened)
        if stop is None and flags & COMMAND:
            if size > COMMAND_MAX or not size:
                stop = Stop.COMMAND
            elif size > limit:
                stop = Stop.TOO_LARGE
            elif not claim.is_whole(rest):
                stop = Stop.INCOMPLETE
            else:
                commands.append(rest[begin : begin + size])
                at += begin + size
                continue
        if stop is not None:
            return Walk(passed, at, messages, octets, commands, stop)
        header = head(size, flags, sink)
        weight = size + (len(header) if opened else begin)
        if held + weight > limit:
            return Walk(passed, at, messages, octets, commands, Stop.TOO_LARGE)
        body = rest[begin : begin + size]
        passed, at, octets = passed + header + body, at + begin + len(body), octets + len(body)
        if len(body) < size:
            return Walk(passed, at, messages, octets, commands, Stop.INCOMPLETE)
        held = held + weight if flags & MORE else 0
        messages += not flags & MORE


def judged(rest: bytes, claim: Claim, source: Dialect, *, opened: bool) -> Stop | None:
    """What is wrong with a header, or that it is not whole."""
    begin, size, _ = claim
    if len(rest) < 2:
        return Stop.INCOMPLETE
    if source != Dialect.V1 and rest[0] & ~LONG not in (0, MORE, COMMAND):
        return Stop.FRAMING
    if not begin:
        return Stop.INCOMPLETE
    if not 0 <= size < 1 << 63 or (opened and begin == 9 and size < 256):
        return Stop.FRAMING
    return None


def head(size: int, flags: int, dialect: Dialect) -> bytes:
    """The header of a frame with a body of this size."""
    if dialect != Dialect.V1:
        return zmtp.frame(b"", flags, long=size > 255, size=size)
    return (bytes([size + 1]) if size < 254 else b"\xff" + (size + 1).to_bytes(8, "big")) + bytes([flags])


class Done(NamedTuple):
    """One call. start: how much of the source was taken; place: where in it a command stands."""

    start: int
    passed: bytes
    messages: int
    octets: int
    stop: Stop
    command: bytes
    place: int


class Twins:
    """One direction, in Python between guards, and in C, which must do the very same."""

    def __init__(self, material: Material, suite: int, limit: int, dialect: Dialect, pad_to: int) -> None:
        batch = material.pick([32768, 1, 2, 20])
        twins = [codec_python, *([NATIVE] if NATIVE is not None else [])]
        self._twins = [(twin, record_state(twin, suite, limit, dialect, pad_to, batch=batch)) for twin in twins]

    def call(self, name: str, octets: bytes, capacity: int, at: int) -> Done:
        """Call this function of each, with room for so much behind ``at``."""
        source, into = Guarded(len(octets) + 9, 5, octets), Guarded(at + capacity)
        source.view[5 + len(octets) :] = b"\x01" * 4  # which would be a frame, but is behind the end
        before, untouched, end = bytes(source.view), bytes(into.view), 5 + len(octets)
        found = []
        for twin, state in self._twins:
            own, target = (source, into) if twin is codec_python else (filled(before), filled(untouched))
            batch = getattr(twin, name)(state, own, 5, end, target, at)
            assert 5 <= batch.start <= end
            assert at <= batch.at <= at + capacity
            place, size = state.command if batch.stop == Stop.COMMAND else (0, 0)
            where = target if name == "open_records" else own
            assert name != "open_records" or not size or place >= batch.at
            assert own.view[:5] == before[:5]
            assert own.view[batch.start :] == before[batch.start :]
            assert name == "seal_records" or own.view == before
            assert target.view[:at] == untouched[:at]
            command, passed = bytes(where.view[place : place + size]), bytes(target.view[at : batch.at])
            found.append((batch, passed, command, bytes(own.view), record_members_of(state)))
        assert source.is_intact()
        assert into.is_intact()
        assert found[0] == found[-1]
        (start, _, messages, count, stop), passed, command, _, members = found[0]
        return Done(start - 5, passed, messages, count, stop, command, members["command"][0] - 5)


class Driven:
    """A stream that comes in pieces, until all of it has, or a command comes that is none.

    passed, messages, octets, commands: as in ``Walk``. at: where the stream stands, and stop: why.
    """

    def __init__(self, twins: Twins, name: str, stream: bytes, material: Material) -> None:
        self.passed, self.messages, self.octets, self.at, self.stop = b"", 0, 0, 0, Stop.INCOMPLETE
        self.commands = list[bytes]()
        for end in material.cuts(len(stream)):
            capacity = material.pick([ROOM, ROOM, 100, 40, 1])
            while True:
                done = twins.call(name, stream[self.at : end], capacity, material.number(9))
                self.passed, self.messages = self.passed + done.passed, self.messages + done.messages
                self.octets, self.stop = self.octets + done.octets, done.stop
                if done.stop == Stop.COMMAND and not done.command:
                    self.at += done.start
                    return
                if done.stop == Stop.COMMAND and name == "seal_records":  # which leaves it to us
                    assert done.start < done.place
                    self.at += done.place + len(done.command)
                else:
                    self.at += done.start
                if done.stop == Stop.COMMAND:
                    self.commands.append(done.command)
                elif done.stop != Stop.FULL:
                    break
                capacity = ROOM

    def agrees_with(self, wanted: Walk) -> bool:
        """Whether a slow reader saw the same."""
        seen = self.passed, self.messages, self.octets, self.commands
        return seen == (wanted.passed, wanted.messages, wanted.octets, wanted.commands)


def some_stream(material: Material, dialect: Dialect) -> bytes:
    """A plain stream with what may be wrong with it."""
    octets = b""
    for _ in range(1 + material.number(5)):
        data, more, long = some_data(material), material.flag(), material.number(7) == 7
        octets += Part(data, more).plain(dialect, long=long)
        octets += material.pick(
            [
                *[b""] * 9,
                zmtp.frame(zmtp.ping(), COMMAND),
                zmtp.frame(b"", COMMAND),
                zmtp.frame(bytes(COMMAND_MAX), COMMAND),
                zmtp.frame(b"", COMMAND, long=True, size=COMMAND_MAX + 1),
                zmtp.frame(b"", long=True, size=material.pick(CLAIMS) or 0),
                b"\x08",
                b"\xff",
            ]
        )
    return material.damaged(octets, 1)


@target("wire.codec.records.open_records", "wire.codec.stream.Scan.advance_untrusted")
def records_opening(material: Material) -> None:
    """``open_records``: what goes on was sealed, and is in order up to the first thing that is not."""
    suite, padded, dialect = material.pick([1, 2]), material.flag(), material.pick(SIDES)
    limit, stream = some_limit(material), some_stream(material, Dialect.V3)
    client, octets, begun = Direction(CHAIN, suite, padded=padded), b"", 0
    for end in sorted({*material.cuts(len(stream)), *range(0, len(stream), RECORD)}):
        content, begun = stream[begun:end], end
        if padded:
            size = len(content) + material.pick([0, 0, 0, 80])
            content += bytes(material.number(70)) + size.to_bytes(2, "big")
        if content:
            octets += client.seal(content, rekey=not material.flag())
    octets = material.damaged(octets, 1)
    came, left, is_whole = opened_by(Direction(CHAIN, suite, padded=padded), octets)
    wanted = walk(came, limit, Dialect.V3, dialect, opened=True)
    driven = Driven(Twins(material, suite, limit, dialect, int(padded)), "open_records", octets, material)
    assert driven.agrees_with(wanted)
    if wanted.stop != Stop.INCOMPLETE:
        assert driven.stop == wanted.stop
    else:
        assert driven.stop == (Stop.INCOMPLETE if is_whole else Stop.RECORD)
        assert octets[driven.at :] == left


def opened_by(direction: Direction, octets: bytes) -> tuple[bytes, bytes, bool]:
    """What is in records up to one that does not open, what is left behind them, and whether there is no such one."""
    stream = b""
    while True:
        size = (int.from_bytes(octets[:2], "big") & 0x7FFF) + 3 + TAG[direction.suite]
        if len(octets) < 2 or len(octets) < size:
            return stream, octets, True
        try:
            stream += direction.open(octets[:size])[0]
        except Unopened:
            return stream, octets, False
        octets = octets[size:]


@target("wire.codec.records.seal_records")
def records_sealing(material: Material) -> None:
    """``seal_records``: what it gave opens, and is what it took as far as that was in order."""
    suite, dialect = material.pick([1, 2]), material.pick(SIDES)
    pad_to = material.pick([0, 64, 1, 999, 32768])
    limit, stream = some_limit(material), some_stream(material, dialect)
    wanted = walk(stream, limit, dialect, Dialect.V3, opened=False)
    driven = Driven(Twins(material, suite, limit, dialect, pad_to), "seal_records", stream, material)
    driven.passed, left = Direction(CHAIN, suite, padded=bool(pad_to)).open(driven.passed)
    assert not left
    assert driven.agrees_with(wanted)
    assert (driven.at, driven.stop) == (wanted.at, wanted.stop)
