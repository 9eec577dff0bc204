"""Where connections wait: one epoll, on whose own descriptor one trio task waits.

No connection has a task. Guests are registered once, edge-triggered, and never modified (re-arming spins). So a guest
goes on until there is too little for it, each time it is woken; what it must leave for a later turn it says itself.

Nobody gets more turns by asking more often: a guest waits in each of the two queues (those whose descriptor has
something, those who are to be woken again) at most once, and one guest of each is served in turn. Who has just been
idle does not wait behind all who keep the process busy.
"""

import select
from collections import OrderedDict
from contextlib import suppress
from time import perf_counter
from typing import Protocol

import trio

# How long guests may follow each other, while there is something, before everything else in the process has its turn: a
# round of trio costs as much as a guest does. Who comes behind others stops for them in between.
SECONDS = 0.001
# How long to look on for an answer that is expected, instead of sleeping: a sleep and its end cost more than most
# answers take. From the third time in vain on, in a row, ever more occasions pass before the next: 1, 2, 4, up to 256.
LOOK_ON_SECONDS = 0.00015
IN_VAIN_MAX = 11

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Owner(Protocol):
    """Somebody for whom something is done apart: an error in it ends its owner, and nobody else."""

    def fail(self, error: Exception) -> None:
        """What is done for it has raised what it should not have."""


class Handler(Owner, Protocol):
    """Somebody who waits."""

    def wake(self, events: int) -> None:
        """Something has come: READ, WRITE, GONE. Does not block; what it raises ends the guest by ``fail``."""


class Reactor:
    """Guests by descriptor. A guest leaves before its descriptor is closed, for the number comes back at once.

    turn: how many guests are served at once. No more events are fetched than are handled.
    after: a room whose guests come first.
    """

    def __init__(self, turn: int, *, after: "Reactor | None" = None) -> None:
        self._turn, self._after = turn, after
        self._epoll = select.epoll()
        self._asleep = False
        self._look = select.poll()
        self._look.register(self._epoll.fileno(), select.POLLIN)
        self._guests: dict[int, Handler] = {}
        self._ready: dict[int, int] = {}  # events that were fetched and not handled, by descriptor
        self._again: OrderedDict[Handler, int] = OrderedDict()
        self._expects = False
        self._in_vain = self._to_pass = 0

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, descriptor: int, guest: Handler, events: int = READ) -> None:
        """Wake ``guest`` from now on, also for what is there already, and always for the end."""
        self._epoll.register(descriptor, events | select.EPOLLRDHUP | select.EPOLLET)
        self._guests[descriptor] = guest

    def replace(self, descriptor: int, guest: Handler) -> None:
        """Wake ``guest`` for a descriptor that another has entered, with the same events."""
        self._guests[descriptor] = guest

    def leave(self, descriptor: int) -> None:
        """Wake its guest no more; nothing when there is none."""
        if self._guests.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
            self._ready.pop(descriptor, None)

    def wake_again(self, guest: Handler, events: int = READ) -> None:
        """Wake ``guest`` in the next turn, once. It may have left by then, and must bear that."""
        self._again[guest] = self._again.get(guest, 0) | events
        if self._asleep:
            trio.lowlevel.notify_closing(self._epoll.fileno())  # wakes the one who waits on it; it closes nothing

    def expect(self) -> None:
        """Something small has passed, as a request or an answer does: the next may follow at once."""
        self._expects = True

    def close(self) -> None:
        self._epoll.close()

    async def run(self) -> None:
        """Serve the guests in turns."""
        while True:
            if self.is_busy or self._expects:
                await trio.lowlevel.checkpoint()
            else:
                await self._sleep()
            until = perf_counter() + SECONDS
            while self._serve(until) and perf_counter() < until and not self._must_yield():
                pass

    async def _sleep(self) -> None:
        """Until a descriptor has something, or somebody is to be woken again."""
        self._asleep = True
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        self._asleep = False

    def _serve(self, until: float) -> bool:
        """One turn: whether a descriptor had something. One guest of each queue is served also behind ``until``."""
        for _ in range(min(len(self._again), self._turn)):
            self._wake(*self._again.popitem(last=False))
            if perf_counter() >= until:
                break
        if not self._ready:
            ready = self._epoll.poll(0, self._turn)
            if not ready and self._expects and not self._again:
                ready = self._look_on()
            if not ready:
                return False
            self._ready.update(ready)
        while self._ready:
            descriptor = next(iter(self._ready))
            events = self._ready.pop(descriptor)
            self._wake(self._guests[descriptor], events)
            if perf_counter() >= until:
                break
        return True

    @property
    def is_busy(self) -> bool:
        """Whether a guest is known to wait for its turn."""
        return bool(self._ready or self._again)

    def _look_on(self) -> list[tuple[int, int]]:
        """What comes within a moment, where something is expected to."""
        self._expects = False
        if self._to_pass:
            self._to_pass -= 1
            return []
        until = perf_counter() + LOOK_ON_SECONDS
        while perf_counter() < until:
            if ready := self._epoll.poll(0, self._turn):
                self._in_vain = 0
                return ready
        self._in_vain = min(self._in_vain + 1, IN_VAIN_MAX)
        self._to_pass = 2**self._in_vain // 8
        return []

    def _must_yield(self) -> bool:
        return self._after is not None and bool(self._after.is_busy or self._after._look.poll(0))

    @staticmethod
    def _wake(guest: Handler, events: int) -> None:
        try:
            guest.wake(events)
        except Exception as error:  # the boundary: one connection ends, not the proxy
            guest.fail(error)
