"""All transforms are put through the same cases: whole, octet by octet, full targets, too large, garbage, commands."""

from collections.abc import Callable

import pytest
from attrs import define, field
from support import curve, zmtp
from support.records import Direction

from curveproxy.policy.limits import MessageLimits
from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.relay.env import RecordCount
from curveproxy.proxy.relay.filters.backend_filter import filter_for
from curveproxy.proxy.relay.filters.legacy_pubsub import PublisherFilter, RecordPublisherFilter
from curveproxy.proxy.relay.filters.partial_messages import PartialMessages
from curveproxy.proxy.relay.opener import FilteringOpener, Opener
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.records import FilteringRecordOpener, RecordOpener, RecordSealer, RecordTransform
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.proxy.relay.transformed import Transform, Transformed
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.framing import plain_frame
from curveproxy.wire.codec.select import CodecState, RecordState
from curveproxy.wire.codec.state import Buffer, Stop
from curveproxy.wire.zmtp.frame import Dialect

KEY = bytes(range(32))
CHAIN, SUITE = bytes(range(32, 64)), 1
LIMIT = 1000
LIMITS = MessageLimits(max_message_bytes=LIMIT, max_invalid_per_minute=3)
BODIES = [b"\1one", b"\1" + bytes(300), b"\1", b"\1last"]  # a publisher may be sent them, and is subscribed to them
PING = zmtp.ping(b"x")


def opening() -> CodecState:
    return CodecState(KEY, curve.FROM_CLIENT, 0, LIMIT)


def sealing(dialect: Dialect = Dialect.V3) -> CodecState:
    return CodecState(KEY, curve.FROM_SERVER, 0, LIMIT, dialect)


def opener(sink: Capabilities) -> Transform:
    return Opener(opening(), sink, LIMITS)


def dropping_opener(sink: Capabilities) -> Transform:
    return FilteringOpener(opening(), sink, LIMITS, PartialMessages(), None)


def filtering_opener(sink: Capabilities) -> Transform:
    sink.socket_type = b"XPUB"
    the_filter = filter_for(sink, drops=False, xpub_messages=False)
    return FilteringOpener(opening(), sink, LIMITS, None, the_filter)


def record_state(dialect: Dialect = Dialect.V3) -> RecordState:
    return RecordState(CHAIN, SUITE, LIMIT, dialect)


def record_opener(sink: Capabilities) -> Transform:
    return RecordOpener(record_state(), sink, LIMITS, RecordCount())


def filtering_record_opener(sink: Capabilities) -> Transform:
    sink.socket_type = b"XPUB"
    the_filter = filter_for(sink, drops=False, xpub_messages=False)
    assert the_filter is not None
    return FilteringRecordOpener(record_state(), sink, LIMITS, RecordCount(), the_filter)


def record_sealer(sink: Capabilities) -> Transform:
    return RecordSealer(record_state(), sink, LIMITS, RecordCount())


def record_publisher_filter(sink: Capabilities) -> Transform:
    topics = Subscriptions()
    topics.add(b"\1")
    return RecordPublisherFilter(record_state(Dialect.V1), sink, LIMITS, RecordCount(), topics)


def sealer(sink: Capabilities) -> Transform:
    return Sealer(sealing(), sink, LIMITS)


def publisher_filter(sink: Capabilities) -> Transform:
    topics = Subscriptions()
    topics.add(b"\1")
    return PublisherFilter(sealing(Dialect.V1), sink, LIMITS, topics)


