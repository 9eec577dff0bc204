"""The server: all services of one process, the listeners before them, and what they share."""

import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import trio

from curveproxy.policy.access.access_list import AccessList
from curveproxy.proxy.accept.listener import Listener
from curveproxy.proxy.accept.listeners import Listeners, Place, place_of
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.drain import end_sessions
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.net.reactor import FailsAlone, Reactor
from curveproxy.proxy.net.sleep import Sleep
from curveproxy.proxy.net.turns import Turns
from curveproxy.proxy.observer import Observer, ServerFigures, ServiceFigures, SessionView
from curveproxy.proxy.relay.engine import ready_queue
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.service import Service, ServiceEnv
from curveproxy.proxy.sessions.identities import IdentityRegistry
from curveproxy.proxy.settings import ServiceSettings

# How many handlers are fetched for one turn.
HALF_OPEN_TURN = 8
SESSIONS_TURN = 64

# How often deadlines are looked at.
TICK_SECONDS = 0.25


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
        self._sleep = Sleep()
        self.sessions_reactor = Reactor(SESSIONS_TURN, self._sleep, ready=ready_queue(self._pool, self._memory))
        self.half_open_reactor = Reactor(HALF_OPEN_TURN, self._sleep)
        self.turns = Turns(self._sleep, self.sessions_reactor, self.half_open_reactor)
        self._listeners = Listeners(self.half_open_reactor, self._capacity, handed_over)
        self._service_env = ServiceEnv(
            self.sessions_reactor,
            self._pool,
            self._memory,
            self._capacity,
            self.spawn,
            self._listeners.evict,
            registry,
        )
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
        return self._listeners.unused

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
            half_open_held_back=self.turns.seconds_held_back,
            part_held_back=self.turns.part_held_back,
            services=[self.figures_of(service) for service in self.services],
        )

    def figures_of(self, service: Service) -> ServiceFigures:
        """The figures of one open service."""
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
        """End a session between two messages. None when there is no session of that number."""
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
        """The listener of an open service."""
        return self._listeners.of(service)

    def new_service(self, settings: ServiceSettings, clients: AccessList, observer: Observer) -> Service:
        """A service that can be opened."""
        return Service(settings, clients, observer, self._service_env)

    def open(self, wanted: Mapping[Service, ServiceSettings], *, reuse_port: bool = False) -> None:
        """Have these services, with these settings, and no others.

        A listener that stays is not closed for a moment, and no session of a service that stays is touched. Raises
        BindError when a new one can not be opened; nothing has changed then.
        """
        behind: dict[Place, list[Service]] = {}
        modes: dict[Place, int | None] = {}
        for service, settings in wanted.items():
            behind.setdefault(place_of(settings), []).append(service)
            modes[place_of(settings)] = settings.socket_mode
        fresh = self._listeners.bind(modes, reuse_port=reuse_port)
        for service, settings in wanted.items():
            service.configure(settings)
        self._listeners.configure(behind, fresh)
        for service in self.services:
            if service not in wanted:
                service.leave()
                self._former.append(service)
                for session in service.sessions:
                    session.drain()
        self.services = list(wanted)

    async def run(self) -> None:
        """Serve what was opened, until it has been drained."""
        async with trio.open_nursery() as self._nursery:
            for task in (self.turns.run, *self._listeners.tasks, self._pool.run, self._tick):
                self._nursery.start_soon(task)
            await self._drain_begins.wait()
            await end_sessions(self._inside, lambda: self.sessions, self._drain_seconds)
            self._nursery.cancel_scope.cancel()
        self.half_open_reactor.close()
        self.sessions_reactor.close()
        self._sleep.close()

    def drain(self, seconds: float) -> None:
        """Stop listening, serve the sessions for so many seconds, then end.

        Nothing listens when this returns, so that sockets that were handed over may be closed.
        """
        self._drain_seconds = seconds
        self._listeners.close()
        for service in self.services:
            service.leave()
        self._drain_begins.set()

    def _inside(self) -> list[Session]:
        return [session for service in (*self.services, *self._former) for session in service.sessions]

    async def _tick(self) -> None:
        """Enforce all deadlines, every tick."""
        while True:
            now = trio.current_time()
            ticking: list[Listener | Service] = [*self._listeners, *self.services, *self._former]
            for each in ticking:
                try:
                    each.expire(now)
                except Exception as error:  # the boundary: the next tick goes on behind whatever this was
                    each.failed(error)
            self._listeners.expire(now)
            self._former = [service for service in self._former if service.places_in_use]
            self._memory.expire(now)
            await trio.sleep(TICK_SECONDS)

    def spawn(self, owner: FailsAlone, work: Callable[[], Awaitable[None]]) -> None:
        """Start a task that lives as long as the server does. What it raises ends its owner alone."""

        async def guarded() -> None:
            try:
                await work()
            except Exception as error:  # the boundary: one owner ends, not the server
                owner.failed(error)

        assert self._nursery is not None
        self._nursery.start_soon(guarded)
