"""The reactor: real sockets under an edge-triggered epoll, and the order in which handlers are served."""

import socket
from collections.abc import Callable
from math import inf
from typing import Any, cast

import pytest
import trio
import trio.testing

from curveproxy.proxy.net.reactor import GONE, READ, Reactor
from curveproxy.proxy.net.share import MOST, PART


class Handler:
    """Keeps what it is told; a resumption is an event of 0."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.errors: list[Exception] = []
        self.error: Exception | None = None

    def ready(self, events: int) -> None:
        self.events.append(events)
        if self.error:
            raise self.error

    def resume(self) -> None:
        self.ready(0)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


async def test_the_mark_keeps_a_handler_asleep_until_a_unit_is_whole() -> None:
    """Real sockets: SO_RCVLOWAT under an edge-triggered epoll inside another."""
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(listener.getsockname()) as near, listener, listener.accept()[0] as far:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
        reactor, handler = Reactor(4), Handler()
        reactor.register(far.fileno(), handler)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            for _ in range(9):
                near.send(b"x")
                await trio.sleep(0.005)
            assert handler.events == []
            near.send(b"x")
            with trio.fail_after(5):
                while not handler.events:
                    await trio.sleep(0.001)
            assert handler.events[-1] & READ
            near.shutdown(socket.SHUT_WR)
            with trio.fail_after(5):
                while not handler.events[-1] & GONE:
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        reactor.unregister(far.fileno())
        assert len(reactor) == 0
        reactor.close()


def test_what_is_left_is_shown_again_behind_the_others_where_that_is_wanted() -> None:
    reactor, order = Reactor(4), list[str]()

    class Named(Handler):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def ready(self, events: int) -> None:
            order.append(self.name)

    pairs = [socket.socketpair() for _ in range(2)]
    reactor.register(pairs[0][1].fileno(), Named("again"), again=True)
    reactor.register(pairs[1][1].fileno(), Named("once"))
    for _ in range(2):
        for near, _far in pairs:
            near.send(b"x")
        reactor.serve(-inf)
        reactor.serve(-inf)
    assert sorted(order[:2]) == sorted(order[2:]) == ["again", "once"]
    order.clear()
    for _ in range(3):
        reactor.serve(inf)
    assert order == ["again"] * 3
    for near, far in pairs:
        near.close()
        far.close()
    reactor.close()


async def test_a_reactor_that_sleeps_is_woken_when_somebody_is_scheduled() -> None:
    reactor, handler = Reactor(4), Handler()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        await trio.testing.wait_all_tasks_blocked()
        reactor.schedule(handler)
        with trio.fail_after(5):
            while not handler.events:
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    reactor.close()


async def test_strangers_turns_end_when_a_session_waits() -> None:
    """Ten strangers and one session are there at once: the session has its turn before the last of them."""
    first = Reactor(2)
    reactor = Reactor(2, yields_to=first)
    pairs = [socket.socketpair() for _ in range(11)]
    order: list[str] = []

    class Named(Handler):
        def ready(self, events: int) -> None:
            order.append("session" if self is session else "stranger")

    session = Named()
    for near, far in pairs:
        near.send(b"x")
        (first if near is pairs[-1][0] else reactor).register(
            far.fileno(), session if near is pairs[-1][0] else Named()
        )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        nursery.start_soon(first.run)
        with trio.fail_after(5):
            while len(order) < 11:
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert order.index("session") <= 4
    for near, far in pairs:
        near.close()
        far.close()
    reactor.close()
    first.close()


class Stay:
    """In the place of what a reactor waits on when it stays: something happens then, and it is told what was ready."""

    def __init__(self, reactor: Reactor, happens: Callable[[], object] = lambda: None) -> None:
        self._poll, self._happens, self.woken = reactor._wakes, happens, list[list[int]]()
        reactor._wakes = cast("Any", self)

    def poll(self, milliseconds: int) -> list[tuple[int, int]]:
        self._happens()
        woken = self._poll.poll(milliseconds)
        self.woken.append([descriptor for descriptor, _ in woken])
        return woken


def test_what_comes_while_it_stays_is_served_without_a_sleep() -> None:
    reactor, handler = Reactor(4), Handler()
    near, far = socket.socketpair()
    with near, far:
        reactor.register(far.fileno(), handler)
        stay = Stay(reactor, lambda: near.send(b"x"))
        assert not reactor.serve(inf)
        assert stay.woken == []
        reactor.stay()
        assert reactor.serve(inf)
    assert handler.events
    assert stay.woken == [[reactor.descriptor]]
    reactor.close()


def test_it_stays_once_for_what_does_not_come() -> None:
    reactor = Reactor(4)
    stay = Stay(reactor)
    for _ in range(2):
        reactor.stay()
    for _ in range(2):
        assert not reactor.serve(inf)
    assert stay.woken == [[]]
    reactor.close()


def test_it_does_not_stay_while_somebody_is_scheduled() -> None:
    reactor = Reactor(4)
    stay = Stay(reactor)

    class Again(Handler):
        def resume(self) -> None:
            super().resume()
            reactor.schedule(self)

    reactor.schedule(Again())
    reactor.stay()
    assert not reactor.serve(inf)
    assert stay.woken == []
    reactor.close()


def test_it_does_not_stay_while_one_that_yields_to_it_has_something_to_do() -> None:
    first = Reactor(4)
    behind, stay = Reactor(4, yields_to=first), Stay(first)
    near, far = socket.socketpair()
    with near, far:
        behind.register(far.fileno(), Handler())
        near.send(b"x")
        first.stay()
        assert not first.serve(inf)
        assert stay.woken == [[behind.descriptor]]
        behind.schedule(Handler())
        first.stay()
        assert not first.serve(inf)
        assert len(stay.woken) == 1
    behind.close()
    first.close()


def test_a_stay_is_not_cut_short_by_one_that_has_no_time_left_and_goes_on_behind_one_that_has() -> None:
    first = Reactor(4)
    behind = Reactor(4, yields_to=first)
    near, far = socket.socketpair()
    with near, far:
        behind.register(far.fileno(), Handler())
        near.send(b"x")
        stay = Stay(first)
        first.stay()
        assert not first.serve(inf)
        assert stay.woken == [[behind.descriptor]]
        assert first._ready.stays, "what is done in this moment counts"
        behind._share.spend(inf)
        first.serve(inf)
        assert len(stay.woken) == 1, "it looked at its own alone"
        assert not first._ready.stays
    behind.close()
    first.close()


class Clock:
    """Time that goes by only where the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("curveproxy.proxy.net.reactor.perf_counter", lambda: self.now)


