"""Targets of what comes after the handshake: the codec, commands, what a publisher may be sent.

The codec is judged by what it did: all that it took must have been lawful, all that it gave must be what was taken,
and at what it stopped there must be that reason to stop.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from support import curve, zmtp
from support.twins import called_in_place, copied, members_of, twin_named
from support.zmtp import COMMAND, LONG, MORE, Frame, Malformed

from curveproxy.policy.access.terms import NO_TERMS, KeyTerms
from curveproxy.policy.limits import MessageLimits
from curveproxy.policy.socket_types import PUBLISHERS, SENDERS, SUBSCRIBERS
from curveproxy.proxy.relay.commands import decide_untrusted
from curveproxy.proxy.relay.filters.backend_filter import filter_for
from curveproxy.proxy.relay.filters.legacy_pubsub import SubscriptionSink
from curveproxy.proxy.relay.filters.partial_messages import PartialMessages
from curveproxy.proxy.relay.opener import FilteringOpener
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.reasons import Invalid
from curveproxy.wire import sodium, spec
from curveproxy.wire.codec import python as codec_python
from curveproxy.wire.codec import select as codec
from curveproxy.wire.codec.resync import Resync, has_room, probe
from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.errors import Fault
from curveproxy.wire.zmtp import command as commands
from curveproxy.wire.zmtp.frame import Dialect
from fuzz.material import Material
from fuzz.targets import judged, refused, target

KEY = bytes(range(32))
SIZES = (5, 0, 1, 221, 222, 223, 252, 253, 254, 255, 256, 700)
CLAIMS = (*[None] * 12, 0, 32, 33, 1 << 16, 1 << 62, 1 << 63, (1 << 64) - 1)
GUARD = b"\xa5" * 64


NATIVE = twin_named("c")


def agreed(name: str) -> Callable[[CodecState, Buffer, int, int, Buffer, int], Batch]:
    """A function of the codec in Python, and the twin in C must do the very same."""

    def turn(state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        if NATIVE is None:
            batch: Batch = getattr(codec_python, name)(state, source, start, end, target, at)
            return batch
        twins_state, twins_source, twins_target = copied(NATIVE, state), Buffer(len(source)), Buffer(len(target))
        twins_source.view[:], twins_target.view[:] = source.view, target.view
        batch = getattr(codec_python, name)(state, source, start, end, target, at)
        assert getattr(NATIVE, name)(twins_state, twins_source, start, end, twins_target, at) == batch
        assert members_of(twins_state) == members_of(state)
        assert twins_source.view == source.view
        written = sum(state.command) if batch.stop == Stop.COMMAND else batch.at
        assert twins_target.view[:written] == target.view[:written]
        return batch

    return turn


open_frames, seal_frames = agreed("open_frames"), agreed("seal_frames")


class Guarded(Buffer):
    """A buffer between guards, which nobody may touch; the rest of it is filled with what means nothing."""

    def __init__(self, size: int, at: int = 0, octets: bytes = b"") -> None:
        self._whole = bytearray(GUARD + (GUARD * (size // len(GUARD) + 1))[:size] + GUARD)
        self.view = memoryview(self._whole)[len(GUARD) : len(GUARD) + size]
        self.view[at : at + len(octets)] = octets
        self.data: Any = self.view  # all that the codec does to a bytearray
        self.pointer = sodium.address("unsigned char[]", self.view)

    def is_intact(self) -> bool:
        return self._whole.startswith(GUARD) and self._whole.endswith(GUARD)


class Part(NamedTuple):
    """One frame of a message, in the clear."""

    data: bytes
    more: bool

    def plain(self, dialect: Dialect, *, long: bool = False) -> bytes:
        """As a peer of that dialect writes it."""
        if dialect != Dialect.V1:
            return zmtp.frame(self.data, MORE * self.more, long=long or None)
        size = len(self.data) + 1
        header = bytes([size]) if size < 255 and not long else struct.pack(">BQ", 0xFF, size)
        return header + bytes([self.more]) + self.data


class Claim(NamedTuple):
    """What a frame's header says. begin: where its body does; 0 for half a header."""

    begin: int
    size: int
    flags: int

    @classmethod
    def of(cls, octets: bytes, dialect: Dialect = Dialect.V3) -> "Claim":
        v1 = dialect == Dialect.V1
        if octets[:1] == b"\xff" if v1 else octets[:1] and octets[0] & LONG:
            begin = 10 if v1 else 9
            size = int.from_bytes(octets[1:9], "big")
        else:
            begin, size = 2, octets[not v1] if len(octets) > 1 else 0
        if len(octets) < begin:
            return cls(0, 0, 0)
        return cls(begin, size - v1, octets[begin - 1] & MORE if v1 else octets[0] & ~LONG)

    def is_whole(self, octets: bytes) -> bool:
        return 0 < self.begin <= len(octets) - self.size


