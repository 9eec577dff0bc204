"""The queue of ready descriptors: in order, no more than may be served, and nothing of one that was left."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from math import inf

import pytest

from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.net.ready import Ready, ReadyQueue
from curveproxy.proxy.relay import engine

TURN = 4
MAKERS = {"python": ReadyQueue} | ({"engine": engine.ready_queue} if engine.is_built() else {})


class Queue:
    """A queue, its epoll, and ends that are ready. Nobody of them is a flow."""

    def __init__(self, kind: str, stack: ExitStack) -> None:
        make = ReadyQueue if kind == "python" else engine.ready_queue(BufferPool(), MemoryBudget())
        self.epoll = stack.enter_context(select.epoll())
        self.ready: Ready = make(self.epoll, TURN)
        self._stack = stack

    def add(self, number: int) -> list[int]:
        """So many descriptors, which are ready from now on."""
        pairs = [socket.socketpair() for _ in range(number)]
        for near, far in pairs:
            self._stack.enter_context(near)
            self._stack.enter_context(far)
            self.epoll.register(near.fileno(), select.EPOLLIN | select.EPOLLET)
            far.send(b"x")
        return [near.fileno() for near, _ in pairs]

    def taken(self) -> list[int]:
        """Who is served, until nobody is left."""
        found = []
        while (next_one := self.ready.take(inf)) is not None:
            assert isinstance(next_one, tuple)
            descriptor, events = next_one
            assert events == select.EPOLLIN
            found.append(descriptor)
        return found


@pytest.fixture(params=MAKERS)
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    with ExitStack() as stack:
        yield Queue(request.param, stack)


def test_nobody_is_ready_at_first(queue: Queue) -> None:
    assert (len(queue.ready), queue.ready.fetch(), queue.ready.take(inf)) == (0, False, None)


def test_all_are_served_once_in_their_order_and_no_more_are_fetched_than_may_be(queue: Queue) -> None:
    there = queue.add(TURN + 2)
    assert queue.ready.fetch()
    assert len(queue.ready) == TURN
    assert queue.taken() == there[:TURN]
    assert len(queue.ready) == 0
    assert queue.ready.fetch()
    assert queue.taken() == there[TURN:]
    assert not queue.ready.fetch()


def test_nothing_is_fetched_while_some_have_not_been_served(queue: Queue) -> None:
    there = queue.add(2)
    assert queue.ready.fetch()
    first = queue.ready.take(-inf)
    assert first == (there[0], select.EPOLLIN), "one at least, however late it is"
    later = queue.add(1)
    assert queue.ready.fetch()
    assert len(queue.ready) == 1
    assert queue.taken() == there[1:]
    assert queue.ready.fetch()
    assert queue.taken() == later


def test_who_has_left_is_not_served(queue: Queue) -> None:
    there = queue.add(3)
    assert queue.ready.fetch()
    for descriptor in (there[1], there[1], 10**6):
        queue.ready.leave(descriptor)
    assert queue.taken() == [there[0], there[2]]