class Busy:
    """A handler that always has something to do, and takes so long for it."""

    def __init__(self, clock: Clock, reactor: Reactor, seconds: float) -> None:
        self._clock, self._reactor, self._seconds = clock, reactor, seconds
        self.turns, self.has_end = 0, False
        reactor.schedule(self)

    @property
    def spent(self) -> float:
        return self.turns * self._seconds

    def resume(self) -> None:
        self.turns += 1
        self._clock.now += self._seconds
        if not self.has_end:
            self._reactor.schedule(self)

    def failed(self, error: Exception) -> None:
        raise error


async def served(*reactors: Reactor, until: Callable[[], bool]) -> None:
    """Let them run until that."""
    async with trio.open_nursery() as nursery:
        for reactor in reactors:
            nursery.start_soon(reactor.run)
        while not until():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    for reactor in reactors:
        reactor.close()


@pytest.mark.parametrize("each", [0.0001, 0.0005, 0.001])
async def test_while_sessions_have_work_strangers_have_a_part_of_the_time_and_no_less(
    each: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    first = Reactor(16)
    behind = Reactor(8, yields_to=first)
    session, stranger = Busy(clock, first, 0.0001), Busy(clock, behind, each)
    begin, marks = clock.now, list[tuple[float, float]]()

    def has_come_to(seconds: float) -> bool:
        marks.append((clock.now, stranger.spent))
        return clock.now > begin + seconds

    await served(first, behind, until=lambda: has_come_to(1.5))
    assert session.spent + stranger.spent == pytest.approx(clock.now - begin)
    known = next(mark for mark in marks if mark[0] > begin + 0.5)  # by then it is measured what sessions use
    whole, spent = clock.now - known[0], stranger.spent - known[1]
    assert PART * whole - each <= spent <= PART * whole + MOST + each
    assert 0.5 < behind.seconds_held_back < session.spent


async def test_a_session_waits_for_one_stranger_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers have saved time, and a hundred of them wait."""
    clock, order = Clock(monkeypatch), list[str]()
    first = Reactor(16)
    behind = Reactor(8, yields_to=first)

    class Named(Busy):
        def resume(self) -> None:
            order.append("session" if self is session else "stranger")
            super().resume()

    session = Named(clock, first, 0.002)  # longer than a turn: another round comes
    strangers = [Named(clock, behind, 0.00001) for _ in range(100)]
    await served(first, behind, until=lambda: session.turns >= 50)
    assert strangers
    assert order.count("stranger") > 20
    assert "stranger stranger" not in " ".join(order)


async def test_whom_a_turn_between_strangers_has_fetched_and_not_served_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their reactor sleeps, and their descriptors tell of them no more."""
    clock, served_in_order = Clock(monkeypatch), list[object]()
    first = Reactor(16)
    behind = Reactor(8, yields_to=first)

    class Slow(Handler):
        def ready(self, events: int) -> None:
            clock.now += 1.0
            served_in_order.append(self)

    class Stranger(Handler):
        def resume(self) -> None:
            assert first._sleep.is_on
            for near, _ in pairs:
                near.send(b"x")

    pairs = [socket.socketpair() for _ in range(3)]
    for _, far in pairs:
        first.register(far.fileno(), Slow())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        nursery.start_soon(behind.run)
        await trio.testing.wait_all_tasks_blocked()
        behind.schedule(Stranger())
        with trio.fail_after(5):
            while len(served_in_order) < 3:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()
    first.close()
    behind.close()


async def test_while_sessions_have_no_work_strangers_have_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    first = Reactor(16)
    behind = Reactor(8, yields_to=first)
    session = Busy(clock, first, 0.0001)
    session.has_end = True
    stranger = Busy(clock, behind, 0.001)
    await served(first, behind, until=lambda: stranger.turns >= 1000)
    assert session.turns == 1
    assert behind.seconds_held_back == 0


def test_who_asks_again_and_again_has_one_turn() -> None:
    reactor, busy, other = Reactor(4), Handler(), Handler()
    for _ in range(100):
        reactor.schedule(busy)
    reactor.schedule(other)
    reactor.schedule(busy)
    reactor.serve(inf)
    assert (busy.events, other.events) == ([0], [0])
    reactor.close()


def test_behind_its_time_a_turn_goes_on_with_one_handler_of_each_queue_and_nobody_is_forgotten() -> None:
    reactor, order = Reactor(16), list[str]()

    class Named(Handler):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def ready(self, events: int) -> None:
            super().ready(events)
            order.append(self.name)
            if self.name == "busy":
                reactor.schedule(self)

    busy, pairs = [Named("busy") for _ in range(3)], [socket.socketpair() for _ in range(4)]
    ready = [Named("ready") for _ in pairs]
    for handler, (near, far) in zip(ready, pairs, strict=True):
        near.send(b"x")
        reactor.register(far.fileno(), handler)
    for handler in busy:
        reactor.schedule(handler)
    for _ in range(2):
        assert reactor.serve(-inf)
    assert order == ["busy", "ready"] * 2
    assert reactor.is_busy
    reactor.unregister(pairs[2][1].fileno())  # with what was fetched for it
    for _ in range(2):
        reactor.serve(-inf)
    assert [len(handler.events) for handler in ready] == [1, 1, 0, 1]
    assert [len(handler.events) for handler in busy] == [2, 1, 1]
    reactor.close()
    for near, far in pairs:
        near.close()
        far.close()


async def test_only_who_is_registered_counts_and_whatever_has_no_handler_may_be_unregistered() -> None:
    reactor, pairs = Reactor(1), [socket.socketpair() for _ in range(3)]
    near, far = [one.fileno() for one, _ in pairs], [other.fileno() for _, other in pairs]
    for descriptor in reversed(far):
        reactor.register(descriptor, Handler())
    reactor.hand_over(far[0], Handler())
    assert len(reactor) == 3
    for descriptor in (far[1], far[1], -1, near[0], max(far) + 1000):
        reactor.unregister(descriptor)
    assert len(reactor) == 2
    reactor.register(far[1], Handler())
    assert len(reactor) == 3
    reactor.close()
    for one, other in pairs:
        one.close()
        other.close()


@pytest.mark.parametrize("how", ["ready", "scheduled"])
async def test_an_error_is_told_to_its_handler_and_nobody_else(how: str) -> None:
    reactor, bad, good = Reactor(1), Handler(), Handler()
    bad.error = ValueError("ours")
    near, far = socket.socketpair()
    if how == "ready":
        near.send(b"x")
        reactor.register(far.fileno(), bad)
    else:
        reactor.schedule(bad)
    reactor.schedule(good)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        with trio.fail_after(5):
            while not good.events:
                await trio.sleep(0)
        nursery.cancel_scope.cancel()
    assert bad.errors == [bad.error]
    assert good.errors == []
    reactor.close()
    near.close()
    far.close()
