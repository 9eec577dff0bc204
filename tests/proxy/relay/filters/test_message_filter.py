"""The walk over frames that leaves whole messages out."""

import pytest
from support import zmtp

from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.relay.filters.message_filter import SubscriptionFilter
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.zmtp.frame import Dialect

GOOD, BAD = zmtp.frame(b"\1topic"), zmtp.frame(b"x" * 300)


@pytest.mark.parametrize(
    ("octets", "kept", "count"),
    [
        (GOOD + GOOD, GOOD + GOOD, 0),
        (BAD + GOOD, GOOD, 1),
        (GOOD + BAD + GOOD, GOOD + GOOD, 1),
        (GOOD + BAD, GOOD, 1),
        (zmtp.frame(b"\1a", zmtp.MORE) + zmtp.frame(b"b") + GOOD, GOOD, 1),
        (b"", b"", 0),
    ],
    ids=["all are good", "the first is bad", "the middle is bad", "the last is bad", "one of two parts", "nothing"],
)
def test_what_is_left_stands_together(octets: bytes, kept: bytes, count: int) -> None:
    the_filter = SubscriptionFilter(Dialect.V3, drops=True)
    buffer = Buffer(bytearray(octets + b"."))
    end, flaws = the_filter.filter_untrusted(buffer, len(octets))
    assert (bytes(buffer.view[:end]), flaws) == (kept, [Invalid.NOT_ACCEPTED] * count)
    assert not the_filter.has_ended


def test_only_what_was_subscribed_is_cancelled() -> None:
    the_filter = SubscriptionFilter(Dialect.V3, drops=True, topics=Subscriptions())
    cancellation = zmtp.frame(b"\0topic")
    buffer = Buffer(bytearray(cancellation + GOOD + cancellation))
    end, flaws = the_filter.filter_untrusted(buffer, len(buffer))
    assert (bytes(buffer.view[:end]), flaws) == (GOOD + cancellation, [Invalid.NOT_SUBSCRIBED])


def test_a_bad_part_behind_one_that_has_gone_on_ends_it() -> None:
    the_filter = SubscriptionFilter(Dialect.V3, drops=False, takes_messages=True)
    first, second = zmtp.frame(b"x", zmtp.MORE), zmtp.frame(b"\1t")
    buffer = Buffer(bytearray(first))
    assert the_filter.filter_untrusted(buffer, len(first)) == (len(first), [])
    buffer = Buffer(bytearray(second))
    assert the_filter.filter_untrusted(buffer, len(second)) == (0, [Invalid.NOT_ACCEPTED])
    assert the_filter.has_ended
