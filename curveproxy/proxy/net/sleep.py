"""Where the reactors of a process wait: one epoll over theirs, on whose own descriptor trio waits; and a bell."""

import os
import select
from collections.abc import Set

import trio

# More than there are reactors, and a bell.
MOST_AT_ONCE = 4


class Sleep:
    """A sleep until a reactor has something ready, or the bell is rung.

    trio could end it by ``notify_closing``. But that takes the epoll out of trio's own; and whenever an epoll is put
    into another one, the kernel walks through all descriptors in it.
    """

    def __init__(self) -> None:
        self._epoll, self._is_on = select.epoll(), False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)

    def watch(self, descriptor: int) -> None:
        """End, from now on, when the reactor is ready that has this descriptor. It is empty still."""
        self._epoll.register(descriptor, select.EPOLLIN)

    async def sleep(self) -> None:
        """Until somebody is ready, or the bell is rung. Other tasks of trio's have their turns."""
        self._is_on = True
        try:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        finally:
            if not self._is_on:
                os.eventfd_read(self._bell)
            self._is_on = False

    def end(self) -> None:
        """Ring the bell for who sleeps; nothing when nobody does."""
        if self._is_on:
            self._is_on = False
            os.eventfd_write(self._bell, 1)

    def doze(self, seconds: float) -> Set[int]:
        """Wait in the kernel, and let no other task have a turn. Returns the descriptors of who is ready."""
        return dict(self._epoll.poll(seconds, MOST_AT_ONCE)).keys()

    def close(self) -> None:
        os.close(self._bell)
        self._epoll.close()
