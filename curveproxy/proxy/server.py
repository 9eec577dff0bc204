"""The proxy: all services of one process, and what they share."""

import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import ceil

import trio

from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.listener import Listener
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import listen
from curveproxy.proxy.net.reactor import FailsAlone, Reactor
from curveproxy.proxy.observer import ServerFigures, SessionView
from curveproxy.proxy.registry import IdentityRegistry
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed

# How many are served in one turn. Sessions come first, so that a flood of strangers does not starve them.
STRANGERS_TURN = 8
SESSIONS_TURN = 16

# How often deadlines are looked at.
TICK_SECONDS = 0.25
# How often a draining proxy looks whether the last session has left.
DRAIN_POLL_SECONDS = 0.05
# The last part of the time to drain: over it those are sent away who have not left by themselves.
FAREWELL_SHARE = 1 / 3

# Services that share an endpoint share a door; port 0 is another port for each.
DoorKey = tuple[Endpoint, str]


class Server:
    """``open`` services and ``run``; ``drain`` ends it.

    descriptors: the soft limit of this process, and then the account of them.
    handed_over: sockets that listen already, for the doors with their addresses.
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
        self.descriptors, self.registry = Capacity(descriptors), registry
        self._handed_over = handed_over
        self.services: list[Service] = []
        self.sessions_reactor = Reactor(SESSIONS_TURN)
        self.strangers_reactor = Reactor(STRANGERS_TURN, yields_to=self.sessions_reactor)
        self.cookies, self.transient_keys, self.buffers = CookieKeys(), TransientKeys(), BufferPool()
        self.buffers.tell = memory_is_short
        self._doors: dict[DoorKey, Listener] = {}
        self._former: list[Service] = []  # those with sessions that have not left yet
        self._nursery: trio.Nursery | None = None
        self._drain_begins = trio.Event()
        self._drain_seconds = 0.0

    @property
    def draining(self) -> bool:
        return self._drain_begins.is_set()

    @property
    def sessions(self) -> int:
        """Places that are taken among the sessions of all services."""
        return self.descriptors.sessions.number

    @property
    def unused(self) -> list[socket.socket]:
        """Of the sockets that were handed over, those on which no door opens."""
        return [sock for sock in self._handed_over if not any(door.is_at(sock) for door in self._doors.values())]

    # --- for whoever looks

    def figures(self) -> ServerFigures:
        """As they are now."""
        return ServerFigures(
            descriptors=self.descriptors.in_use,
            descriptors_limit=self.descriptors.limit,
            buffered=self.buffers.held,
            buffered_limit=self.buffers.limit,
            buffered_waiting=self.buffers.waiting,
            ended_for_memory=self.buffers.ended,
            services=[service.figures() for service in self.services],
        )

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

    def limit_memory(self, octets: float) -> None:
        """Set how much the sessions may hold, infinite for no limit."""
        self.buffers.bound(octets)

    # --- changes

    def open(self, wanted: Mapping[Service, ServiceSettings], *, reuse_port: bool = False) -> None:
        """From now on there are these services, with these settings, and no others.

        A door that stays is not closed for a moment, and no session of a service that stays is touched. Raises
        BindError when a new one can not be opened; nothing has changed then.
        """
        behind: dict[DoorKey, list[Service]] = {}
        for service, settings in wanted.items():
            key = settings.listen, "" if settings.listen.is_fixed else settings.name
            behind.setdefault(key, []).append(service)
        with ExitStack() as undo:
            listeners = {}
            for key in behind.keys() - self._doors.keys():
                listeners[key] = listen(key[0], reuse_port=reuse_port, handed_over=self._handed_over)
                undo.callback(listeners[key].close)
            undo.pop_all()
        for service, settings in wanted.items():
            service.configure(settings)
        before, self._doors = self._doors, {}
        for key, services in behind.items():
            if (door := before.pop(key, None)) is not None:
                door.lead_to(services)
            else:
                door = Listener(self, listeners[key], services)
                if self._nursery is not None:
                    self._nursery.start_soon(door.run)
            self._doors[key] = door
        for door in before.values():
            door.close()
        for service in self.services:
            if service not in wanted:
                service.leave()
                self._former.append(service)
                for session in list(service.sessions):
                    session.drain()
        self.services = list(wanted)

    async def run(self) -> None:
        """Serve what was opened, until it has been drained."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.strangers_reactor.run)
            self._nursery.start_soon(self.sessions_reactor.run)
            self._nursery.start_soon(self.cookies.run)
            self._nursery.start_soon(self.transient_keys.run)
            self._nursery.start_soon(self.buffers.run)
            self._nursery.start_soon(self._keep_time)
            for door in self._doors.values():
                self._nursery.start_soon(door.run)
            await self._drain_begins.wait()
            await self._see_off()
            for service in (*self.services, *self._former):
                for session in list(service.sessions):
                    session.abort(Closed.DRAINED)
            self._nursery.cancel_scope.cancel()
        self.strangers_reactor.close()
        self.sessions_reactor.close()

    def drain(self, seconds: float) -> None:
        """Stop listening, serve those inside for so long, then leave.

        Nothing listens when this returns: whoever has handed sockets over may close them.
        """
        self._drain_seconds = seconds
        for door in self._doors.values():
            door.close()
        for service in self.services:
            service.leave()
        self._drain_begins.set()

    async def _see_off(self) -> None:
        """Wait for the sessions to leave; towards the end send them away one after the other, not all at once."""
        end = trio.current_time() + self._drain_seconds
        # First behind a reply, while there is time for another; then whoever has not asked any more.
        first, second = (end - self._drain_seconds * share for share in (FAREWELL_SHARE, FAREWELL_SHARE / 2))
        told = set[Session]()
        while self.sessions and (now := trio.current_time()) < end:
            inside = [session for service in (*self.services, *self._former) for session in service.sessions]
            staying = [session for session in inside if session.reason is None]
            if now >= second:
                # The last one is told at half of that time, for they have to take what they are owed.
                for session in _due(staying, (second + end) / 2 - now):
                    if not session.awaits_reply:
                        session.drain()
            elif now >= first:
                for session in _due([session for session in staying if session not in told], second - now):
                    session.drain_behind_reply()
                    told.add(session)
            await trio.sleep(DRAIN_POLL_SECONDS)

    async def _keep_time(self) -> None:
        """Deadlines: of strangers, of dials, of sessions that are ending. Each waits in the order of its time."""
        while True:
            now = trio.current_time()
            for door in self._doors.values():
                self._expire(door.first, door.admission.expire, now)
            for service in (*self.services, *self._former):
                self._expire(service, service.expire, now)
            self._former = [service for service in self._former if service.taken]
            self.buffers.expire(now)
            await trio.sleep(TICK_SECONDS)

    @staticmethod
    def _expire(service: Service, expire: Callable[[float], None], now: float) -> None:
        try:
            expire(now)
        except Exception as error:  # the boundary: the next tick goes on behind whatever this was
            service.observer.unexpected(error)

    def evict(self) -> bool:
        """Free a descriptor at the listener whose strangers hold most of them. False when no stranger holds any.

        So whoever crowds one port takes no place from those who come at another.
        """
        return max((door.admission for door in self._doors.values()), key=lambda admission: admission.held).evict()

    def spawn(self, owner: FailsAlone, work: Callable[[], Awaitable[None]]) -> None:
        """Start a task that lives as long as the proxy does. What it raises ends its owner alone."""

        async def guarded() -> None:
            try:
                await work()
            except Exception as error:  # the boundary: one owner ends, not the proxy
                owner.failed(error)

        assert self._nursery is not None
        self._nursery.start_soon(guarded)


def _due(sessions: Sequence[Session], seconds: float) -> Sequence[Session]:
    """Those of them whose turn it is in this poll, where all have had theirs in so many seconds."""
    return sessions[: ceil(len(sessions) * DRAIN_POLL_SECONDS / max(seconds, DRAIN_POLL_SECONDS))]
