"""A listener: one endpoint at which clients are accepted for the services behind it.

Services may share an endpoint: the server key with which a client made its HELLO tells which of them it wants, as the
name in a TLS ClientHello would.
"""

import socket
from collections.abc import Callable, Sequence

import trio

from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.accept.half_open import Gate
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.listening import ListeningSocket

# So many connections are accepted before others have their turn.
ACCEPTS = 16
# How long a listener rests when there is no descriptor left, and no half-open connection to evict.
REST_SECONDS = 0.1


class Listener:
    """The accept loop, and the half-open connections.

    gates: the services behind it, at least one; the first is the one to which half-open connections count.
    make_room: ends a half-open connection of any listener; False when there is none.
    bound: where it listens, with the port that the system chose; addresses: those that this is.
    """

    def __init__(
        self, listening: ListeningSocket, gates: Sequence[Gate], admission: Admission, make_room: Callable[[], bool]
    ) -> None:
        self.bound, self.addresses = listening.endpoint, listening.addresses
        self.gates, self._admission, self._make_room = gates, admission, make_room
        self._listening: ListeningSocket | None = listening

    @property
    def half_open(self) -> int:
        """How many connections have no outcome yet."""
        return self._admission.half_open

    def listens_on(self, sock: socket.socket) -> bool:
        """Whether it accepts on this very socket."""
        return self._listening is not None and sock in self._listening.sockets

    def configure(self, gates: Sequence[Gate]) -> None:
        """These services are behind it from now on, with the settings that they have now."""
        self.gates = gates
        self._admission.configure(gates)

    def evict_oldest(self) -> bool:
        """End the oldest half-open connection; False when there is none."""
        return self._admission.evict_oldest()

    def expire(self, now: float) -> None:
        """End half-open connections that are late."""
        self._admission.expire(now)

    def close(self) -> None:
        """Stop accepting, and refuse every half-open connection, those in the backlog included."""
        if self._listening is not None:
            for sock in self._listening.sockets:
                self._accept(sock)
                trio.lowlevel.notify_closing(sock)
            self._listening.close()
            self._listening = None
        self._admission.close()

    async def run(self) -> None:
        """Accept until it is closed."""
        async with trio.open_nursery() as nursery:
            for sock in self._listening.sockets if self._listening is not None else ():
                nursery.start_soon(self._accept_often, sock)

    async def _accept_often(self, sock: socket.socket) -> None:
        while self._listening is not None:
            try:
                await trio.lowlevel.wait_readable(sock)
            except trio.ClosedResourceError:
                break
            if self._listening is None:
                break  # closed meanwhile
            try:
                has_room = self._accept(sock)
            except Exception as error:  # the boundary: what went wrong is over, and the listener stays
                self.failed(error)
                await trio.sleep(REST_SECONDS)
                continue
            if not has_room:
                self.gates[0].observer.notice(
                    "no descriptor is left", hint="raise the hard limit of descriptors, or lower max_sessions"
                )
                await trio.sleep(REST_SECONDS)

    def _accept(self, listening: socket.socket) -> bool:
        """Accept what is in the backlog. False when that is not possible for the want of a descriptor."""
        for _ in range(ACCEPTS):
            try:
                sock, address = listening.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in sockets.EXHAUSTED:
                    continue  # it was a connection that is no longer
                if not sockets.is_readable(listening):
                    break  # nobody waits: Linux says so of a descriptor before it looks
                if not self._make_room():
                    return False
                continue  # a descriptor is free now
            try:
                self._admission.enter(sock, address)
            except Exception as error:  # the boundary: one connection ends, not the listener
                self.failed(error)
                sock.close()
        return True

    def failed(self, error: Exception) -> None:
        """An error of ours in what is done for all connections."""
        self.gates[0].observer.unexpected(error)
