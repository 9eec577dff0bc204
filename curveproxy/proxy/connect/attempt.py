"""One attempt to reach a service: a connection to one address, and its handshake."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from curveproxy.proxy.connect.address import Address
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.reactor import GONE, READ, WRITE, Reactor
from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated
from curveproxy.wire.zmtp.greeting import MAJOR_END

# libzmq sends its signature first. A service that is greeted in one piece wakes us only when its version has come too,
# which shows whether it speaks ZMTP 3.
LEAST_ANSWER = MAJOR_END + 1

# What ends an attempt: a fault of the peer's on the wire, an error of the system, or that the peer has closed.
AttemptError = PeerError | OSError | EOFError


class AttemptOwner(Protocol):
    """Who wants the peer. One of the three is called, once, and never inside the attempt's own ``try``."""

    def greeted(self, negotiated: Negotiated) -> None:
        """The handshake is complete."""

    def attempt_failed(self, error: AttemptError) -> None:
        """There is no connection, or its handshake has failed."""

    def failed(self, error: Exception) -> None:
        """An error of ours has ended the attempt."""


class DialAttempt:
    """Drives an initiator over a socket.

    new_socket: makes one of a family; raises OSError.
    socket: the owner releases it, whatever becomes of it; None where there never was one, or it was released.
    is_connecting: nothing could be sent yet.
    """

    __slots__ = ("_initiator", "_mark", "_new_socket", "_octets", "_owner", "_reactor", "is_connecting", "socket")

    def __init__(
        self,
        initiator: Initiator,
        reactor: Reactor,
        new_socket: Callable[[int], socket.SocketType],
        owner: AttemptOwner,
    ) -> None:
        self._initiator, self._reactor, self._new_socket, self._owner = initiator, reactor, new_socket, owner
        self.socket: socket.SocketType | None = None
        self.is_connecting, self._octets, self._mark = True, 0, 1

    def begin(self, address: Address) -> None:
        """Connect. Raises OSError; EAGAIN where the backlog of a Unix socket is full."""
        family, place = address
        sock = self.socket = self._new_socket(family)
        number = sock.connect_ex(place)
        if number not in (0, errno.EINPROGRESS):
            raise _error_of(number)
        with suppress(BlockingIOError):
            self._greet(sock)  # on loopback the connection stands by now, whatever connect said
        self._reactor.register(sock.fileno(), self, READ | WRITE)

    def release(self) -> socket.SocketType | None:
        """End the attempt: the socket is its owner's, to be closed or handed on."""
        sock, self.socket = self.socket, None
        return sock

    def ready(self, events: int) -> None:
        """Go on with what the socket has."""
        if (sock := self.socket) is None or not (self.is_connecting or events & (READ | GONE)):
            return
        failure: AttemptError | None = None
        try:
            if self.is_connecting:
                self._finish_connect(sock)
            # The service's greeting may have come in the same event.
            negotiated = self._advance(sock, gone=bool(events & GONE))
        except BlockingIOError:
            return
        except (PeerError, OSError, EOFError) as error:
            failure = error
        if failure is not None:
            self._owner.attempt_failed(failure)
        elif negotiated is not None:
            self._owner.greeted(negotiated)

    def failed(self, error: Exception) -> None:
        self._owner.failed(error)

    def _finish_connect(self, sock: socket.SocketType) -> None:
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise _error_of(number)
        self._greet(sock)

    def _greet(self, sock: socket.SocketType) -> None:
        greeting = self._initiator.start()
        sock.send(greeting)  # a fresh socket takes it whole
        self.is_connecting = False
        if len(greeting) > spec.GREETING_SIZE:  # with READY behind it, which is all that we shall say
            self._set_mark(sock, LEAST_ANSWER)

    def _set_mark(self, sock: socket.SocketType, mark: int) -> None:
        if mark != self._mark:
            sockets.set_mark(sock, mark)
            self._mark = mark

    def _advance(self, sock: socket.SocketType, *, gone: bool) -> Negotiated | None:
        """Go through the handshake, as far as what has come reaches. gone: the peer has closed.

        None while there is more to come, or BlockingIOError is raised; raises AttemptError.
        """
        initiator = self._initiator
        while True:
            octets = sock.recv(spec.BACKEND_HANDSHAKE_MAX)
            if not octets:
                raise EOFError
            self._octets += len(octets)
            if answer := initiator.receive_untrusted(octets):
                with suppress(BrokenPipeError, ConnectionResetError):  # what it said before it closed tells more
                    sock.send(answer)
            self._set_mark(sock, 1)
            if initiator.done:
                return initiator.negotiated
            if self._octets > spec.BACKEND_HANDSHAKE_MAX:
                raise PeerError(Fault.READY, "too long")
            if not gone and len(octets) < spec.BACKEND_HANDSHAKE_MAX:
                return None  # that was all, and we are woken when more comes


def _error_of(number: int) -> OSError:
    return OSError(number, os.strerror(number))
