"""How connections to a service end: at once, or one behind the other."""

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from math import inf

import pytest
import trio
import trio.testing
from support.reactor import LoneReactor

from curveproxy.proxy.connect.connections import SETTLE_SECONDS, Connections, FinishingConnection
from curveproxy.proxy.net.reactor import READ


class AtWork:
    """Connections in a reactor whose turns the test takes itself."""

    def __init__(self, nursery: trio.Nursery, *, one_at_a_time: bool) -> None:
        self.reactor, self.errors = LoneReactor(16), list[Exception]()

        def spawn(work: Callable[[], Awaitable[None]]) -> None:
            nursery.start_soon(work)

        self.connections = Connections(self.reactor, spawn, self.errors.append)
        self.connections.one_at_a_time = one_at_a_time

    def lent(self) -> tuple[socket.socket, socket.socket]:
        """A connection that a session has, and the service's end of it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.reactor.register(ours.fileno(), Ignored(), READ)
        self.connections.lend()
        return ours, theirs


class Ignored:
    def ready(self, events: int) -> None: ...

    def failed(self, error: Exception) -> None: ...


async def turns(reactor: LoneReactor) -> None:
    """Serve whatever is there, in a real reactor."""
    with trio.move_on_after(0.05):
        await reactor.run()


async def test_a_connection_is_closed_at_once_where_there_may_be_many(nursery: trio.Nursery) -> None:
    at_work = AtWork(nursery, one_at_a_time=False)
    assert at_work.connections.are_none
    ours, theirs = at_work.lent()
    with theirs:
        assert not at_work.connections.are_none
        at_work.connections.take_back(ours)
        assert ours.fileno() == -1
        assert theirs.recv(1) == b""
        assert at_work.connections.are_none
        assert len(at_work.reactor) == 0
    at_work.reactor.close()


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_where_there_may_be_one_it_is_read_until_the_service_has_ended_it_too(
    how: str, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    at_work = AtWork(nursery, one_at_a_time=True)
    ours, theirs = at_work.lent()
    ours.send(b"unread")
    theirs.send(bytes(100_000))
    at_work.connections.take_back(ours)
    await turns(at_work.reactor)
    assert ours.fileno() != -1, "the service has not closed yet"
    assert theirs.recv(100) == b"unread"
    assert theirs.recv(100) == b"", "it sees the end"
    if how == "reset":
        theirs.close()  # and what was sent to it is lost
    else:
        theirs.send(b"last words")
        theirs.close()
    await turns(at_work.reactor)
    assert ours.fileno() == -1
    assert len(at_work.reactor) == 0
    assert not at_work.connections.are_none, "its own thread has not seen it yet"
    await trio.sleep(SETTLE_SECONDS)
    await trio.testing.wait_all_tasks_blocked()
    assert at_work.connections.are_none
    at_work.reactor.close()


async def test_an_end_that_is_met_twice_counts_once(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A turn that was scheduled before the end may come behind it."""
    at_work = AtWork(nursery, one_at_a_time=True)
    ours, theirs = at_work.lent()
    theirs.send(bytes(1000))
    at_work.connections.take_back(ours)
    at_work.reactor.serve(inf)  # reads a piece, and schedules itself
    theirs.send(bytes(1000))
    theirs.close()
    await turns(at_work.reactor)
    assert ours.fileno() == -1
    await trio.sleep(2 * SETTLE_SECONDS)
    assert at_work.connections.are_none
    at_work.reactor.close()


@pytest.mark.parametrize("what", ["a full epoll", "an error of ours"])
async def test_one_that_can_not_be_read_is_over(
    what: str, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = AtWork(nursery, one_at_a_time=True)
    ours, theirs = at_work.lent()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def broken(_: object) -> None:
        raise ValueError("ours")

    if what == "a full epoll":
        monkeypatch.setattr(at_work.reactor, "register", full)
    else:
        monkeypatch.setattr(FinishingConnection, "resume", broken)
        theirs.send(b"x")
    at_work.connections.take_back(ours)
    await turns(at_work.reactor)
    assert ours.fileno() == -1
    assert [str(error) for error in at_work.errors] == (["ours"] if what == "an error of ours" else [])
    await trio.sleep(2 * SETTLE_SECONDS)
    assert at_work.connections.are_none
    theirs.close()
    at_work.reactor.close()
