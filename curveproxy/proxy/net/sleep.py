"""The sleep of a reactor: until a descriptor of its epoll is ready, or somebody is to be served without one."""

import os
import select

import trio


class Sleep:
    """It may be ended by a bell, a descriptor of its own in the epoll.

    trio could end it by ``notify_closing``. But that takes the epoll out of trio's own; and whenever an epoll is put
    into another one, the kernel walks through all descriptors in it.

    bell: the descriptor, of whose events nobody has to hear.
    is_on: whether somebody sleeps.
    """

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll, self.is_on = epoll, False
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        epoll.register(self.bell, select.EPOLLIN | select.EPOLLET)

    async def sleep(self) -> None:
        """Until something is ready."""
        self.is_on = True
        try:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        finally:
            self.is_on = False

    def end(self) -> None:
        """Wake who sleeps, if anybody does."""
        if self.is_on:
            self.is_on = False
            os.eventfd_write(self.bell, 1)

    def close(self) -> None:
        os.close(self.bell)
        self._epoll.close()