@define
class Case:
    """A transform, and what its source writes and its sink reads."""

    make: Callable[[Capabilities], Transform]
    sink: Capabilities = field(factory=lambda: Capabilities(1, b"ROUTER"))
    transform: Transform = field(init=False)
    nonce: int = 0
    sends: Direction = field(factory=lambda: Direction(CHAIN, SUITE))  # of a source, or of a sink, with records
    hears: Direction = field(factory=lambda: Direction(CHAIN, SUITE))
    out: bytes = b""
    messages: int = 0
    results: list[Transformed] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.transform = self.make(self.sink)

    @property
    def opens(self) -> bool:
        return self.transform.opens

    @property
    def has_records(self) -> bool:
        return isinstance(self.transform, RecordTransform)

    def frame(self, body: bytes, *, command: bool = False) -> bytes:
        """As the source sends it."""
        if self.opens and self.has_records:
            return self.sends.seal(zmtp.frame(body, zmtp.COMMAND * command))
        if self.opens:
            self.nonce += 1
            return zmtp.frame(curve.message(KEY, curve.FROM_CLIENT, self.nonce, body, curve.INNER_COMMAND * command))
        is_old = self.make in PUBLISHERS
        return plain_frame(0, body, Dialect.V1) if is_old else zmtp.frame(body, zmtp.COMMAND * command)

    def read(self, octets: bytes) -> list[tuple[bytes, bool]]:
        """Bodies that the sink has been sent, and whether each is a command."""
        if self.has_records and not self.opens:
            octets, rest = self.hears.open(octets)
            assert rest == b""
        frames = zmtp.read_frames(octets)
        if self.opens or self.has_records:
            return [(frame.body, bool(frame.flags & zmtp.COMMAND)) for frame in frames]
        messages = [curve.read_message(frame.body, KEY, curve.FROM_SERVER) for frame in frames]
        return [(message.data, bool(message.flags & curve.INNER_COMMAND)) for message in messages]

    def turn(self, octets: bytes, room: int = 1 << 14) -> bytes:
        """Apply and resolve until the source has no whole frame more, or the session has to end: what is left."""
        while True:
            source, target = Buffer(len(octets) + 1), Buffer(room)
            source.view[: len(octets)] = octets
            result = self.transform.apply(source, 0, len(octets), target)
            if result.stop > Stop.FULL or self.transform.filters:
                self.transform.resolve(result, source, len(octets), lambda: 0.0)
            self.results.append(result)
            self.out, self.messages = self.out + bytes(result.output), self.messages + result.messages
            assert result.start or result.at or result.stop == Stop.INCOMPLETE
            octets = octets[result.start :]
            if result.stop == Stop.INCOMPLETE or result.fatal is not None:
                return octets

    @property
    def invalid(self) -> list[Invalid]:
        return [reason for result in self.results for reason in result.invalid]


ALL = (
    opener,
    dropping_opener,
    filtering_opener,
    sealer,
    publisher_filter,
    record_opener,
    filtering_record_opener,
    record_sealer,
    record_publisher_filter,
)
PUBLISHERS = publisher_filter, record_publisher_filter


@pytest.fixture(params=ALL, ids=[make.__name__ for make in ALL])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


# A peer before ZMTP 3 has no commands.
with_commands = pytest.mark.parametrize("case", [make for make in ALL if make not in PUBLISHERS], indirect=True)


def test_whole_frames_are_turned_and_counted(case: Case) -> None:
    assert case.turn(b"".join(case.frame(body) for body in BODIES)) == b""
    assert case.read(case.out) == [(body, False) for body in BODIES]
    assert (case.messages, case.invalid, case.transform.held) == (len(BODIES), [], 0)
    assert sum(result.octets for result in case.results) == sum(map(len, BODIES))


def test_octet_by_octet_the_same_comes_out(case: Case) -> None:
    left = b""
    for octet in b"".join(case.frame(body) for body in BODIES):
        left = case.turn(left + bytes([octet]))
    assert (left, case.read(case.out)) == (b"", [(body, False) for body in BODIES])


def test_the_size_of_a_frame_is_told_from_its_header(case: Case) -> None:
    for body in BODIES:
        frame = case.frame(body)
        if case.has_records and not case.opens:  # they wait for none to be whole
            assert case.transform.frame_size(Buffer(bytearray(frame)), 0, len(frame)) == 0
            continue
        source = Buffer(bytearray(frame))
        assert case.transform.frame_size(source, 0, 1) == 0 or len(frame) < 256
        assert case.transform.frame_size(source, 0, min(len(frame), 10)) == len(frame)


