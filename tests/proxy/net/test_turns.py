"""Whose turn it is, and the account of seconds of the half-open, by a clock that the test sets."""

import socket
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import trio
import trio.testing

from curveproxy.proxy.net.reactor import Reactor
from curveproxy.proxy.net.sleep import Sleep
from curveproxy.proxy.net.turns import DOZE_SECONDS, LATELY, LEAST, LOOK_SECONDS, MOST, PART, Share, Turns


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


class Clock:
    """Time that goes by only where the test says so, and in a doze."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in ("reactor", "turns"):
            monkeypatch.setattr(f"curveproxy.proxy.net.{module}.perf_counter", lambda: self.now)


class Served:
    """Two reactors at work. dozes: how long each doze was allowed to be, in which ``happens`` is called."""

    def __init__(self) -> None:
        self.sleep, self.dozes = Sleep(), list[float]()
        self.first, self.behind = Reactor(64, self.sleep), Reactor(8, self.sleep)
        self.turns = Turns(self.sleep, self.first, self.behind)
        self.happens: Callable[[], object] = lambda: None
        self._doze, self.sleep.doze = self.sleep.doze, self.doze  # type: ignore[assignment, method-assign]

    def doze(self, seconds: float) -> object:
        self.dozes.append(seconds)
        if seconds:
            self.happens()
        return self._doze(seconds)

    async def until(self, has_come: Callable[[], bool]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.turns.run)
            with trio.fail_after(20):
                while not has_come():
                    await trio.sleep(0)
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        self.first.close()
        self.behind.close()
        self.sleep.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Handler:
    """Does something when it is served."""

    def __init__(self, does: Callable[[], object] = lambda: None) -> None:
        self.turns, self._does = 0, does

    def ready(self, _events: int) -> None:
        self.turns += 1
        self._does()

    def resume(self) -> None:
        self.ready(0)

    def failed(self, error: Exception) -> None:
        raise error


class Busy(Handler):
    """A handler that always has something to do, and takes so long for it."""

    def __init__(self, clock: Clock, reactor: Reactor, seconds: float) -> None:
        super().__init__(self._work)
        self._clock, self._reactor, self._seconds = clock, reactor, seconds
        self.has_end = False
        reactor.schedule(self)

    @property
    def spent(self) -> float:
        return self.turns * self._seconds

    def _work(self) -> None:
        self._clock.now += self._seconds
        if not self.has_end:
            self._reactor.schedule(self)


@pytest.mark.parametrize("whose", ["first", "behind"])
async def test_who_is_scheduled_in_a_sleep_is_served(served: Served, whose: str) -> None:
    handler, reactor = Handler(), served.first if whose == "first" else served.behind
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.turns.run)
        for turns in (1, 2):
            await trio.testing.wait_all_tasks_blocked()
            reactor.schedule(handler)
            with trio.fail_after(5):
                while handler.turns < turns:
                    await trio.sleep(0.001)
        nursery.cancel_scope.cancel()


async def test_who_was_scheduled_before_it_began_is_served(served: Served) -> None:
    handlers = Handler(), Handler()
    for handler, reactor in zip(handlers, (served.first, served.behind), strict=True):
        reactor.schedule(handler)
    await served.until(lambda: all(handler.turns for handler in handlers))


async def test_what_comes_in_a_doze_is_served_without_a_sleep(
    served: Served, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept, near_and_far = list[int](), [socket.socketpair() for _ in range(2)]
    handlers = [Handler(lambda far=far: far.recv(1)) for _, far in near_and_far]  # type: ignore[misc]
    for (_, far), handler, reactor in zip(near_and_far, handlers, (served.first, served.behind), strict=True):
        reactor.register(far.fileno(), handler)
    real = served.sleep.sleep

    async def sleep() -> None:
        slept.append(sum(handler.turns for handler in handlers))
        await real()

    monkeypatch.setattr(served.sleep, "sleep", sleep)
    comes = [near for _ in range(5) for near, _ in near_and_far]
    served.happens = lambda: comes.pop().send(b"x") if comes else None
    await served.until(lambda: bool(slept))
    assert slept == [10]
    assert set(served.dozes) == {DOZE_SECONDS}
    for sock in (sock for pair in near_and_far for sock in pair):
        sock.close()


async def test_nobody_dozes_while_somebody_has_something_to_do(served: Served, clock: Clock) -> None:
    busy = Busy(clock, served.first, 0.0001)
    await served.until(lambda: busy.turns > 100)
    assert set(served.dozes) == {0}


async def test_a_session_waits_for_one_stranger_and_no_more(served: Served, clock: Clock) -> None:
    """A session has something to do all the time, strangers have saved time, and a hundred of them wait."""
    order = list[str]()

    class Named(Busy):
        def resume(self) -> None:
            order.append("session" if self is session else "stranger")
            super().resume()

    session = Named(clock, served.first, 0.002)  # longer than a turn: another round comes
    strangers = [Named(clock, served.behind, 0.00001) for _ in range(100)]
    await served.until(lambda: session.turns >= 50)
    assert strangers
    assert order.count("stranger") > 20
    assert ("stranger", "stranger") not in pairwise(order)


async def test_a_session_that_becomes_ready_is_served_before_the_next_stranger(served: Served) -> None:
    """Ten strangers are there at once, and a message for a session comes behind the first of them."""
    near, far = socket.socketpair()
    order = list[str]()
    with near, far:
        served.first.register(far.fileno(), Handler(lambda: order.append("session")))
        served.behind.schedule(Handler(lambda: order.append("stranger" if near.send(b"x") else "")))
        for _ in range(9):
            served.behind.schedule(Handler(lambda: order.append("stranger")))
        await served.until(lambda: len(order) == 11)
        served.first.unregister(far.fileno())
    assert order[:2] == ["stranger", "session"]


@pytest.mark.parametrize("sessions", [1, 200])
@pytest.mark.parametrize("each", [0.00006, 0.0005, 0.001])
async def test_while_sessions_have_work_strangers_have_a_part_of_the_time_and_no_less(
    served: Served, clock: Clock, sessions: int, each: float
) -> None:
    first = [Busy(clock, served.first, 0.00002) for _ in range(sessions)]
    stranger = Busy(clock, served.behind, each)
    begin, marks = clock.now, list[tuple[float, float]]()

    def has_come_to(seconds: float) -> bool:
        marks.append((clock.now, stranger.spent))
        return clock.now > begin + seconds

    await served.until(lambda: has_come_to(1.5))
    spent = sum(session.spent for session in first)
    assert spent + stranger.spent == pytest.approx(clock.now - begin)
    known = next(mark for mark in marks if mark[0] > begin + 0.5)  # by then it is measured what sessions use
    whole, part = clock.now - known[0], stranger.spent - known[1]
    assert PART * whole - each <= part <= PART * whole + MOST + each
    assert 0.5 < served.turns.seconds_held_back < spent


async def test_while_sessions_have_no_work_strangers_have_all_the_time(served: Served, clock: Clock) -> None:
    session = Busy(clock, served.first, 0.0001)
    session.has_end = True
    stranger = Busy(clock, served.behind, 0.001)
    await served.until(lambda: stranger.turns >= 1000)
    assert session.turns == 1
    assert served.turns.seconds_held_back == 0


async def test_strangers_who_are_held_back_wait_asleep_for_sessions_that_have_work_now_and_then(
    served: Served, clock: Clock
) -> None:
    """A session works six tenths of each millisecond. Strangers have what it leaves, but a tenth; nobody spins."""
    near, far = socket.socketpair()
    begin, waits = clock.now, list[float]()
    due = begin

    def go_by(seconds: float) -> None:
        nonlocal due
        clock.now += seconds
        if clock.now >= due:
            near.send(b"x")
            due += 0.001

    class Alone:
        """In the place of what is waited on for the first alone."""

        def poll(self, milliseconds: float) -> None:
            waits.append(milliseconds)
            go_by(due - clock.now + 1e-9)

    def work() -> None:
        far.recv(1)
        go_by(0.0006)

    def come() -> None:
        served.behind.schedule(stranger)
        go_by(0.0001)

    with near, far:
        session, stranger = Handler(work), Handler(come)
        served.first.register(far.fileno(), session)
        served.turns._first_alone = Alone()  # type: ignore[assignment]
        go_by(0)
        served.behind.schedule(stranger)
        await served.until(lambda: session.turns > 1000)
        served.first.unregister(far.fileno())
    assert set(waits) == {1000 * DOZE_SECONDS}
    assert len(waits) <= session.turns
    assert stranger.turns * 0.0001 / (clock.now - begin) == pytest.approx(1 - 0.6 - PART, abs=0.05)
