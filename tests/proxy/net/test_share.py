"""The account of seconds of those who yield, by a clock that the test sets."""

import pytest

from curveproxy.proxy.net.share import LATELY, LEAST, LOOK_SECONDS, MOST, PART, Share


def is_used_up(share: Share, now: float) -> bool:
    """Beside sessions that have worked all the time."""
    return share.is_used_up(now, worked=now)


def test_nobody_waits_before_something_is_spent() -> None:
    share = Share()
    assert not is_used_up(share, 1000.0)
    share.spend(MOST / 2)
    assert not is_used_up(share, 1000.0)
    assert share.waited == 0


def test_what_was_spent_comes_back_as_time_goes_by() -> None:
    share = Share()
    assert not is_used_up(share, 1000.0)
    share.spend(MOST + PART)
    assert is_used_up(share, 1000.0)
    assert is_used_up(share, 1000.0 + 0.9 * -LEAST / PART)
    assert not is_used_up(share, 1000.0 + 1.1 * -LEAST / PART)


def test_no_more_is_saved_than_so_much() -> None:
    share = Share()
    assert not is_used_up(share, 1000.0)
    assert not is_used_up(share, 2000.0)
    share.spend(MOST)
    assert is_used_up(share, 2000.0)


def test_no_more_is_owed_than_so_much() -> None:
    """A process that was stopped for a minute makes nobody wait for ten."""
    share = Share()
    is_used_up(share, 1000.0)
    share.spend(60.0)
    assert not is_used_up(share, 1000.0 + 1.1 * -LEAST / PART)


@pytest.mark.parametrize("each", [0.0001, 0.001, 0.03])
def test_beside_sessions_that_take_all_time_it_is_that_part_and_no_less(each: float) -> None:
    share, now, spent = Share(), 1000.0, 0.0
    while now < 1010.0:
        if share.is_used_up(now, worked=now - spent):
            now += 0.001
        else:
            share.spend(each)
            spent += each
            now += each
    assert spent >= PART * 10.0
    if each <= -LEAST:  # what is beyond that is forgiven
        assert spent <= PART * 10.0 + MOST + each + 5 * LOOK_SECONDS


@pytest.mark.parametrize("used", [0.0, 0.02, 0.3, 0.7, 0.85])
def test_beside_sessions_that_take_less_it_is_what_they_leave_but_for_that_part(used: float) -> None:
    """Of each millisecond sessions take theirs, and of the rest the half-open as much as they may."""
    share, spent = Share(), 0.0
    for turn in range(10_000):
        now = 1000.0 + turn * 0.001
        if not share.is_used_up(now, worked=turn * 0.001 * used):
            share.spend(0.001 * (1 - used))
            spent += 0.001 * (1 - used)
    assert spent == pytest.approx(10.0 * max(PART, 1 - PART - used), abs=0.1)


def test_it_counts_how_long_was_waited() -> None:
    share = Share()
    share.wait(1000.0, 1001.5)
    share.wait(1002.0, 1002.25)
    assert share.waited == 1.75


def test_it_tells_which_part_of_the_last_time_was_waited() -> None:
    share, now = Share(), 1000.0
    assert share.lately(now) == 0
    while now < 1000.0 + 10 * LATELY:  # a quarter of each second
        share.wait(now, now + 0.25)
        now += 1.0
        assert share.lately(now) == (pytest.approx(0.25, abs=0.01) if now >= 1000.0 + LATELY else 0), now
    now += 100 * LATELY
    assert share.lately(now) < 0.01, "it is over"
    share.wait(now, now + 0.25)
    assert share.lately(now + 1.0) == 0, "what was long ago does not count, and of a moment nothing is said"
    assert share.waited == pytest.approx(0.25 * (10 * LATELY + 1))