def read_plain(octets: bytes, dialect: Dialect) -> list[tuple[Part, int]]:
    """Whole plain frames and nothing else: each one, and the size of its header."""
    parts = []
    while octets:
        begin, size, flags = claim = Claim.of(octets, dialect)
        if not claim.is_whole(octets) or flags & ~MORE:
            raise Malformed("no plain frame")
        parts.append((Part(octets[begin : begin + size], bool(flags)), begin))
        octets = octets[begin + size :]
    return parts


class Tally:
    """What a batch must have counted, given the parts that it passed on."""

    def __init__(self, held: int, parts: list[tuple[Part, int]], limit: int) -> None:
        self.messages = self.octets = 0
        self.held = held
        for (data, more), header in parts:
            self.held += header + len(data)
            assert self.held <= limit
            self.octets += len(data)
            if not more:
                self.messages, self.held = self.messages + 1, 0


def some_data(material: Material) -> bytes:
    """Data of a size at which something changes."""
    size = material.pick(SIZES)
    return material.take(min(size, 4)).ljust(size, b"x")


def some_limit(material: Material) -> int:
    """A limit, out of reach or near."""
    return material.pick([1 << 20, 300, 1 + material.number(1000)])


def some_held(material: Material, limit: int) -> int:
    """What a message has that began before."""
    return material.pick([0, min(limit, 290), material.number(min(limit, 300))])


class Stream:
    """MESSAGEs of a client that holds the key, then damaged; and the state of whoever opens them."""

    def __init__(self, material: Material) -> None:
        self.little = material.flag()
        first = material.pick([2, 1 << 32, (1 << 64) - 3])
        octets = b""
        for number in range(1 + material.number(5)):
            count = first + 1 + number + material.pick([*[0] * 13, 1, -1, 256])
            nonce = (count % (1 << 64)).to_bytes(8, "little" if self.little else "big")
            flags = material.pick([0, 1, 0, 1, 2, 3, 0x80, 0x41])
            body = curve.message(KEY, curve.FROM_CLIENT, nonce, some_data(material), flags)
            outer = material.pick([*[0] * 11, COMMAND, MORE, MORE | COMMAND, 0x40, 0x80])
            size = material.pick(CLAIMS)
            octets += zmtp.frame(body, outer, long=True if size is not None else material.pick([None, True]), size=size)
        self.octets = material.damaged(octets, 2)
        self.state = CodecState(
            KEY,
            curve.FROM_CLIENT,
            first,
            limit=some_limit(material),
            dialect=material.pick([Dialect.V3, Dialect.V1]),
            little_endian=self.little,
            discarding=material.flag(),
        )
        self.state.held = some_held(material, self.state.limit)

    def is_due(self, nonce: bytes, count: int) -> bool:
        """Whether these are the octets of that nonce; behind the last there is none."""
        return count < 1 << 64 and nonce == count.to_bytes(8, "little" if self.little else "big")


class Run:
    """One batch, run between guards, with what every batch must keep to."""

    def __init__(self, codec: Any, state: CodecState, octets: bytes, material: Material) -> None:
        self.begin, self.at = material.number(20), material.number(40)
        self.end = self.begin + len(octets)
        near = max(0, len(octets) + material.number(255) - 127)
        capacity = self.at + material.pick([4096, near, 1 + material.number(1500)])
        self.source = Guarded(self.end + material.number(20) + 1, self.begin, octets)
        self.target = Guarded(max(1, capacity))
        capacity = len(self.target.view)
        state.batch = material.number(5) or state.batch
        self.before = bytes(self.source.view)
        batch: Batch = codec(state, self.source, self.begin, self.end, self.target, self.at)
        self.start, self.messages, self.octets, self.stop = batch.start, batch.messages, batch.octets, batch.stop
        at = batch.at
        assert self.source.is_intact()
        assert self.target.is_intact()
        assert self.begin <= self.start <= self.end
        assert self.at <= at <= capacity
        assert bytes(self.target.view[: self.at]) == bytes(Guarded(capacity).view[: self.at])
        self.taken, self.rest = self.before[self.begin : self.start], self.before[self.start : self.end]
        self.given, self.room = bytes(self.target.view[self.at : at]), capacity - at

    def stops_at_its_bound(self, frames: int, state: CodecState) -> bool:
        """Whether it stopped behind as many frames as it may turn, and no other reason is needed."""
        assert frames <= state.batch
        return self.stop == Stop.FULL and frames == state.batch


