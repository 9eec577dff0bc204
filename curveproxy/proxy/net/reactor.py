"""The reactor: one epoll for all connections, on whose own descriptor one trio task waits.

No connection has a task. A handler is registered once, edge-triggered, and never modified, because re-arming spins. So
a handler goes on until there is nothing left for it to do; what it leaves for a later turn it schedules itself.

Nobody gets more turns by asking more often: there are two queues, one of ready descriptors (``ready.py``) and one of
scheduled handlers; a handler stands in each at most once, and one of each is served in turn. A handler that has just
been idle does not wait behind all those that keep the process busy.
"""

import select
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

import trio

from curveproxy.proxy.net.ready import Ready, ReadyQueue, Scheduled
from curveproxy.proxy.net.share import Share
from curveproxy.proxy.net.sleep import Sleep

# How long to serve without yielding to trio, whose round costs as much as a handler does.
SECONDS = 0.001
# How long to stay, asleep in the kernel, behind what was read: what follows soon is served without a round of trio's,
# which costs as much as a turn. Other tasks wait meanwhile, but for the reactors that yield to this one and have time.
STAY_MILLISECONDS = 1

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
        self._places.extend([None] * (descriptor + 1 - len(self._places)))
        self._count += self._places[descriptor] is None
        self._places[descriptor] = handler

    def __delitem__(self, descriptor: int) -> None:
        self._places[descriptor] = None
        self._count -= 1


class Reactor:
    """Handlers by descriptor. Unregister a descriptor before it is closed, because its number comes back at once.

    turn: how many handlers are served in one turn. No more events are fetched than are handled.
    yields_to: a reactor whose handlers come first, behind each of ours; while it has work, there is a ``Share`` of the
        time for these.
    worked: seconds that its handlers have taken.
    ready: makes the queue of ready descriptors, of an epoll and of ``turn``.
    """

    def __init__(
        self,
        turn: int,
        *,
        yields_to: "Reactor | None" = None,
        ready: Callable[[select.epoll, int], Ready] = ReadyQueue,
    ) -> None:
        self._turn, self._yields_to, self._share = turn, yields_to, Share()
        self.worked = 0.0
        self._epoll = select.epoll()
        self._ready = ready(self._epoll, turn)
        self._sleep = Sleep(self._epoll)
        self._poll = select.poll()
        self._poll.register(self._epoll.fileno(), select.POLLIN)
        self._handlers = _ByDescriptor()
        self._scheduled: OrderedDict[Scheduled, None] = OrderedDict()
        self._wakes = select.poll()  # from a stay
        self._wakes.register(self._epoll.fileno(), select.POLLIN)
        self._behind: list[Reactor] = []
        if yields_to is not None:
            yields_to.go_before(self)

    def __len__(self) -> int:
        return len(self._handlers)

    @property
    def descriptor(self) -> int:
        """Readable while a descriptor of its handlers is ready."""
        return self._epoll.fileno()

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

    def stay(self) -> None:
        """Something was read: more may follow at once, or an answer."""
        self._ready.stay(True)

    def go_before(self, other: "Reactor") -> None:
        """Do not stay while this one, which yields to us, has something to do."""
        self._behind.append(other)
        self._wakes.register(other.descriptor, select.POLLIN)

    def close(self) -> None:
        self._sleep.close()

    async def run(self) -> None:
        """Serve the handlers in turns."""
        while True:
            if self.is_busy or self._ready.stays:
                await trio.lowlevel.checkpoint()
            else:
                await self._sleep.sleep()
            is_shared = await self._wait_for_time()
            before, until = self.worked, perf_counter() + SECONDS
            while self.serve(until) and perf_counter() < until:
                pass
            if is_shared:
                self._share.spend(self.worked - before)

    async def _wait_for_time(self) -> bool:
        """Until there is time for us. Whether the reactor that comes first has work meanwhile."""
        first = self._yields_to
        while first is not None and first.has_work:
            begin = perf_counter()
            if not self._share.is_used_up(begin, first.worked):
                return True
            await trio.lowlevel.checkpoint()
            self._share.wait(begin, perf_counter())
        return False

    def serve(self, until: float, *, may_stay: bool = True) -> bool:
        """Serve one turn; whether a descriptor was ready. One handler of each queue is served also behind ``until``."""
        begin = perf_counter()
        is_ready = self._serve(until, may_stay)
        self.worked += perf_counter() - begin
        if self.is_busy:
            self._sleep.end()  # those who have been fetched and not served wake nobody any more
        return is_ready

    def _serve(self, until: float, may_stay: bool) -> bool:
        for _ in range(min(len(self._scheduled), self._turn)):
            scheduled, _ = self._scheduled.popitem(last=False)
            self._resume(scheduled)
            if self._give_way(until):
                break
        if not self._ready:
            if may_stay and self._ready.stays and not self._scheduled:
                self._stay()
            if not self._ready.fetch():
                return False
        while (found := self._ready.take(until)) is not None:
            if isinstance(found, tuple):
                self._tell(*found)
            else:
                self._resume(found)
            if self._give_way(until):
                break
        return True

    def _resume(self, scheduled: Scheduled) -> None:
        try:
            scheduled.resume()
        except Exception as error:  # the boundary: one connection ends, not the proxy
            scheduled.failed(error)

    def _tell(self, descriptor: int, events: int) -> None:
        if descriptor == self._sleep.bell:
            return
        handler = self._handlers[descriptor]
        try:
            handler.ready(events)
        except Exception as error:  # the boundary, as above
            handler.failed(error)

    @property
    def is_busy(self) -> bool:
        """Whether a handler is known to wait for its turn."""
        return bool(self._ready or self._scheduled)

    @property
    def has_something(self) -> bool:
        """Whether a handler waits for its turn, or a descriptor is ready that has not been fetched."""
        return self.is_busy or bool(self._poll.poll(0))

    @property
    def has_work(self) -> bool:
        """Whether a handler waits for its turn, or has had it a moment ago and may come again."""
        return not self._sleep.is_on or self.has_something

    @property
    def is_held_back(self) -> bool:
        """Whether it has no time left while the reactor that comes first has work."""
        first = self._yields_to
        return first is not None and self._share.is_used_up(perf_counter(), first.worked)

    @property
    def seconds_held_back(self) -> float:
        """How long handlers had to wait for that, from the start."""
        return self._share.waited

    @property
    def part_held_back(self) -> float:
        """Of the last half minute or so."""
        return self._share.lately(perf_counter())

    def _stay(self) -> None:
        """Wait for a moment for what may follow, unless somebody behind us waits for a turn and may have it."""
        wakes = self._wakes
        if any(other.is_held_back for other in self._behind):
            wakes = self._poll
        elif any(other.is_busy for other in self._behind):
            return  # the moment is not over: what they do in it counts
        begin = perf_counter()
        woken = wakes.poll(STAY_MILLISECONDS)
        self.worked -= perf_counter() - begin  # nobody did
        self._ready.stay(bool(woken) and self.descriptor not in dict(woken))

    def _give_way(self, until: float) -> bool:
        """Behind a handler let those who come first have a turn, without a round of trio's. Whether it is late then."""
        if (first := self._yields_to) is not None:
            before = first.worked
            first.serve(until, may_stay=False)
            self.worked -= first.worked - before  # that was theirs
        return perf_counter() >= until
