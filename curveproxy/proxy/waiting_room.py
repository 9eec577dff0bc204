"""Where connections wait: one epoll, on whose own descriptor one trio task waits.

No connection has a task. Guests are registered once, edge-triggered, and never modified (re-arming spins). So a guest
goes on until there is too little for it, each time it is woken; what it must leave for a later turn it says itself.
"""

import select
from collections import deque
from contextlib import suppress
from typing import Protocol

import trio

# How many turns may follow each other, while there is something, before everything else in the process has its own:
# a round of trio costs as much as a guest does. Who comes behind others stops for them in between.
TURNS = 2
TURNS_BEHIND = 8

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Guest(Protocol):
    """Somebody who waits."""

    def wake(self, events: int) -> None:
        """Something has come: READ, WRITE, GONE. Does not block; what it raises ends the guest by ``fail``."""

    def fail(self, error: Exception) -> None:
        """``wake`` has raised what it should not have."""


class WaitingRoom:
    """Guests by descriptor. A guest leaves before its descriptor is closed, for the number comes back at once.

    turn: how many guests are served at once. No more events are fetched than are handled.
    after: a room whose guests come first.
    """

    def __init__(self, turn: int, *, after: "WaitingRoom | None" = None) -> None:
        self._turn, self._after = turn, after
        self._epoll = select.epoll()
        self._asleep = False
        self._look = select.poll()
        self._look.register(self._epoll.fileno(), select.POLLIN)
        self._guests: dict[int, Guest] = {}
        self._again: deque[tuple[Guest, int]] = deque()

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, descriptor: int, guest: Guest, events: int = READ) -> None:
        """Wake ``guest`` from now on, also for what is there already, and always for the end."""
        self._epoll.register(descriptor, events | select.EPOLLRDHUP | select.EPOLLET)
        self._guests[descriptor] = guest

    def replace(self, descriptor: int, guest: Guest) -> None:
        """Wake ``guest`` for a descriptor that another has entered, with the same events."""
        self._guests[descriptor] = guest

    def leave(self, descriptor: int) -> None:
        """Wake its guest no more; nothing when there is none."""
        if self._guests.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def wake_again(self, guest: Guest, events: int = READ) -> None:
        """Wake ``guest`` in the next turn. It may have left by then, and must bear that."""
        self._again.append((guest, events))
        if self._asleep:
            trio.lowlevel.notify_closing(self._epoll.fileno())  # wakes the one who waits on it; it closes nothing

    def close(self) -> None:
        self._epoll.close()

    async def run(self) -> None:
        """Serve the guests in turns."""
        while True:
            if self._again:
                await trio.lowlevel.checkpoint()
            else:
                await self._sleep()
            for _ in range(TURNS if self._after is None else TURNS_BEHIND):
                if not self._serve() or self._must_yield():
                    break

    async def _sleep(self) -> None:
        """Until a descriptor has something, or somebody is to be woken again."""
        self._asleep = True
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        self._asleep = False

    def _serve(self) -> int:
        """One turn: how many descriptors had something."""
        for _ in range(min(len(self._again), self._turn)):
            guest, events = self._again.popleft()
            self._wake(guest, events)
        ready = self._epoll.poll(0, self._turn)
        for descriptor, events in ready:
            if descriptor in self._guests:  # else it has left in this very turn
                self._wake(self._guests[descriptor], events)
        return len(ready)

    def _must_yield(self) -> bool:
        return self._after is not None and bool(self._after._again or self._after._look.poll(0))

    @staticmethod
    def _wake(guest: Guest, events: int) -> None:
        try:
            guest.wake(events)
        except Exception as error:  # the boundary: one connection ends, not the proxy
            guest.fail(error)
