"""What becomes of boxes that are not in order; the cases of all transforms are in ``test_transformed``."""

from collections.abc import Sequence
from typing import Any

import pytest
from support import curve, zmtp

from curveproxy.policy.limits import MessageLimits
from curveproxy.proxy.relay.filters.partial_messages import PartialMessages
from curveproxy.proxy.relay.opener import FilteringOpener, Opener
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.transformed import Transformed
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.select import CodecState
from curveproxy.wire.codec.state import Buffer, Stop
from curveproxy.wire.zmtp.frame import Dialect

KEY = bytes(range(32))
LIMITS = MessageLimits(max_message_bytes=1000)


def opener(*, drops: bool = False) -> Opener:
    state = CodecState(KEY, curve.FROM_CLIENT, 0, 1000)
    sink = Capabilities(1, b"ROUTER")
    return FilteringOpener(state, sink, LIMITS, PartialMessages(), None) if drops else Opener(state, sink, LIMITS)


def sealed(nonce: int, body: bytes, flags: int = 0) -> bytes:
    return zmtp.frame(curve.message(KEY, curve.FROM_CLIENT, nonce, body, flags))


def turn(opens: Opener, octets: bytes) -> Transformed:
    source = Buffer(bytearray(octets))
    result = opens.apply(source, 0, len(octets), Buffer(1 << 12))
    if result.stop > Stop.FULL or opens.filters:
        opens.resolve(result, source, len(octets), lambda: 0.0)
    return result


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (sealed(3, b"x"), Invalid.GAP),
        (sealed(0, b"x"), Invalid.NONCE),
        (zmtp.damaged(sealed(1, b"x")), Invalid.BOX),
        (zmtp.frame(curve.message(KEY, curve.FROM_CLIENT, 1, b"x"), zmtp.MORE), Invalid.OUTER_MORE),
    ],
    ids=["a gap", "a repetition", "damaged", "outer flags that claim more"],
)
def test_it_ends_at_the_first_that_is_invalid(octets: bytes, reason: Invalid) -> None:
    result = turn(opener(), octets + sealed(2, b"y"))
    assert (result.invalid, result.fatal, bytes(result.output)) == ((reason,), reason, b"")
    assert result.start == len(octets + sealed(2, b"y"))


def test_parts_wait_for_the_last_where_invalid_messages_are_dropped() -> None:
    opens = opener(drops=True)
    assert bytes(turn(opens, sealed(1, b"a", curve.INNER_MORE)).output) == b""
    assert opens.partial() == opens.held == 3
    assert bytes(turn(opens, sealed(2, b"b")).output) == zmtp.frame(b"a", zmtp.MORE) + zmtp.frame(b"b")
    assert opens.partial() == opens.held == 0


def test_a_message_whose_part_is_damaged_is_left_out_and_the_next_goes_on() -> None:
    opens = opener(drops=True)
    turn(opens, sealed(1, b"a", curve.INNER_MORE))
    damaged = bytearray(sealed(2, b"b"))
    damaged[-1] ^= 1
    assert turn(opens, bytes(damaged)).invalid == (Invalid.BOX,)
    result = turn(opens, sealed(3, b"c"))
    assert (bytes(result.output), result.invalid, result.fatal) == (b"", (), None), "b may have been its last part"
    assert bytes(turn(opens, sealed(4, b"d")).output) == zmtp.frame(b"d")


PING = zmtp.ping(b"x")


@pytest.mark.parametrize("drops", [False, True])
def test_a_command_stands_between_messages_as_a_frame_of_its_own(drops: bool) -> None:
    opens = opener(drops=drops)
    octets = sealed(1, b"a") + sealed(2, PING, curve.INNER_COMMAND)
    result = turn(opens, octets)
    assert bytes(result.output) == zmtp.frame(b"a") + zmtp.frame(PING, zmtp.COMMAND)
    assert (result.start, result.invalid) == (len(octets), ())


@pytest.mark.parametrize("drops", [False, True])
def test_a_malformed_command_ends_or_is_left_out(drops: bool) -> None:
    result = turn(opener(drops=drops), sealed(1, b"\4PING", curve.INNER_COMMAND))
    assert (result.invalid, result.fatal) == ((Invalid.COMMAND,), None if drops else Invalid.COMMAND)
    assert bytes(result.output) == b""


def test_what_it_says_itself_is_plain() -> None:
    assert opener().command(PING) == zmtp.frame(PING, zmtp.COMMAND)
    assert opener().message(b"x") == zmtp.frame(b"x")
    assert (opener().partial(), opener(drops=True).partial()) == (0, 0)


def test_a_frame_s_size_is_known_from_its_header() -> None:
    octets = sealed(1, bytes(500))
    source = Buffer(bytearray(octets))
    assert opener().frame_size(source, 0, 20) == len(octets)


