"""Limits as configured, for one of several processes, and as they are in force."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curveproxy.policy.limits import (
    DIVIDED,
    WHOLE,
    AdmissionLimits,
    MessageLimits,
    OnInvalid,
    WorkerShare,
    half_open_in_force,
    sessions_in_force,
)


@pytest.mark.parametrize("limits", [{"handshake_seconds": 61}, {"handshake_seconds": 0}, {"max_half_open": 0}])
def test_what_can_not_be_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        AdmissionLimits(**limits)


def test_descriptors_bound_both() -> None:
    assert sessions_in_force(16384, 20_000) == 9872
    assert sessions_in_force(100, 20_000) == 100
    assert half_open_in_force(16384, 20_000, 0) == 16384
    assert half_open_in_force(16384, 20_000, 9000) == 1872
    assert half_open_in_force(16384, 300, 100) == 1


@given(st.integers(0, 100_000), st.integers(1, 64), st.integers(0, 3))
def test_the_parts_of_all_processes_are_the_whole_and_as_equal_as_can_be(whole: int, of: int, least: int) -> None:
    parts = [WorkerShare(index, of).part(whole, least) for index in range(of)]
    assert min(parts) >= least
    assert max(parts) - min(parts) <= max(1, least)
    if whole >= least * of:
        assert sum(parts) == whole


def test_a_process_has_its_part_of_what_is_counted_and_all_of_the_rest() -> None:
    limits = AdmissionLimits(max_sessions=10, max_half_open=1)
    assert limits.divided(WHOLE) == limits
    first, last = (limits.divided(WorkerShare(index, 4)) for index in (0, 3))
    assert (first.max_sessions, last.max_sessions) == (3, 2)
    assert first.max_half_open == last.max_half_open == 1, "none is left without"
    others = {each.name for each in attrs.fields(AdmissionLimits)} - set(DIVIDED)
    assert all(getattr(first, name) == getattr(limits, name) for name in others)


def test_a_session_that_sends_something_invalid_ends_unless_told_otherwise() -> None:
    assert MessageLimits().on_invalid is OnInvalid.DISCONNECT
