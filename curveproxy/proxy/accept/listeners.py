"""The listeners of a process, and what they share."""

import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.curve_mechanism import CurveMechanism
from curveproxy.proxy.accept.half_open import Gate, Mechanism
from curveproxy.proxy.accept.listener import Listener
from curveproxy.proxy.accept.plain_mechanism import PlainMechanism
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.linger import LingeringCloses
from curveproxy.proxy.net.listening import ListeningSocket, listen
from curveproxy.proxy.net.reactor import Reactor
from curveproxy.proxy.settings import ServiceKind, ServiceSettings

# Services that share an endpoint share a listener; port 0 is another port for each service.
Place = tuple[Endpoint, str]


def place_of(settings: ServiceSettings) -> Place:
    """Where a service with these settings listens."""
    return settings.listen, "" if settings.listen.is_fixed else settings.name


class Listeners:
    """Listeners by place.

    reactor: of the half-open connections.
    handed_over: sockets that listen already, for the listeners with their addresses.
    """

    def __init__(self, reactor: Reactor, capacity: Capacity, handed_over: Sequence[socket.socket]) -> None:
        self._reactor, self._capacity, self._handed_over = reactor, capacity, handed_over
        self._cookies, self._transient_keys = CookieKeys(), TransientKeys()
        self._lingering = LingeringCloses(reactor, capacity.half_open)
        self._listeners: dict[Place, Listener] = {}

    def __iter__(self) -> Iterator[Listener]:
        return iter(list(self._listeners.values()))

    @property
    def tasks(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What has to run as long as the server does."""
        return self._cookies.run, self._transient_keys.run

    @property
    def unused(self) -> list[socket.socket]:
        """Of the sockets that were handed over, those on which nobody listens."""
        return [sock for sock in self._handed_over if not any(listener.listens_on(sock) for listener in self)]

    def of(self, gate: Gate) -> Listener:
        """Where the clients of an open service come in."""
        return next(listener for listener in self if gate in listener.gates)

    def bind(self, places: Mapping[Place, int | None], *, reuse_port: bool) -> Mapping[Place, ListeningSocket]:
        """Listen where nobody does yet. Raises BindError, and then nothing has changed.

        places: each with the mode of its Unix socket, None for any.
        """
        with ExitStack() as undo:
            fresh = {}
            for place, mode in places.items():
                if (listener := self._listeners.get(place)) is None:
                    fresh[place] = listen(place[0], reuse_port=reuse_port, handed_over=self._handed_over, mode=mode)
                    undo.callback(fresh[place].close)
                elif mode is not None:
                    undo.callback(listener.set_mode(mode))
            undo.pop_all()
        return fresh

    def configure(self, behind: Mapping[Place, Sequence[Gate]], fresh: Mapping[Place, ListeningSocket]) -> None:
        """Have listeners at these places, with these services, and no others. fresh: what ``bind`` has returned."""
        before, self._listeners = self._listeners, {}
        for place, gates in behind.items():
            if (listener := before.pop(place, None)) is None:
                listener = Listener(fresh[place], gates, self._admission(gates), self._reactor, self.evict)
                listener.start()
            elif listener.kind == gates[0].settings.kind:
                listener.configure(gates)
            else:
                listener.replace(gates, self._admission(gates))
            self._listeners[place] = listener
        for listener in before.values():
            listener.close()

    def _admission(self, gates: Sequence[Gate]) -> Admission:
        mechanism: Mechanism = (
            PlainMechanism()
            if gates[0].settings.kind == ServiceKind.EGRESS
            else CurveMechanism(self._cookies, self._transient_keys)
        )
        return Admission(gates, mechanism, self._reactor, self._lingering, self._capacity, self.evict)

    def close(self) -> None:
        """Stop accepting, and end all half-open connections."""
        for listener in self:
            listener.close()
        self._lingering.close_all()

    def expire(self, now: float) -> None:
        """Close sockets that have lingered long enough."""
        self._lingering.expire(now)

    def evict(self) -> bool:
        """Free a descriptor by ending a lingering close, else a half-open connection. False when there is neither.

        The connection is one of the listener that has most: a flood at one port evicts nobody at another.
        """
        if self._lingering.close_oldest():
            return True
        fullest = max(self, key=lambda listener: listener.half_open, default=None)
        return fullest is not None and fullest.evict_oldest()