def test_a_frame_over_the_limit_is_passed_by_as_its_octets_come() -> None:
    octets = sealed(1, bytes(1500))
    opens = opener(drops=True)
    result = turn(opens, octets[:600])
    assert (result.invalid, result.fatal) == ((Invalid.TOO_LARGE,), None)
    assert (result.start, result.skip) == (600, len(octets) - 600)
    assert turn(opener(), octets).fatal == Invalid.TOO_LARGE


def test_a_stream_that_is_not_framed_can_not_be_followed() -> None:
    assert turn(opener(drops=True), b"GET / HTTP/1.1\r\n").fatal == Invalid.FRAMING


def test_too_many_that_are_left_out_end_the_session() -> None:
    state = CodecState(KEY, curve.FROM_CLIENT, 0, 1000)
    limits = MessageLimits(max_message_bytes=1000, max_invalid_per_minute=2)
    sink = Capabilities(1, b"ROUTER")
    opens = FilteringOpener(state, sink, limits, PartialMessages(), None)
    ends = [turn(opens, sealed(number, b"\4PING", curve.INNER_COMMAND)).fatal for number in (1, 2, 3)]
    assert ends == [None, None, Invalid.COMMAND]


class Only:
    """A filter that keeps what begins with ``yes``, and reports the rest as it is told to."""

    dialect, topics = Dialect.V3, None

    def __init__(self, *flaws: Invalid) -> None:
        self.flaws, self.has_ended = flaws, False

    def filter_untrusted(self, frames: Buffer, end: int) -> tuple[int, Sequence[Invalid]]:
        come = zmtp.read_frames(bytes(frames.view[:end]))
        octets = b"".join(zmtp.frame(body, flags) for flags, body in come if body.startswith(b"yes"))
        frames.view[: len(octets)] = octets
        return len(octets), self.flaws if len(octets) < end else ()


def filtering(the_filter: Any, *, drops: bool = False) -> FilteringOpener:
    state = CodecState(KEY, curve.FROM_CLIENT, 0, 1000)
    sink = Capabilities(1, b"ROUTER")
    limits = MessageLimits(max_message_bytes=1000, max_invalid_per_minute=1)
    return FilteringOpener(state, sink, limits, PartialMessages() if drops else None, the_filter)


def test_a_sink_is_sent_what_its_filter_lets_through() -> None:
    result = turn(filtering(Only(Invalid.NOT_ACCEPTED)), sealed(1, b"yes 1") + sealed(2, b"no") + sealed(3, b"yes 2"))
    assert bytes(result.output) == zmtp.frame(b"yes 1") + zmtp.frame(b"yes 2")
    assert (result.invalid, result.fatal) == ((Invalid.NOT_ACCEPTED,), None), "a newer sink would ignore it"


@pytest.mark.parametrize(
    ("flaws", "drops", "fatal"),
    [
        ([Invalid.NOT_ACCEPTED] * 2, False, Invalid.NOT_ACCEPTED),
        ([Invalid.TOO_LARGE], False, Invalid.TOO_LARGE),
        ([Invalid.TOO_LARGE], True, None),
    ],
    ids=["too much of it", "too large", "too large and dropped"],
)
def test_what_a_filter_reports_may_end_the_session(flaws: list[Invalid], drops: bool, fatal: Invalid | None) -> None:
    assert turn(filtering(Only(*flaws), drops=drops), sealed(1, b"no")).fatal == fatal


def test_a_filter_that_has_ended_ends_the_session() -> None:
    the_filter = Only()
    the_filter.has_ended = True
    assert turn(filtering(the_filter), sealed(1, b"yes")).fatal == Invalid.NOT_ACCEPTED


def test_a_subscription_that_becomes_a_message_is_filtered_too() -> None:
    state = CodecState(KEY, curve.FROM_CLIENT, 0, 1000)
    the_filter: Any = Only(Invalid.NOT_ACCEPTED)
    sink = Capabilities(1, b"XPUB")
    opens = FilteringOpener(state, sink, LIMITS, None, the_filter)
    result = turn(opens, sealed(1, zmtp.command(b"SUBSCRIBE", b"topic"), curve.INNER_COMMAND))
    assert (bytes(result.output), result.invalid) == (b"", (Invalid.NOT_ACCEPTED,))
    plain = FilteringOpener(CodecState(KEY, curve.FROM_CLIENT, 0, 1000), sink, LIMITS, PartialMessages(), None)
    result = turn(plain, sealed(1, zmtp.command(b"SUBSCRIBE", b"topic"), curve.INNER_COMMAND))
    assert bytes(result.output) == zmtp.frame(b"\1topic")
