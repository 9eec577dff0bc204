"""The sleep of reactors: what ends it, and that its bell does not ring on."""

import select
import socket
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing

from curveproxy.proxy.net.sleep import Sleep


@pytest.fixture
def sleep() -> Iterator[Sleep]:
    sleep = Sleep()
    yield sleep
    sleep.close()


@pytest.fixture
def epoll(sleep: Sleep) -> Iterator[select.epoll]:
    """That of one reactor."""
    with select.epoll() as epoll:
        sleep.watch(epoll.fileno())
        yield epoll


async def ended_by(sleep: Sleep, act: Callable[[], object]) -> None:
    """It lasts until that is done."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep.sleep)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5):
            act()
            while nursery.child_tasks:
                await trio.lowlevel.checkpoint()


async def test_a_descriptor_of_a_reactor_ends_it(sleep: Sleep, epoll: select.epoll) -> None:
    near, far = socket.socketpair()
    with near, far:
        epoll.register(far.fileno(), select.EPOLLIN | select.EPOLLET)
        await ended_by(sleep, lambda: near.send(b"x"))
        assert sleep.doze(0) == {epoll.fileno()}
        assert epoll.poll(0) == [(far.fileno(), select.EPOLLIN)]
        assert sleep.doze(0) == set()


async def test_the_bell_ends_it_each_time_and_rings_once(sleep: Sleep) -> None:
    for _ in range(3):
        await ended_by(sleep, sleep.end)
        assert sleep.doze(0) == set()


async def test_nobody_is_woken_who_does_not_sleep(sleep: Sleep) -> None:
    sleep.end()
    with trio.move_on_after(0.01) as waited:
        await sleep.sleep()
    assert waited.cancelled_caught
    sleep.end()
    assert sleep.doze(0) == set()


def test_a_doze_ends_when_somebody_is_ready_and_else_behind_its_time(sleep: Sleep, epoll: select.epoll) -> None:
    near, far = socket.socketpair()
    with near, far:
        epoll.register(far.fileno(), select.EPOLLIN | select.EPOLLET)
        assert sleep.doze(0.001) == set()
        near.send(b"x")
        assert sleep.doze(60) == {epoll.fileno()}