def test_a_full_target_stops_before_the_frame_that_does_not_fit(case: Case) -> None:
    assert case.turn(b"".join(case.frame(body) for body in BODIES * 3), room=400) == b""
    assert case.read(case.out) == [(body, False) for body in BODIES * 3]
    assert len(case.results) > 1
    assert all(result.at <= 400 for result in case.results)


def test_too_large_is_told_before_it_has_come(case: Case) -> None:
    if case.opens and case.has_records:
        beginning = case.sends.seal(zmtp.frame(b"\1" + bytes(LIMIT))[:20])
    else:
        frame = case.frame(b"\1" + bytes(LIMIT))
        beginning = frame[:20]
    left = case.turn(beginning)
    assert (case.invalid, case.out) == ([Invalid.TOO_LARGE], b"")
    is_dropped = case.make is dropping_opener
    if is_dropped:
        assert (case.results[-1].fatal, case.results[0].skip, left) == (None, len(frame) - 20, b"")
    else:
        assert case.results[-1].fatal == Invalid.TOO_LARGE


def test_garbage_ends_the_session_or_is_left_out(case: Case) -> None:
    if case.opens and case.has_records:
        garbage, reason = bytes(60), Invalid.RECORD
    elif case.opens:
        garbage, reason = zmtp.frame(bytes(60)), Invalid.NOT_MESSAGE
    elif case.make in PUBLISHERS:
        garbage, reason = b"\0\0", Invalid.FRAMING
    else:
        garbage, reason = b"\x08\0", Invalid.FRAMING
    case.turn(case.frame(BODIES[0]) + garbage + case.frame(BODIES[3]))
    assert case.invalid == [reason]
    is_dropped = case.make is dropping_opener
    assert case.read(case.out) == [(body, False) for body in (BODIES[0], BODIES[3])[: 1 + is_dropped]]
    assert case.results[-1].fatal == (None if is_dropped else reason)


def test_a_stream_without_frames_always_ends_the_session(case: Case) -> None:
    garbage = b"\xff" * 9 if case.make in PUBLISHERS else b"\x08\0"
    if case.opens and case.has_records:
        garbage = case.sends.seal(garbage)
    case.turn(garbage + bytes(20))
    assert (case.invalid, case.results[-1].fatal) == ([Invalid.FRAMING], Invalid.FRAMING)


@with_commands
def test_a_command_goes_on_between_messages(case: Case) -> None:
    case.turn(case.frame(BODIES[0]) + case.frame(PING, command=True) + case.frame(BODIES[1]))
    assert case.read(case.out) == [(BODIES[0], False), (PING, True), (BODIES[1], False)]
    assert any(result.knows_ping for result in case.results)
    assert case.invalid == []


@with_commands
def test_a_ping_is_answered_where_the_sink_would_take_it_for_data(case: Case) -> None:
    case.sink.minor = 0
    case.turn(case.frame(PING, command=True))
    assert (case.out, case.results[0].reply) == (b"", zmtp.command(b"PONG", b"x"))


@with_commands
def test_unknown_commands_are_left_out_until_there_are_too_many(case: Case) -> None:
    for count in range(1, 5):
        case.turn(case.frame(b"\1X", command=True))
        assert case.invalid == [Invalid.COMMAND] * count
        assert case.results[-1].fatal == (Invalid.COMMAND if count > LIMITS.max_invalid_per_minute else None)
    assert case.out == b""


def test_what_is_ours_is_framed_as_the_sink_reads_it(case: Case) -> None:
    octets = case.transform.command(PING) + case.transform.message(b"\1")
    assert case.read(octets) == [(PING, True), (b"\1", False)]