def check_in_place(name: str, state: CodecState, octets: bytes, other: bytes) -> None:
    """One large frame becomes the same where it lies."""
    for twin in filter(None, (codec_python, NATIVE)):
        turned, batch, _ = called_in_place(twin, name, copied(twin, state), octets)
        assert (turned, batch.start, batch.stop) == (other, len(octets), Stop.INCOMPLETE)


@target("wire.codec.python.open_frames")
def opening(material: Material) -> None:
    """``open_frames``: what it took was sealed, and comes out whole, in order and counted."""
    stream = Stream(material)
    state, dialect = stream.state, stream.state.dialect
    nonce, held, discarding = state.nonce, state.held, state.discarding
    run = Run(open_frames, state, stream.octets, material)
    assert bytes(run.source.view) == run.before
    frames = zmtp.read_frames(run.taken)
    opened = [curve.read_message(frame.body, KEY, curve.FROM_CLIENT) for frame in frames]
    assert all(_agree(frame.flags, message.flags) for frame, message in zip(frames, opened, strict=True))
    assert all(stream.is_due(message.nonce, nonce + count) for count, message in enumerate(opened, 1))
    assert state.nonce == nonce + len(opened)
    are_commands = [bool(message.flags & curve.INNER_COMMAND) for message in opened]
    assert are_commands == [False] * (len(opened) - 1) + [run.stop == Stop.COMMAND] * bool(opened)
    parts = []
    for _, flags, data in opened[: len(opened) - (run.stop == Stop.COMMAND)]:
        part = Part(data, bool(flags & MORE))
        if not discarding:
            parts.append((part, len(part.plain(dialect)) - len(data)))
        discarding = discarding and part.more
    for count, (frame, (_, flags, data)) in enumerate(zip(frames, opened, strict=True)):
        if len(data) > spec.SHORT_BODY_MAX and not flags & curve.INNER_COMMAND:
            fresh = CodecState(KEY, curve.FROM_CLIENT, nonce + count, 1 << 20, dialect, state.little_endian)
            check_in_place("open_frames", fresh, zmtp.frame(frame.body), Part(data, bool(flags & MORE)).plain(dialect))
    assert run.given == b"".join(part.plain(dialect) for part, _ in parts)
    tally = Tally(held, parts, state.limit)
    assert (run.messages, run.octets, state.held) == (tally.messages, tally.octets, tally.held)
    assert state.discarding == discarding
    if run.stop == Stop.COMMAND:
        at, size = state.command
        assert bytes(run.target.view[at : at + size]) == opened[-1].data
        assert at >= run.at + len(run.given)
    else:
        assert run.stops_at_its_bound(len(opened), state) or _may_stop_opening(run, stream)


def _may_stop_opening(run: Run, stream: Stream) -> bool:
    """Whether there is that reason to stop at what was left."""
    begin, size, flags = claim = Claim.of(run.rest)
    is_whole, body, state = claim.is_whole(run.rest), run.rest[begin : begin + size], stream.state
    plain = len(Part(bytes(max(0, size - 33)), more=False).plain(state.dialect)) if is_whole else max(0, size - 33) + 2
    if run.stop == Stop.INCOMPLETE:  # and nothing that could be told already
        told = begin and (flags not in (0, COMMAND, MORE) or size < 33 or state.held + plain > state.limit)
        return not is_whole and not told
    inner = _inner_flags(body) if is_whole else None
    reasons = {
        Stop.FULL: is_whole and plain > run.room,
        Stop.FRAMING: run.rest[0] & ~LONG not in (0, COMMAND, MORE) or size >= 1 << 63,
        Stop.OUTER_MORE: is_whole and inner is not None and not _agree(flags, inner),
        Stop.TOO_SHORT: size < 33,
        Stop.TOO_LARGE: state.held + max(plain, size - 33 + 2) + 8 > state.limit,
        Stop.NOT_MESSAGE: is_whole and body[:8] != zmtp.command(b"MESSAGE"),
        Stop.NONCE: is_whole and not stream.is_due(body[8:16], state.nonce + 1),
        Stop.BOX: is_whole and inner is None,
    }
    return reasons[run.stop]


