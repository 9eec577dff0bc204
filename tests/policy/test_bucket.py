"""The token bucket, held against a model in exact fractions."""

from fractions import Fraction
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curveproxy.policy.bucket import Bucket


@given(
    st.integers(1, 10_000),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(1, 5000)), max_size=60),
)
def test_it_fills_at_its_rate_up_to_its_size_and_may_be_overdrawn(
    per_second: int, fill_seconds: int, steps: list[tuple[int, int]]
) -> None:
    bucket, full_at, now = Bucket(per_second, fill_seconds), -inf, 1000.0
    tokens = size = Fraction(per_second * fill_seconds)
    for passed, spent in steps:  # in 1,024ths of a second, so that times are exact
        now += passed / 1024
        tokens = min(size, tokens + Fraction(passed, 1024) * per_second)
        assert bucket.available(full_at, now) == pytest.approx(float(tokens), abs=1e-6 * per_second)
        full_at = bucket.spend(full_at, now, spent)
        tokens -= spent


def test_a_new_one_is_full_and_holds_a_whole_number_at_once() -> None:
    bucket, full_at, spent = Bucket(4.0, 2.0), -inf, 0
    while bucket.has_one(full_at, 10.0):
        full_at, spent = bucket.spend(full_at, 10.0), spent + 1
    assert spent == 8


@pytest.mark.parametrize(("slack", "earliest"), [(0.0, 1.0), (0.25, 0.75)])
def test_there_is_one_again_after_its_interval_or_a_little_sooner(slack: float, earliest: float) -> None:
    bucket = Bucket(0.5, 2.0, slack)  # one token in two seconds, and no more than one
    full_at = bucket.spend(-inf, 0.0)
    assert not bucket.has_one(full_at, 2 * earliest - 0.001)
    assert bucket.has_one(full_at, 2 * earliest)


@pytest.mark.parametrize("per_second", [3, 7, 100, 9973])
def test_a_little_slack_makes_up_for_the_rounding_of_sums_and_gives_away_nothing(per_second: int) -> None:
    bucket, full_at, start = Bucket(per_second, 1.0, 0.01), -inf, 1e6
    allowed = 0
    for step in range(20 * per_second):
        now = start + step / (2 * per_second)
        if bucket.has_one(full_at, now):
            full_at, allowed = bucket.spend(full_at, now), allowed + 1
    assert allowed == pytest.approx(11 * per_second, abs=1), "a second's worth, and ten seconds at the rate"


def test_without_a_limit_anything_is_there_always() -> None:
    bucket = Bucket(inf)
    full_at = bucket.spend(-inf, 5.0, 1e12)
    assert bucket.available(full_at, 5.0) == inf
    assert full_at <= 5.0, "nothing has to be remembered"


@pytest.mark.parametrize(("rate", "full_at", "missing"), [(10, 7.0, 20), (10, 5.0, 0), (10, -inf, 0), (inf, 5.0, 0)])
def test_so_many_tokens_are_missing(rate: float, full_at: float, missing: float) -> None:
    assert Bucket(rate).missing(full_at, 5.0) == missing
