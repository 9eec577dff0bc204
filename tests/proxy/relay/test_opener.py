"""What becomes of boxes that are not in order; the cases of all transforms are in ``test_transformed``."""

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

KEY = bytes(range(32))
LIMITS = MessageLimits(max_message_bytes=1000)


def opener(*, drops: bool = False) -> Opener:
    state = CodecState(KEY, curve.FROM_CLIENT, 0, 1000)
    sides = Capabilities(1, b"DEALER"), Capabilities(1, b"ROUTER")
    return FilteringOpener(state, *sides, LIMITS, PartialMessages(), None) if drops else Opener(state, *sides, LIMITS)


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
        (sealed(1, b"x")[:-1] + b"\0", Invalid.BOX),
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
