"""What a publisher before ZMTP 2.0 publishes, and what of it its subscriber is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import curve, zmtp

from curveproxy.policy.limits import MessageLimits
from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.relay.filters.legacy_pubsub import PublisherFilter
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.wire.codec.framing import plain_frame
from curveproxy.wire.codec.select import CodecState
from curveproxy.wire.codec.state import BATCH_FRAMES_IN_PYTHON, Buffer, Stop
from curveproxy.wire.curve import box
from curveproxy.wire.zmtp.frame import Dialect

KEY = bytes(range(32))
LIMIT = 1000

Message = list[bytes]


def choosing(*topics: bytes) -> PublisherFilter:
    """One whose subscriber wants to hear these."""
    wanted = Subscriptions()
    for topic in topics:
        wanted.add(topic)
    state = CodecState(KEY, box.MESSAGE_FROM_SERVER, 1, LIMIT, Dialect.V1)
    return PublisherFilter(state, Capabilities(1, b"SUB"), MessageLimits(), wanted)


def published(messages: list[Message]) -> bytes:
    """As libzmq 2.x sends them."""
    parts = [(int(number < len(message)), body) for message in messages for number, body in enumerate(message, 1)]
    return b"".join(plain_frame(more, body, Dialect.V1) for more, body in parts)


def run(sealer: PublisherFilter, stream: bytes, cuts: list[int], room: int) -> tuple[list[Message], int, Stop]:
    """Let it turn a stream that comes in pieces, with so little room in its target: what is sent, what is left, why."""
    sent, kept, messages, stop = b"", b"", 0, Stop.INCOMPLETE
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        kept += stream[start:end]
        stop = Stop.FULL
        while stop == Stop.FULL:
            source, target = Buffer(len(kept) + 1), Buffer(room)
            source.view[: len(kept)] = kept
            result = sealer.apply(source, 0, len(kept), target)
            stop = result.stop
            assert stop != Stop.FULL or result.start or result.at
            kept, sent, messages = kept[result.start :], sent + result.output, messages + result.messages
        if stop != Stop.INCOMPLETE:
            break
    found: list[Message] = [[]]
    for nonce, frame in enumerate(zmtp.read_frames(sent), 2):
        seen, flags, data = curve.read_message(frame.body, KEY, curve.FROM_SERVER)
        assert int.from_bytes(seen, "big") == nonce
        found[-1].append(data)
        if not flags & zmtp.MORE:
            found.append([])
    if found[-1] == []:
        found.pop()
    return found, len(kept), stop


texts = st.text("ab", max_size=4).map(str.encode)
bodies = st.one_of(texts, st.sampled_from([b"a" * 252, b"b" * 253, b"a" * 254, b"ab" * 200]))


@given(st.lists(texts, max_size=4), st.lists(st.lists(bodies, min_size=1, max_size=2), max_size=12), st.data())
def test_whole_messages_are_sent_whose_first_part_is_wanted(
    topics: list[bytes], messages: list[Message], data: st.DataObject
) -> None:
    stream = published(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    wanted = [message for message in messages if message[0].startswith(tuple(topics))]
    room = data.draw(st.sampled_from([600, 1000, 20000]))
    assert run(choosing(*topics), stream, cuts, room) == (wanted, 0, Stop.INCOMPLETE)


@pytest.mark.parametrize("topic", [b"", b"other"], ids=["wanted", "not wanted"])
@pytest.mark.parametrize(
    ("octets", "stop"),
    [
        (b"\x00\x00", Stop.FRAMING),
        (b"\xff" * 9, Stop.FRAMING),
        (b"\xff" + (LIMIT).to_bytes(8, "big"), Stop.TOO_LARGE),
        (plain_frame(0, bytes(LIMIT), Dialect.V1), Stop.TOO_LARGE),
    ],
    ids=["a length of zero", "a length without end", "one octet over the limit", "over the limit, and all there"],
)
def test_what_is_no_frame_or_too_large_stops_it_wanted_or_not(topic: bytes, octets: bytes, stop: Stop) -> None:
    before = published([[b"first", b"part"]])
    found = run(choosing(topic), before + octets + b"\0", [], 5000)
    assert found == ([] if topic else [[b"first", b"part"]], len(octets) + 1, stop)


def test_a_message_of_endless_parts_is_too_large_only_where_it_is_wanted() -> None:
    stream = published([[bytes(100)] * 20, [b"next"]])
    assert run(choosing(b"next"), stream, [], 5000) == ([[b"next"]], 0, Stop.INCOMPLETE)
    assert run(choosing(b""), stream, [], 5000)[2] == Stop.TOO_LARGE


@pytest.mark.parametrize("topic", [b"x", b"a"], ids=["not wanted", "wanted"])
def test_so_many_frames_are_looked_at_in_one_batch(topic: bytes) -> None:
    sealer, stream = choosing(topic), published([[b"a"], [b"b"]] * 1000)
    source, target, start, batches = Buffer(len(stream)), Buffer(1 << 20), 0, 0
    source.view[:] = stream
    stop = Stop.FULL
    while stop == Stop.FULL:
        begun = start
        result = sealer.apply(source, start, len(stream), target)
        start, stop = result.start, result.stop
        assert (start - begun) // 3 <= BATCH_FRAMES_IN_PYTHON
        batches += 1
    assert (start, stop) == (len(stream), Stop.INCOMPLETE)
    assert batches == 2000 // BATCH_FRAMES_IN_PYTHON + 1