def _inner_flags(body: bytes) -> int | None:
    """What the box of a MESSAGE says; None when it does not open."""
    try:
        return curve.read_message(body, KEY, curve.FROM_CLIENT).flags
    except Malformed:
        return None


def _agree(outer: int, inner: int) -> bool:
    """Whether the outer flags claim no part that the inner ones do not."""
    return not outer & MORE or inner & (curve.INNER_MORE | curve.INNER_COMMAND) == curve.INNER_MORE


@target("wire.codec.python.seal_frames")
def sealing(material: Material) -> None:
    """``seal_frames``: what it gave opens, holds what it took, and ``open_frames`` makes the same of it."""
    dialect = material.pick([Dialect.V3, Dialect.V1])
    octets = b""
    for _ in range(1 + material.number(5)):
        part = Part(some_data(material), material.flag())
        plain = part.plain(dialect, long=material.number(3) == 3)
        before = material.pick([b"", b"", b"", b"\4\x07", b"\2" + bytes(8), b"\xff" * 9, b"\xff" + bytes(8), b"\x08"])
        octets += before + plain
    nonce, limit = material.pick([1, 1 << 32]), some_limit(material)
    state = CodecState(KEY, curve.FROM_SERVER, nonce, limit, dialect, held=some_held(material, limit))
    held = state.held
    run = Run(seal_frames, state, material.damaged(octets, 2), material)
    parts = read_plain(run.taken, dialect)
    sealed = zmtp.read_frames(run.given)
    assert run.given == b"".join(zmtp.frame(frame.body) for frame in sealed)
    opened = [curve.read_message(frame.body, KEY, curve.FROM_SERVER) for frame in sealed]
    assert [(message.data, message.flags) for message in opened] == [(data, more) for (data, more), _ in parts]
    assert [curve.short(nonce + count) for count in range(1, 1 + len(opened))] == [each.nonce for each in opened]
    assert state.nonce == nonce + len(opened)
    tally = Tally(held, parts, limit)
    assert (run.messages, run.octets, state.held) == (tally.messages, tally.octets, tally.held)
    for count, ((part, _), frame) in enumerate(zip(parts, sealed, strict=True)):
        if len(part.data) > spec.SHORT_BODY_MAX:
            fresh = CodecState(KEY, curve.FROM_SERVER, nonce + count, 1 << 20, dialect)
            check_in_place("seal_frames", fresh, part.plain(dialect), zmtp.frame(frame.body))
    changed, at = bytearray(run.source.view), run.begin
    for part, header in parts:  # the last octet of a header may have been overwritten
        changed[at + header - 1] = run.before[at + header - 1]
        at += header + len(part.data)
    assert changed == run.before
    assert run.stops_at_its_bound(len(parts), state) or _may_stop_sealing(run, state)
    back, target = CodecState(KEY, curve.FROM_SERVER, nonce, 1 << 20, dialect), Buffer(1 << 14)
    batch = open_frames(back, run.target, run.at, run.at + len(run.given), target, 0)
    assert batch.stop == Stop.INCOMPLETE
    assert bytes(target.view[: batch.at]) == b"".join(part.plain(dialect) for part, _ in parts)


def _may_stop_sealing(run: Run, state: CodecState) -> bool:
    begin, size, flags = claim = Claim.of(run.rest, state.dialect)
    is_whole, is_v1 = claim.is_whole(run.rest), state.dialect == Dialect.V1
    unlawful = begin and (flags not in (0, MORE, COMMAND) or not 0 <= size < 1 << 63)
    large = begin and state.held + begin + size > state.limit
    reasons = {
        Stop.INCOMPLETE: not is_whole and not unlawful and not large,
        Stop.FULL: is_whole and len(zmtp.frame(bytes(max(0, size) + 33))) > run.room,
        Stop.COMMAND: is_whole and flags == COMMAND and not is_v1,
        Stop.FRAMING: unlawful,
        Stop.TOO_LARGE: large and not unlawful,
    }
    return bool(reasons[run.stop])


