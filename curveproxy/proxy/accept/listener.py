"""A listener accepts connections at one endpoint, for the services behind it.

Services may share an endpoint. The server key with which a client made its HELLO selects one of them, as the name in a
TLS ClientHello does.
"""

import socket
from collections.abc import Callable, Sequence

import trio

from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.accept.half_open import Gate
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.listening import ListeningSocket

# How many connections are accepted before other tasks have their turn.
ACCEPTS = 16
# How long a listener pauses when no descriptor is left and no half-open connection can be evicted.
REST_SECONDS = 0.1


class Listener:
    """The accept loop, and the half-open connections.

    gates: the services behind it, at least one. Half-open connections count to the first.
    make_room: ends a half-open connection of any listener; False when there is none.
    kind: of what is behind it, which its admission is made for.
    bound: its endpoint, with the port that the system chose; addresses: of its sockets.
    """

    def __init__(
        self, listening: ListeningSocket, gates: Sequence[Gate], admission: Admission, make_room: Callable[[], bool]
    ) -> None:
        self.bound, self.addresses = listening.endpoint, listening.addresses
        self.gates, self._admission, self._make_room = gates, admission, make_room
        self.kind = gates[0].settings.kind
        self._listening: ListeningSocket | None = listening

    @property
    def half_open(self) -> int:
        """How many connections have no outcome yet."""
        return self._admission.half_open

    def listens_on(self, sock: socket.socket) -> bool:
        """Whether it accepts on this very socket."""
        return self._listening is not None and sock in self._listening.sockets

    def configure(self, gates: Sequence[Gate]) -> None:
        """Have these services behind it from now on, with their present settings."""
        self.gates = gates
        self._admission.configure(gates)

    def set_mode(self, mode: int) -> Callable[[], None]:
        """Change the mode of its Unix socket, if it has a path. Returns what undoes it. Raises BindError."""
        return self._listening.set_mode(mode) if self._listening is not None else lambda: None

    def replace(self, gates: Sequence[Gate], admission: Admission) -> None:
        """Have others behind it from now on, whose clients speak another mechanism. All that are half-open are refused.

        A service has become an egress, or the reverse.
        """
        self._admission.close()
        self.gates, self.kind, self._admission = gates, gates[0].settings.kind, admission

    def evict_oldest(self) -> bool:
        """End the oldest half-open connection; False when there is none."""
        return self._admission.evict_oldest()

    def expire(self, now: float) -> None:
        """Refuse half-open connections whose deadline has passed."""
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
        """Accept what is in the backlog. False when no descriptor is left for it."""
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
        """Report an error of ours that concerns the listener as a whole."""
        self.gates[0].observer.unexpected(error)
