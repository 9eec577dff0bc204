"""A listener accepts connections at one endpoint, for the services behind it.

It accepts one whenever the reactor of the half-open comes to it, as if it were one of them: whoever was accepted gets
on before others are, and all that the half-open cost is one account. Those who wait stand in the backlog of the system.

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
from curveproxy.proxy.net.reactor import Reactor

# Of how many in the backlog a listener that closes takes leave.
LAST_ACCEPTS = 16


class Listener:
    """A handler of its sockets, and the half-open connections.

    reactor: of the half-open.
    gates: the services behind it, at least one. Half-open connections count to the first.
    make_room: ends a half-open connection of any listener; False when there is none.
    kind: of what is behind it, which its admission is made for.
    bound: its endpoint, with the port that the system chose; addresses: of its sockets.
    """

    def __init__(
        self,
        listening: ListeningSocket,
        gates: Sequence[Gate],
        admission: Admission,
        reactor: Reactor,
        make_room: Callable[[], bool],
    ) -> None:
        self.bound, self.addresses = listening.endpoint, listening.addresses
        self.gates, self._admission, self._reactor, self._make_room = gates, admission, reactor, make_room
        self.kind = gates[0].settings.kind
        self._listening: ListeningSocket | None = listening
        self._rests = False

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
        """Refuse half-open connections whose deadline has passed, and accept again after a rest."""
        self._refuse_late(now)
        self._admission.tick(now)
        if self._rests:
            self.start()

    def resume(self) -> None:
        """Refuse more of those whose deadline has passed."""
        self._refuse_late(trio.current_time())

    def _refuse_late(self, now: float) -> None:
        """A few in a turn."""
        if self._admission.expire(now):
            self._reactor.schedule(self)

    def start(self) -> None:
        """Accept from now on."""
        self._rests = False
        try:
            for sock in self._listening.sockets if self._listening is not None else ():
                self._reactor.register(sock.fileno(), self, again=True)
        except OSError as error:  # the system can watch no more descriptors
            self.failed(error)

    def _rest(self) -> None:
        """Accept nobody until the next tick."""
        self._rests = True
        for sock in self._listening.sockets if self._listening is not None else ():
            self._reactor.unregister(sock.fileno())

    def close(self) -> None:
        """Stop accepting, and refuse every half-open connection, those in the backlog included."""
        if self._listening is not None:
            self._rest()
            for sock in self._listening.sockets:
                for _ in range(LAST_ACCEPTS):
                    self._accept(sock)
            self._listening.close()
            self._listening = None
        self._admission.close()

    def ready(self, _events: int) -> None:
        """Accept one, of each of its sockets."""
        for sock in self._listening.sockets if self._listening is not None else ():
            if not self._accept(sock):
                self._rest()
                self.gates[0].observer.notice(
                    "no descriptor is left", hint="raise the hard limit of descriptors, or lower max_sessions"
                )
                break

    def _accept(self, listening: socket.socket) -> bool:
        """Accept the first of the backlog, or make room for it. False when no descriptor is left."""
        try:
            sock, address = sockets.accept(listening)
        except BlockingIOError:
            return True
        except OSError as error:
            # Else it was a connection that is no longer; or nobody waits, and Linux has said so before it looked.
            return error.errno not in sockets.EXHAUSTED or not sockets.is_readable(listening) or self._make_room()
        try:
            self._admission.enter(sock, address)
        except Exception as error:  # the boundary: one connection ends, not the listener
            self.gates[0].observer.unexpected(error)
            sock.close()
        return True

    def failed(self, error: Exception) -> None:
        """Report an error of ours that concerns the listener as a whole, which goes on behind a rest."""
        self.gates[0].observer.unexpected(error)
        self._rest()