@target()
def resync(material: Material) -> None:
    """A stream of which what does not open is dropped: each step goes forward, and to the beginning of a frame."""
    stream = Stream(material)
    state, octets, sync = stream.state, stream.octets, Resync(stream.state)
    source, target, start = Buffer(len(octets) + 1), Guarded(1 << 14), 0
    source.view[: len(octets)] = octets
    while True:
        begun, nonce = start, state.nonce
        batch = open_frames(state, source, start, len(octets), target, 0)
        start, stop = batch.start, batch.stop
        if stop <= Stop.FULL:
            break
        assert has_room(state, batch, source, len(octets), target)
        opened = probe(state, batch, source, len(octets), target)
        if stop == Stop.COMMAND:
            assert opened is not None
            assert opened.command is not None
            assert start > begun
            continue
        defect = sync.diagnose(stop, opened, source, start, len(octets))
        if defect is None:
            assert not Claim.of(octets[start:]).is_whole(octets[start:])
            break
        if not defect.size:
            assert defect.fault == Fault.FRAMING
            break
        begin, size, _ = Claim.of(octets[start:])
        assert defect.size == begin + size
        sync.resume(opened)
        assert state.nonce >= nonce
        start += defect.size
        assert start > begun
        if start >= len(octets):
            break
    assert source.data[:-1] == octets
    assert target.is_intact()
    assert 0 <= state.held <= state.limit


TYPES = (b"ROUTER", b"PUB", b"XPUB", b"RADIO", b"DEALER", None)
NAMES = (b"PING", b"PONG", b"SUBSCRIBE", b"CANCEL", b"JOIN", b"LEAVE", b"ERROR", b"PING\0", b"")


def some_command(material: Material) -> bytes:
    """A command's body."""
    size = material.pick([2, 0, 1, 16, 17, 18, 19, 255, 256, 4095, 4096, material.number(30)])
    return material.damaged(zmtp.command(material.pick(NAMES), material.filled(size)), 1)


@target(
    "wire.zmtp.command.split_command_untrusted",
    "wire.zmtp.command.check_ping_untrusted",
    "wire.zmtp.command.check_pong_untrusted",
)
def command(material: Material) -> None:
    """Commands are what their octets say, and a PING that was passed on once passes again unchanged."""
    body = some_command(material)
    found = judged([Fault.COMMAND], commands.split_command_untrusted, body)
    try:
        assert found == zmtp.read_command(body)
    except Malformed:
        assert refused(found)
        return
    name, data = found
    assert commands.body_of(name, data) == body
    ping = judged([Fault.COMMAND], commands.check_ping_untrusted, data)
    assert refused(ping) == (not 2 <= len(data) <= 18)
    if not refused(ping):
        assert commands.check_ping_untrusted(ping) == ping
        assert (ping[2:], len(ping)) == (data[2:], len(data))
        assert int.from_bytes(ping[:2], "big") == min(655, int.from_bytes(data[:2], "big"))
        assert zmtp.read_command(commands.pong_for(ping)) == (b"PONG", data[2:])
    pong = judged([Fault.COMMAND], commands.check_pong_untrusted, data)
    assert refused(pong) == (len(data) > 16)
    assert refused(pong) or pong == data


def some_side(material: Material) -> Capabilities:
    """One side of a session."""
    minor, dialect = 1 - material.number(1), material.pick([Dialect.V3, Dialect.V2, Dialect.V1])
    minor = minor if dialect == Dialect.V3 else 0
    return Capabilities(minor, material.pick(TYPES), dialect, knows_ping=material.flag())


def check_passed(sent: Frame, body: bytes, sink: Capabilities) -> None:
    """A sink is sent nothing that it might fall over."""
    assert len(sent.body) <= len(body)
    if sent.flags != COMMAND:
        assert sink.socket_type in PUBLISHERS
        assert sent.flags == 0
        assert sent.body[0] in (0, 1)
        assert len(sent.body) <= 4096
        return
    name, data = zmtp.read_command(sent.body)
    assert name in (b"PING", b"PONG", b"JOIN", b"LEAVE")
    assert name != b"PING" or (sink.minor >= 1 and 2 <= len(data) <= 18)
    assert name != b"PONG" or (sink.knows_ping and len(data) <= 16)
    assert name not in (b"JOIN", b"LEAVE") or len(data) <= 255


