"""The sleep of a reactor: what ends it, and that its bell does not ring on."""

import select
import socket
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing

from curveproxy.proxy.net.sleep import Sleep


@pytest.fixture
def epoll() -> select.epoll:
    return select.epoll()


@pytest.fixture
def sleep(epoll: select.epoll) -> Iterator[Sleep]:
    sleep = Sleep(epoll)
    yield sleep
    sleep.close()


async def ended_by(sleep: Sleep, act: Callable[[], object]) -> None:
    """It lasts until that is done."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep.sleep)
        await trio.testing.wait_all_tasks_blocked()
        assert sleep.is_on
        with trio.fail_after(5):
            act()
            while nursery.child_tasks:
                await trio.lowlevel.checkpoint()
    assert not sleep.is_on


async def test_a_descriptor_ends_it(sleep: Sleep, epoll: select.epoll) -> None:
    near, far = socket.socketpair()
    with near, far:
        epoll.register(far.fileno(), select.EPOLLIN | select.EPOLLET)
        await ended_by(sleep, lambda: near.send(b"x"))
        assert epoll.poll(0) == [(far.fileno(), select.EPOLLIN)]


async def test_the_bell_ends_it_each_time_and_rings_once(sleep: Sleep, epoll: select.epoll) -> None:
    for _ in range(3):
        await ended_by(sleep, sleep.end)
        assert epoll.poll(0) == [(sleep.bell, select.EPOLLIN)]
        assert epoll.poll(0) == []


async def test_nobody_is_woken_who_does_not_sleep(sleep: Sleep, epoll: select.epoll) -> None:
    sleep.end()
    assert epoll.poll(0) == []


async def test_who_is_no_longer_waited_for_does_not_sleep(sleep: Sleep) -> None:
    with trio.move_on_after(0.01):
        await sleep.sleep()
    assert not sleep.is_on
