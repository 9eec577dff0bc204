"""The connections to one service: how many sessions have, and how they end.

Most are just closed. A PAIR of libzmq 2.x asserts that it has no connection when another comes, so there each must have
ended on the service's side too before the next is made.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from curveproxy.proxy.net.reactor import Reactor

# A PAIR of libzmq 2.x has lost its connection only when its own thread has read what had come by it, which on a busy
# machine has taken more than a second.
SETTLE_SECONDS = 3.0
READ_SIZE = 65536


class FinishingConnection:
    """A half-closed connection that is read until the service has seen its end.

    ended: is called once; unexpected: is told of errors of ours.
    """

    def __init__(
        self,
        sock: socket.SocketType,
        reactor: Reactor,
        ended: Callable[[], None],
        unexpected: Callable[[Exception], None],
    ) -> None:
        self._socket, self._reactor, self._ended, self._unexpected = sock, reactor, ended, unexpected

    def begin(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        try:
            self._reactor.register(self._socket.fileno(), self)
        except OSError:  # the system can watch no more descriptors
            self._end()

    def ready(self, _events: int) -> None:
        self.resume()

    def resume(self) -> None:
        """Read what comes, a piece in each turn, up to the end; nothing when it has ended."""
        try:
            if self._socket.recv(READ_SIZE):
                self._reactor.schedule(self)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end()

    def failed(self, error: Exception) -> None:
        self._end()
        self._unexpected(error)

    def _end(self) -> None:
        if self._socket.fileno() == -1:
            return  # it was scheduled before it ended
        self._reactor.unregister(self._socket.fileno())
        self._socket.close()
        self._ended()


class Connections:
    """Those of one service.

    spawn: starts a task of the dialer's; unexpected: is told of errors of ours.
    one_at_a_time: the service is, or may be, one that must not have two; see ``allow_one``.
    """

    def __init__(
        self,
        reactor: Reactor,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
        unexpected: Callable[[Exception], None],
    ) -> None:
        self._reactor, self._spawn, self._unexpected = reactor, spawn, unexpected
        self._lent = self._finishing = 0
        self.one_at_a_time = False

    @property
    def are_none(self) -> bool:
        """Whether the service has none now."""
        return not self._lent and not self._finishing

    def allow_one(self, only: bool) -> None:
        """Whether the service must not have two from now on."""
        self.one_at_a_time = only

    def lend(self) -> None:
        """One is handed over to a session."""
        self._lent += 1

    def take_back(self, sock: socket.SocketType) -> None:
        """Close one that was lent."""
        self._lent -= 1
        self.close(sock)

    def close(self, sock: socket.SocketType) -> None:
        """Close one, at once or when the service has seen its end."""
        self._reactor.unregister(sock.fileno())
        if not self.one_at_a_time:
            sock.close()
            return
        self._finishing += 1
        FinishingConnection(sock, self._reactor, self._has_finished, self._unexpected).begin()

    def _has_finished(self) -> None:
        self._spawn(self._settle)

    async def _settle(self) -> None:
        await trio.sleep(SETTLE_SECONDS)
        self._finishing -= 1
