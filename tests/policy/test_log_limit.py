"""How often a line of the log may be repeated."""

from curveproxy.policy.log_limit import LogLimit

KIND, OTHER = ("event", "a"), ("event", "b")


def test_a_burst_then_a_rate_for_each_kind_and_the_rest_is_counted() -> None:
    limit = LogLimit(3, 0.5)
    assert [limit.allow(KIND, 0.0) for _ in range(5)] == [0, 0, 0, None, None]
    assert limit.allow(OTHER, 0.0) == 0
    assert limit.allow(KIND, 1.999) is None
    assert limit.allow(KIND, 2.0) == 3
    assert limit.allow(KIND, 2.0) is None


def test_what_was_suppressed_is_reported_once() -> None:
    limit = LogLimit(1, 0.5)
    for kind in (KIND, KIND, KIND, OTHER):
        limit.allow(kind, 0.0)
    assert limit.pop_suppressed() == {KIND: 2}
    assert limit.pop_suppressed() == {}
    assert limit.allow(KIND, 2.0) == 0


def test_after_a_rest_the_burst_is_there_again() -> None:
    limit = LogLimit(3, 0.5)
    for _ in range(10):
        limit.allow(KIND, 0.0)
    assert [limit.allow(KIND, 1000.0) for _ in range(4)] == [7, 0, 0, None]
