"""The server: all services of one process, the listeners before them, and what they share."""

import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import trio

from curveproxy.policy.access import AccessList
from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.curve_mechanism import CurveMechanism
from curveproxy.proxy.accept.listener import Listener
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.drain import end_sessions
from curveproxy.proxy.identities import IdentityRegistry
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.linger import LingeringCloses
from curveproxy.proxy.net.listening import ListeningSocket, listen
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.net.reactor import FailsAlone, Reactor
from curveproxy.proxy.observer import Observer, ServerFigures, ServiceFigures, SessionView
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.service import Service, ServiceEnv
from curveproxy.proxy.settings import ServiceSettings

# How many handlers are served in one turn. Sessions come first: a flood of new connections does not starve them.
HALF_OPEN_TURN = 8
SESSIONS_TURN = 16

# How often deadlines are looked at.
TICK_SECONDS = 0.25

# Services that share an endpoint share a listener; port 0 is another port for each.
ListenerKey = tuple[Endpoint, str]


class Server:
    """``open`` services and ``run``; ``drain`` ends it.

    descriptors: the soft limit of this process.
    handed_over: sockets that listen already, for the listeners with their addresses.
    registry: of identities, where other processes relay the same services.
    memory_is_short: told True when sessions have to wait for memory, and False when they need not any more.
    """

    def __init__(
        self,
        *,
        descriptors: int,
        handed_over: Sequence[socket.socket] = (),
        registry: IdentityRegistry | None = None,
        memory_is_short: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._capacity = Capacity(descriptors)
        self._pool, self._memory = BufferPool(), MemoryBudget(memory_is_short)
        self.services: list[Service] = []
        self.sessions_reactor = Reactor(SESSIONS_TURN)
        self.half_open_reactor = Reactor(HALF_OPEN_TURN, yields_to=self.sessions_reactor)
        self._handed_over = handed_over
        self._cookies, self._transient_keys = CookieKeys(), TransientKeys()
        self._lingering = LingeringCloses(self.half_open_reactor, self._capacity.half_open)
        self._service_env = ServiceEnv(
            self.sessions_reactor, self._pool, self._memory, self._capacity, self.spawn, self.evict, registry
        )
        self._listeners: dict[ListenerKey, Listener] = {}
        self._former: list[Service] = []  # those with sessions that have not ended yet
        self._nursery: trio.Nursery | None = None
        self._drain_begins = trio.Event()
        self._drain_seconds = 0.0

    @property
    def draining(self) -> bool:
        return self._drain_begins.is_set()

    @property
    def sessions(self) -> int:
        """Places that are in use by the sessions of all services, and by clients that are about to have one."""
        return self._capacity.places_in_use

    @property
    def unused(self) -> list[socket.socket]:
        """Of the sockets that were handed over, those on which nobody listens."""
        return [
            sock
            for sock in self._handed_over
            if not any(listener.listens_on(sock) for listener in self._listeners.values())
        ]

    # --- figures

    def figures(self) -> ServerFigures:
        """As they are now."""
        return ServerFigures(
            descriptors=self._capacity.in_use,
            descriptors_limit=self._capacity.limit,
            buffered=self._memory.held,
            buffered_limit=self._memory.limit,
            buffered_waiting=self._memory.waiting,
            ended_for_memory=self._memory.ended,
            services=[self.figures_of(service) for service in self.services],
        )

    def figures_of(self, service: Service) -> ServiceFigures:
        """Those of one open service."""
        listener = self.listener_of(service)
        # Connections that are half-open count to the first of the services that share a listener.
        half_open = listener.half_open if listener.gates[0] is service else 0
        return service.figures(listener.bound, listener.addresses, half_open)

    def session_views(self, service: str = "") -> Iterator[SessionView]:
        """The sessions of one service, or of all."""
        for each in self.services:
            if service in ("", each.settings.name):
                yield from each.sessions

    def end_session(self, number: int) -> SessionView | None:
        """Send a session's client away behind a whole message. None when the session has ended already."""
        for service in self.services:
            for session in service.sessions:
                if session.number == number:
                    session.drain()
                    return session
        return None

    # --- changes

    def limit_memory(self, octets: float) -> None:
        """Set how much the sessions may hold, infinite for no limit."""
        self._memory.set_limit(octets)

    def listener_of(self, service: Service) -> Listener:
        """Where the clients of an open service come in."""
        return next(listener for listener in self._listeners.values() if service in listener.gates)

    def new_service(self, settings: ServiceSettings, clients: AccessList, observer: Observer) -> Service:
        """A service that can be opened."""
        return Service(settings, clients, observer, self._service_env)

    def open(self, wanted: Mapping[Service, ServiceSettings], *, reuse_port: bool = False) -> None:
        """From now on there are these services, with these settings, and no others.

        A listener that stays is not closed for a moment, and no session of a service that stays is touched. Raises
        BindError when a new one can not be opened; nothing has changed then.
        """
        behind: dict[ListenerKey, list[Service]] = {}
        for service, settings in wanted.items():
            key = settings.listen, "" if settings.listen.is_fixed else settings.name
            behind.setdefault(key, []).append(service)
        with ExitStack() as undo:
            fresh = {}
            for key in behind.keys() - self._listeners.keys():
                fresh[key] = listen(key[0], reuse_port=reuse_port, handed_over=self._handed_over)
                undo.callback(fresh[key].close)
            undo.pop_all()
        for service, settings in wanted.items():
            service.configure(settings)
        before, self._listeners = self._listeners, {}
        for key, services in behind.items():
            if (listener := before.pop(key, None)) is not None:
                listener.configure(services)
            else:
                listener = self._new_listener(fresh[key], services)
            self._listeners[key] = listener
        for listener in before.values():
            listener.close()
        for service in self.services:
            if service not in wanted:
                service.leave()
                self._former.append(service)
                for session in service.sessions:
                    session.drain()
        self.services = list(wanted)

    def _new_listener(self, listening: ListeningSocket, services: list[Service]) -> Listener:
        mechanism = CurveMechanism(self._cookies, self._transient_keys)
        admission = Admission(services, mechanism, self.half_open_reactor, self._lingering, self._capacity, self.evict)
        listener = Listener(listening, services, admission, self.evict)
        if self._nursery is not None:
            self._nursery.start_soon(listener.run)
        return listener

    async def run(self) -> None:
        """Serve what was opened, until it has been drained."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.half_open_reactor.run)
            self._nursery.start_soon(self.sessions_reactor.run)
            self._nursery.start_soon(self._cookies.run)
            self._nursery.start_soon(self._transient_keys.run)
            self._nursery.start_soon(self._pool.run)
            self._nursery.start_soon(self._tick)
            for listener in self._listeners.values():
                self._nursery.start_soon(listener.run)
            await self._drain_begins.wait()
            await end_sessions(self._inside, lambda: self.sessions, self._drain_seconds)
            self._nursery.cancel_scope.cancel()
        self.half_open_reactor.close()
        self.sessions_reactor.close()

    def drain(self, seconds: float) -> None:
        """Stop listening, serve those inside for so long, then leave.

        Nothing listens when this returns: whoever has handed sockets over may close them.
        """
        self._drain_seconds = seconds
        for listener in self._listeners.values():
            listener.close()
        for service in self.services:
            service.leave()
        self._lingering.close_all()
        self._drain_begins.set()

    def _inside(self) -> list[Session]:
        return [session for service in (*self.services, *self._former) for session in service.sessions]

    async def _tick(self) -> None:
        """Look at the deadlines. Each queue is in the order of its deadlines."""
        while True:
            now = trio.current_time()
            ticking: list[Listener | Service] = [*self._listeners.values(), *self.services, *self._former]
            for each in ticking:
                try:
                    each.expire(now)
                except Exception as error:  # the boundary: the next tick goes on behind whatever this was
                    each.failed(error)
            self._lingering.expire(now)
            self._former = [service for service in self._former if service.places_in_use]
            self._memory.expire(now)
            await trio.sleep(TICK_SECONDS)

    def evict(self) -> bool:
        """Free a descriptor: of a lingering close, else of a half-open connection. False when there is none.

        The listener pays that has most of them: whoever crowds one port takes no place from those that come at another.
        """
        if self._lingering.close_oldest():
            return True
        return max(self._listeners.values(), key=lambda listener: listener.half_open).evict_oldest()

    def spawn(self, owner: FailsAlone, work: Callable[[], Awaitable[None]]) -> None:
        """Start a task that lives as long as the server does. What it raises ends its owner alone."""

        async def guarded() -> None:
            try:
                await work()
            except Exception as error:  # the boundary: one owner ends, not the server
                owner.failed(error)

        assert self._nursery is not None
        self._nursery.start_soon(guarded)