@target("proxy.relay.commands.decide_untrusted")
def verdict(material: Material) -> None:
    """One thing becomes of a command: it goes on, or is answered, or is dropped."""
    body, sink = some_command(material), some_side(material)
    found = decide_untrusted(body, sink)
    assert found.invalid in (None, Invalid.COMMAND, Invalid.TOO_LARGE)
    fates = bool(found.pass_on), bool(found.answer), found.dropped, found.invalid is not None, found.answers_ping
    assert sum(fates) == 1
    if found.pass_on:
        check_passed(Frame(found.flags, found.pass_on), body, sink)
    if found.answer:
        assert found.answer == zmtp.command(b"PONG", zmtp.part(body, b"PING", 7, 23)[2:])


TERMS = [
    NO_TERMS,
    KeyTerms(topics=(b"ab", b"t"), publish_topics=(b"x", b"\1a")),
    KeyTerms(topics=(), publish_topics=()),
]


@target()
def transformed_command(material: Material) -> None:
    """Both transforms pass a command on in a frame that is no longer than the one in which it came."""
    body, sink = some_command(material), some_side(material)
    limits, held = MessageLimits(), material.pick([0, 0, 0, 9])
    the_filter = filter_for(sink, drops=True, xpub_messages=False, terms=material.pick(TERMS))
    opening = codec.CodecState(KEY, curve.FROM_CLIENT, 0, 1 << 20, held=held)
    sealing = codec.CodecState(KEY, curve.FROM_SERVER, 1, 1 << 20, held=held)
    opener = FilteringOpener(opening, sink, limits, PartialMessages(), the_filter)
    boxed = zmtp.frame(curve.message(KEY, curve.FROM_CLIENT, 1, body, curve.INNER_COMMAND))
    plain = zmtp.frame(body, COMMAND)
    for transform, came in ((opener, boxed), (Sealer(sealing, sink, limits), plain)):
        buffer, target = Guarded(len(came), 0, came), Buffer(1 << 14)
        result = transform.apply(buffer, 0, len(came), target)
        if result.stop <= Stop.FULL:
            assert len(body) > 1 << 12
            continue
        transform.resolve(result, buffer, len(came), lambda: 0.0)
        assert result.start == len(came)
        filtered = {Invalid.NOT_ACCEPTED, Invalid.NOT_SUBSCRIBED, Invalid.TOPIC} if transform is opener else set()
        assert set(result.invalid) <= {Invalid.COMMAND, Invalid.TOO_LARGE} | filtered
        passed, is_sunk = bytes(result.output), isinstance(the_filter, SubscriptionSink) and transform is opener
        assert result.off_topic == 0, "of one command"
        fates = bool(passed), bool(result.reply), bool(result.invalid)
        assert sum(fates) <= 1
        assert any(fates) or is_sunk or result.answers_ping
        if not passed:
            continue
        assert not is_sunk or b"SUBSCRIBE" not in body[:10]
        (frame,) = zmtp.read_frames(passed)
        if transform is opener:
            assert len(passed) <= len(came)
        else:
            _, flags, data = curve.read_message(frame.body, KEY, curve.FROM_SERVER)
            frame = Frame(COMMAND if flags == curve.INNER_COMMAND else flags, data)
            assert len(passed) <= len(came) + spec.LONG_HEADER + spec.MESSAGE_OVERHEAD
        check_passed(frame, body, sink)


FILTERED = (b"PUB", b"XPUB", b"PUSH", b"REQ", b"REP", b"RADIO", b"SUB", b"XSUB")
BODIES = (
    b"",
    b"\1a",
    b"\0a",
    b"\1ab",
    b"\0ab",
    b"\0",
    b"\1",
    b"x",
    b"\1" + b"t" * 4095,
    b"\1" + b"t" * 4096,
    b"y" * 300,
)


