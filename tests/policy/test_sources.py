"""How many half-open connections one source may have, and how often it may begin a handshake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curveproxy.policy.sources import MOST_FAILING, SourceLimits


def test_who_fails_again_and_again_may_begin_half_of_the_handshakes() -> None:
    sources, now = SourceLimits[str](10, 20), 100.0

    def began(seconds: int) -> int:
        """How many of the handshakes that are tried a hundred times a second may begin."""
        nonlocal now
        before, now = now, now + seconds
        return sum(not sources.check_rate(1, before + step / 100) for step in range(100 * seconds))

    for _ in range(20):
        sources.record_failure(1, now)
    assert began(10) == pytest.approx(220, abs=2), "a second's worth is there in the beginning"
    sources.record_failure(1, now)
    now += 5
    assert began(10) == pytest.approx(110, abs=2)
    sources.check_rate(1, now)
    assert sources.check_rate(1, now) == "too many failures: half of handshakes_per_second_per_source is left"
    assert not sources.check_rate(2, now), "that is nobody else's"


def test_the_one_handshake_a_second_of_who_fails_is_one_in_two() -> None:
    sources = SourceLimits[str](10, 1)
    for _ in range(5):
        sources.record_failure(1, 100.0)
    assert [not sources.check_rate(1, 100.0 + second) for second in range(9)].count(True) == 5


def test_failures_are_forgiven() -> None:
    sources = SourceLimits[str](10, 1)
    for _ in range(3):
        sources.record_failure(1, 100.0)
    sources.record_success(1)
    assert not sources.check_rate(1, 100.0)
    assert sources.check_rate(1, 100.05) == "too often: handshakes_per_second_per_source"
    for _ in range(3):
        sources.record_failure(1, 102.0)
    assert sources.check_rate(1, 170.0) == ""
    assert not sources._failures


def test_memory_of_failures_is_bounded() -> None:
    sources = SourceLimits[str](10, 1)
    for number in range(50_000):
        sources.record_failure(number, 100.0)
    assert len(sources) == MOST_FAILING


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 5)), max_size=60), st.integers(1, 4))
def test_the_oldest_of_a_source_goes_when_it_has_more_than_its_places(
    steps: list[tuple[bool, int, int]], most: int
) -> None:
    sources, model = SourceLimits[int](most, 1000), {source: list[int]() for source in range(3)}
    for member, (comes, source, which) in enumerate(steps):
        inside = model[source]
        if comes:
            inside.append(member)
            surplus = sources.acquire(source, member)
            assert surplus == (inside[0] if len(inside) > most else None)
            if surplus is not None:
                sources.release(source, inside.pop(0))
        elif which < len(inside):
            sources.release(source, inside.pop(which))
    assert len(sources) == sum(map(bool, model.values()))


def test_one_source_may_begin_so_often_a_second() -> None:
    sources = SourceLimits[str](10_000, 10)
    assert sum(not sources.check_rate(1, 0.0) for _ in range(50)) == 10
    assert sources.check_rate(1, 0.05)
    assert not sources.check_rate(1, 0.11)
    assert sources.check_rate(1, 0.11)
    assert sum(not sources.check_rate(1, 5.0) for _ in range(50)) == 10


@pytest.mark.parametrize("rate", [1, 3, 7, 100, 9973])
def test_a_full_bucket_holds_exactly_one_seconds_worth(rate: int) -> None:
    sources = SourceLimits[str](100_000, rate)
    assert sum(not sources.check_rate(1, 1e6) for _ in range(2 * rate)) == rate


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.3), st.booleans()), max_size=60))
def test_what_is_remembered_is_forgotten(steps: list[tuple[int, float, bool]]) -> None:
    sources, now, inside = SourceLimits[int](100, 5), 0.0, []
    for member, (source, passed, leaves) in enumerate(steps):
        now += passed
        if not sources.check_rate(source, now):
            sources.acquire(source, member)
            inside.append((source, member))
        if leaves and inside:
            sources.release(*inside.pop())
    for place in inside:
        sources.release(*place)
    assert not sources.check_rate(99, now + 3)
    assert len(sources) == 1  # only the one that has just been here


def test_a_million_sources_that_came_and_went_leave_nothing() -> None:
    sources = SourceLimits[str](1, 100)
    for source in range(20_000):
        assert not sources.check_rate(source, source / 100)
        sources.acquire(source, "it")
        sources.release(source, "it")
        assert len(sources) <= 101


def test_a_rate_that_is_kept_exactly_is_never_refused_and_a_faster_one_is() -> None:
    """The border: a hundredth of a handshake may be missing."""
    for rate in (1, 3, 7, 100):
        sources, now = SourceLimits[str](10, rate), 1e6
        while not sources.check_rate(1, now):
            pass  # use up the second's worth
        for _ in range(200):
            now += 1 / rate
            assert not sources.check_rate(1, now)
            assert sources.check_rate(1, now + 0.98 / rate)
            assert sources.check_rate(1, now)


def test_limits_that_change_are_in_force_at_once_and_what_was_used_stays_used() -> None:
    sources = SourceLimits[str](1, 2)
    assert [sources.check_rate(1, 0.0) == "" for _ in range(3)] == [True, True, False]
    sources.configure(2, 4)
    assert sources.check_rate(1, 0.0), "a second's worth has been used"
    assert not sources.check_rate(1, 0.3)
    assert sources.acquire(1, "a") is None
    assert sources.acquire(1, "b") is None
    assert sources.acquire(1, "c") == "a"


def test_only_one_number_is_kept_for_the_rate_of_a_source() -> None:
    sources = SourceLimits[str](1, 100)
    for source in range(50):
        sources.check_rate(source, 5.0)
    assert [type(kept) for kept in sources._full_at.values()] == [float] * 50
