"""Lingering closes: a peer reads what it was told last, and is not waited for for long."""

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from support.loopback import reset, tcp_pair
from support.reactor import LoneReactor
from support.tasks import until

from curveproxy.proxy.net import linger
from curveproxy.proxy.net.deadlines import Count
from curveproxy.proxy.net.linger import LINGER_SECONDS, LingeringCloses
from curveproxy.proxy.net.sockets import HALF_OPEN_RECEIVE_BUFFER, prepare_half_open


class Lingering:
    """Closes in a reactor that runs, and what they reported."""

    def __init__(self) -> None:
        self.reactor, self.count, self.errors = LoneReactor(16), Count(), list[Exception]()
        self.closes = LingeringCloses(self.reactor, self.count)

    def begin(self, last: bytes = b"last") -> tuple[socket.socket, socket.socket]:
        """Both ends of a connection whose near end lingers."""
        near, far = pair()
        self.closes.begin(near, last, self.errors.append)
        return near, far


def pair() -> tuple[socket.socket, socket.socket]:
    """A connection over TCP, whose near end has the small receive buffer of a handshake."""
    near, far = tcp_pair()
    prepare_half_open(near, HALF_OPEN_RECEIVE_BUFFER)
    return near, far


@asynccontextmanager
async def lingering() -> AsyncIterator[Lingering]:
    at_work = Lingering()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work.reactor.run)
        yield at_work
        nursery.cancel_scope.cancel()
    at_work.closes.close_all()
    assert (len(at_work.reactor), at_work.count.number) == (0, 0)
    at_work.reactor.close()


async def test_a_peer_that_is_still_sending_is_not_reset_before_it_has_read_the_last() -> None:
    async with lingering() as at_work:
        near, far = at_work.begin()
        with far:
            for _ in range(2):
                await trio.to_thread.run_sync(far.sendall, bytes(200_000))
                await trio.sleep(0.02)
            assert far.recv(100) == b"last"
            assert far.recv(100) == b"", "and nothing follows"
            assert len(at_work.closes) == at_work.count.number == 1
        await until(lambda: not len(at_work.closes))
        assert near.fileno() == -1
        assert not at_work.errors


async def test_a_peer_that_resets_is_not_waited_for() -> None:
    async with lingering() as at_work:
        near, far = at_work.begin()
        reset(far)
        await until(lambda: near.fileno() == -1)
        assert not at_work.errors


async def test_a_peer_that_stays_is_closed_at_its_deadline() -> None:
    at_work = Lingering()
    near, far = at_work.begin()
    with far:
        now = trio.current_time()
        at_work.closes.expire(now + LINGER_SECONDS / 2)
        assert near.fileno() != -1
        at_work.closes.expire(now + LINGER_SECONDS + 0.1)
        assert near.fileno() == -1
        assert (len(at_work.closes), at_work.count.number, len(at_work.reactor)) == (0, 0, 0)
    at_work.reactor.close()


async def test_beyond_so_many_the_oldest_is_closed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGERING_MAX", 2)
    at_work = Lingering()
    ends = [at_work.begin() for _ in range(3)]
    assert [near.fileno() == -1 for near, _ in ends] == [True, False, False]
    assert at_work.closes.close_oldest()
    assert [near.fileno() == -1 for near, _ in ends] == [True, True, False]
    at_work.closes.close_all()
    assert not at_work.closes.close_oldest()
    assert at_work.count.number == 0
    for _, far in ends:
        far.close()
    at_work.reactor.close()


@pytest.mark.parametrize("what", ["a full epoll", "a peer that has gone"])
async def test_where_nobody_can_be_waited_for_the_socket_is_closed_at_once(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = Lingering()
    if what == "a full epoll":

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(at_work.reactor, "register", full)
        near, far = at_work.begin()
    else:
        near, far = pair()
        reset(far)
        with suppress(OSError):
            near.recv(1)  # the reset is here
        at_work.closes.begin(near, b"last", at_work.errors.append)
    assert near.fileno() == -1
    assert (len(at_work.closes), at_work.count.number) == (0, 0)
    far.close()
    at_work.reactor.close()


async def test_an_error_of_ours_ends_one_and_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lingering() as at_work:
        near, far = at_work.begin()
        other, far_too = at_work.begin()

        def fails(*_: Any) -> bool:
            monkeypatch.undo()
            raise ValueError("ours")

        monkeypatch.setattr(linger.LingeringClose, "_read", fails)
        far.sendall(b"x")
        await until(lambda: bool(at_work.errors))
        assert [str(error) for error in at_work.errors] == ["ours"]
        assert near.fileno() == -1
        assert other.fileno() != -1
        far.close()
        far_too.close()
