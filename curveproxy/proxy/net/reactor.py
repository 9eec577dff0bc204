"""The reactor: one epoll for many connections, and the order in which these are served.

No connection has a task: one task serves them all (``turns.py``). A handler is registered once, edge-triggered, and
never modified, because re-arming spins. So a handler goes on until there is nothing left for it to do; what it leaves
for a later turn it schedules itself.

Nobody gets more turns by asking more often: there are two queues, one of ready descriptors (``ready.py``) and one of
scheduled handlers; a handler stands in each at most once, and one of each is served in turn. A handler that has just
been idle does not wait behind all those that keep the process busy.
"""

import select
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

from curveproxy.proxy.net.ready import Ready, ReadyQueue, Scheduled
from curveproxy.proxy.net.sleep import Sleep

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class FailsAlone(Protocol):
    """Somebody whose errors end nobody else."""

    def failed(self, error: Exception) -> None:
        """An error of ours in what was done for it."""


# Starts a task; what it raises is told to its owner alone.
Spawn = Callable[[FailsAlone, Callable[[], Awaitable[None]]], None]


class Handler(FailsAlone, Protocol):
    """Somebody who waits for a descriptor. Does not block; what it raises is told to its ``failed``."""

    def ready(self, events: int) -> None:
        """The descriptor is ready: READ, WRITE, GONE."""


class _ByDescriptor:
    """Handlers, each at the place of its descriptor.

    The kernel gives the smallest number that is free, so a list has hardly a gap. A dictionary, and the numbers that it
    keeps, would take eight times as much.
    """

    def __init__(self) -> None:
        self._places: list[Handler | None] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, descriptor: int) -> bool:
        return 0 <= descriptor < len(self._places) and self._places[descriptor] is not None

    def __getitem__(self, descriptor: int) -> Handler:
        handler = self._places[descriptor]
        if handler is None:
            raise KeyError(descriptor)
        return handler

    def __setitem__(self, descriptor: int, handler: Handler) -> None:
        if descriptor >= len(self._places):
            self._places.extend([None] * (descriptor + 1 - len(self._places)))
        self._count += self._places[descriptor] is None
        self._places[descriptor] = handler

    def __delitem__(self, descriptor: int) -> None:
        self._places[descriptor] = None
        self._count -= 1


class Reactor:
    """Handlers by descriptor. Unregister a descriptor before it is closed, because its number comes back at once.

    turn: how many handlers are served in one turn. No more events are fetched than are handled.
    descriptor: readable while a descriptor of its handlers is ready.
    sleep: is ended when somebody is scheduled, or a descriptor is ready.
    ready: makes the queue of ready descriptors, of an epoll and of ``turn``.
    """

    def __init__(self, turn: int, sleep: Sleep, *, ready: Callable[[select.epoll, int], Ready] = ReadyQueue) -> None:
        self._turn, self._sleep, self._epoll = turn, sleep, select.epoll()
        self.descriptor, self._ready = self._epoll.fileno(), ready(self._epoll, turn)
        self._handlers = _ByDescriptor()
        self._scheduled: OrderedDict[Scheduled, None] = OrderedDict()
        sleep.watch(self.descriptor)

    def __len__(self) -> int:
        return len(self._handlers)

    def register(self, descriptor: int, handler: Handler, events: int = READ, *, again: bool = False) -> None:
        """Call ``handler`` from now on, also for what is there already, and always for the end. Raises OSError.

        again: call it for what it has left too, each time behind all others that are ready.
        """
        self._epoll.register(descriptor, events | select.EPOLLRDHUP | (0 if again else select.EPOLLET))
        self._handlers[descriptor] = handler

    def hand_over(self, descriptor: int, handler: Handler) -> None:
        """Call ``handler`` for a descriptor that is registered for another one, with the same events.

        An engine, where there is one, may make its ordinary turns.
        """
        self._handlers[descriptor] = handler
        self._ready.enter(descriptor, handler)

    def unregister(self, descriptor: int) -> None:
        """Call its handler no more; nothing when there is none."""
        if descriptor in self._handlers:
            del self._handlers[descriptor]
            self._epoll.unregister(descriptor)
            self._ready.leave(descriptor)

    def schedule(self, handler: Scheduled) -> None:
        """Resume ``handler`` in the next turn, once. It may have ended by then, and must bear that."""
        self._scheduled[handler] = None
        self._sleep.end()

    def close(self) -> None:
        self._epoll.close()

    @property
    def is_busy(self) -> bool:
        """Whether a handler is known to wait for its turn."""
        return bool(self._scheduled or self._ready)

    def serve(self, until: float) -> bool:
        """Serve one turn; whether a descriptor was ready. One handler of each queue is served also behind ``until``."""
        for _ in range(min(len(self._scheduled), self._turn)):
            scheduled, _ = self._scheduled.popitem(last=False)
            self._resume(scheduled)
            if perf_counter() >= until:
                break
        if not self._ready.fetch():
            return False
        while (found := self._ready.take(until)) is not None:
            if isinstance(found, tuple):
                self._tell(*found)
            else:
                self._resume(found)
            if perf_counter() >= until:
                break
        return True

    def _resume(self, scheduled: Scheduled) -> None:
        try:
            scheduled.resume()
        except Exception as error:  # the boundary: one connection ends, not the proxy
            scheduled.failed(error)

    def _tell(self, descriptor: int, events: int) -> None:
        handler = self._handlers[descriptor]
        try:
            handler.ready(events)
        except Exception as error:  # the boundary, as above
            handler.failed(error)