class Survivor:
    """A service of one age and type that asserts what libzmq does, over the messages that it is sent."""

    def __init__(self, side: Capabilities, *, xpub_messages: bool, terms: KeyTerms) -> None:
        self.terms = terms
        self.side, self.takes_messages = side, xpub_messages and side.socket_type == b"XPUB"
        self.subscribed = set[bytes]()

    def sent(self, message: list[bytes]) -> Invalid | None:
        """Take a message; why it must not be sent."""
        kind, is_first = self.side.socket_type, message[0]
        is_old = self.side.dialect == Dialect.V1
        if kind in PUBLISHERS:
            return self._published(message)
        if kind in SENDERS:
            return Invalid.NOT_ACCEPTED
        if kind in SUBSCRIBERS and not self._may(is_first, self.terms.publish_topics):
            return Invalid.TOPIC
        if is_old and kind == b"REQ" and (is_first or len(message) == 1):
            return Invalid.NOT_ACCEPTED
        if is_old and kind == b"REP" and b"" not in message[:-1]:
            return Invalid.NOT_ACCEPTED
        return None

    def _may(self, topic: bytes, prefixes: Sequence[bytes] | None) -> bool:
        return prefixes is None or any(topic[: len(each)] == each for each in prefixes)

    def _published(self, message: list[bytes]) -> Invalid | None:
        if any(part[:1] in (b"\0", b"\1") for part in message):
            (subscription, *others) = message
            if others or subscription[:1] not in (b"\0", b"\1"):
                return Invalid.NOT_ACCEPTED
            if len(subscription) > spec.SUBSCRIPTION_MAX:
                return Invalid.TOO_LARGE
            lead, topic = subscription[0], subscription[1:]
            if not self._may(topic, self.terms.topics):
                return Invalid.TOPIC
            if lead == 0 and self.side.minor < 1 and topic not in self.subscribed:
                return Invalid.NOT_SUBSCRIBED
            (self.subscribed.add if lead else self.subscribed.discard)(topic)
            return None
        return None if self.takes_messages and self.side.dialect != Dialect.V1 else Invalid.NOT_ACCEPTED


@target("proxy.relay.filters.message_filter.Filter.filter_untrusted")
def filtering(material: Material) -> None:
    """Whole messages are left out, those that the service must not see and no others; else the session has ended."""
    dialect = material.pick([Dialect.V3, Dialect.V2, Dialect.V1])
    side = Capabilities(material.number(1) if dialect == Dialect.V3 else 0, material.pick(FILTERED), dialect)
    drops, xpub_messages = material.flag(), material.flag()
    terms = material.pick(TERMS)
    the_filter = filter_for(side, drops=drops, xpub_messages=xpub_messages, terms=terms)
    messages = [
        [material.pick(BODIES) for _ in range(1 + material.pick([0, 0, 0, 1, 2]))]
        for _ in range(1 + material.number(6))
    ]
    survivor = Survivor(side, xpub_messages=xpub_messages, terms=terms)
    verdicts = [survivor.sent(message) for message in messages]
    if the_filter is None:
        assert verdicts == [None] * len(messages)
        return
    parts = [Part(body, place < len(message)) for message in messages for place, body in enumerate(message, 1)]
    came, found, at = b"", list[Invalid](), 0
    while at < len(parts) and not the_filter.has_ended:
        end = at + 1 + material.number(len(parts) - at - 1)
        while drops and parts[end - 1].more:  # it is shown whole messages only
            end += 1
        octets = b"".join(part.plain(the_filter.dialect) for part in parts[at:end])
        buffer = Guarded(len(octets) + 10, 0, octets)
        kept, flaws = the_filter.filter_untrusted(buffer, len(octets))
        assert kept <= len(octets)
        assert buffer.is_intact()
        assert bytes(buffer.view[len(octets) :]) == bytes(Guarded(len(octets) + 10).view[len(octets) :])
        came, found, at = came + bytes(buffer.view[:kept]), found + flaws, end
    expected = [flaw for flaw in verdicts if flaw is not None]
    good = [message for message, flaw in zip(messages, verdicts, strict=True) if flaw is None]
    if isinstance(the_filter, SubscriptionSink):
        good = []
    wanted = b"".join(
        Part(body, place < len(message)).plain(the_filter.dialect)
        for message in good
        for place, body in enumerate(message, 1)
    )
    if not the_filter.has_ended:
        assert (came, found) == (wanted, expected)
        return
    assert not drops
    assert found == expected[: len(found)]
    whole, rest = [], came  # what the service has is whole messages that it may have, and the beginning of one
    for message in good:
        octets = b"".join(
            Part(body, place < len(message)).plain(the_filter.dialect) for place, body in enumerate(message, 1)
        )
        if not rest.startswith(octets):
            break
        whole.append(message)
        rest = rest[len(octets) :]
    left = read_plain(rest, the_filter.dialect)
    assert all(part.more for part, _ in left)
