"""Lingering closes: sockets that have sent their last octets are read until their peers close too.

A socket that is closed while unread octets are in it is reset, and what it was sent last may be lost with that.
"""

import socket
from collections.abc import Callable

import trio

from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.deadlines import Count, Deadline, DeadlineQueue
from curveproxy.proxy.net.reactor import GONE, Reactor

# How long a peer has to read the last octets, and how many sockets linger at once: beyond, the oldest is closed early.
LINGER_SECONDS = 1.0
LINGERING_MAX = 256
READ_SIZE = 65536


class LingeringClose(Deadline):
    """A half-closed socket whose peer has not closed yet."""

    __slots__ = ("_owner", "_unexpected", "socket")

    def __init__(
        self,
        owner: "LingeringCloses",
        sock: socket.SocketType,
        deadline: float,
        unexpected: Callable[[Exception], None],
    ) -> None:
        super().__init__(deadline)
        self._owner, self.socket, self._unexpected = owner, sock, unexpected

    def ready(self, events: int) -> None:
        if events & GONE or not self._read():
            self._owner.close(self)

    def _read(self) -> bool:
        """Read and forget; whether more may come."""
        try:
            return bool(self.socket.recv(READ_SIZE))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def failed(self, error: Exception) -> None:
        self._owner.close(self)
        self._unexpected(error)


class LingeringCloses:
    """Those of all listeners. count: of descriptors, in which they stand."""

    def __init__(self, reactor: Reactor, count: Count) -> None:
        self._reactor = reactor
        self._queue: DeadlineQueue[LingeringClose] = DeadlineQueue(count)

    def __len__(self) -> int:
        return len(self._queue)

    def begin(self, sock: socket.SocketType, last: bytes, unexpected: Callable[[Exception], None]) -> None:
        """Send the last octets and half-close; close at once where that is not possible.

        unexpected: is told of errors of ours.
        """
        try:
            sock.send(last)
            sock.shutdown(socket.SHUT_WR)
            sockets.set_mark(sock, 1)
            closing = LingeringClose(self, sock, trio.current_time() + LINGER_SECONDS, unexpected)
            self._reactor.register(sock.fileno(), closing)
        except OSError:  # the peer has gone, or the system can watch no more descriptors
            sock.close()
            return
        if len(self._queue) == LINGERING_MAX:
            self.close_oldest()
        self._queue.append(closing)

    def close(self, closing: LingeringClose) -> None:
        self._queue.remove(closing)
        self._reactor.unregister(closing.socket.fileno())
        closing.socket.close()

    def close_oldest(self) -> bool:
        """False when there is none."""
        if (oldest := self._queue.oldest) is None:
            return False
        self.close(oldest)
        return True

    def close_all(self) -> None:
        while self.close_oldest():
            pass

    def expire(self, now: float) -> None:
        """Close those whose time is over."""
        while (late := self._queue.due(now)) is not None:
            self.close(late)
