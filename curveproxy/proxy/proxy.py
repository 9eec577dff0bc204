"""The proxy: all services of one process, and what they share."""

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from math import ceil

import trio

from curveproxy.policy.limits import sessions_in_force
from curveproxy.proxy import sockets
from curveproxy.proxy.buffers import Buffers
from curveproxy.proxy.cookies import CookieKeys
from curveproxy.proxy.door import Door
from curveproxy.proxy.endpoint import Endpoint
from curveproxy.proxy.registry import Registry
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.proxy.transient import TransientKeys
from curveproxy.proxy.waiting_room import Owner, WaitingRoom
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


class Proxy:
    """``open`` services and ``run``; ``drain`` ends it.

    descriptors: the soft limit of this process.
    handed_over: sockets that listen already, for the doors with their addresses.
    registry: of identities, where other processes relay the same services.
    """

    def __init__(
        self, *, descriptors: int, handed_over: Sequence[socket.socket] = (), registry: Registry | None = None
    ) -> None:
        self.descriptors, self.registry = descriptors, registry
        self._handed_over = handed_over
        self.services: list[Service] = []
        self.sessions_room = WaitingRoom(SESSIONS_TURN)
        self.strangers_room = WaitingRoom(STRANGERS_TURN, after=self.sessions_room)
        self.cookies, self.transient_keys, self.buffers = CookieKeys(), TransientKeys(), Buffers()
        self._doors: dict[DoorKey, Door] = {}
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
        return sum(service.taken for service in (*self.services, *self._former))

    @property
    def is_full(self) -> bool:
        """Whether the descriptors suffice for no further session."""
        return self.sessions >= sessions_in_force(self.descriptors, self.descriptors)

    @property
    def unused(self) -> list[socket.socket]:
        """Of the sockets that were handed over, those on which no door opens."""
        return [sock for sock in self._handed_over if not any(door.is_at(sock) for door in self._doors.values())]

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
                listeners[key] = sockets.listen(key[0], reuse_port=reuse_port, handed_over=self._handed_over)
                undo.callback(listeners[key].close)
            undo.pop_all()
        for service, settings in wanted.items():
            service.configure(settings)
        before, self._doors = self._doors, {}
        for key, services in behind.items():
            if (door := before.pop(key, None)) is not None:
                door.lead_to(services)
            else:
                door = Door(self, listeners[key], services)
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
            self._nursery.start_soon(self.strangers_room.run)
            self._nursery.start_soon(self.sessions_room.run)
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
                    session.cut(Closed.DRAINED)
            self._nursery.cancel_scope.cancel()
        self.strangers_room.close()
        self.sessions_room.close()

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
        begin = end - self._drain_seconds * FAREWELL_SHARE
        while self.sessions and (now := trio.current_time()) < end:
            if now >= begin:
                inside = [session for service in (*self.services, *self._former) for session in service.sessions]
                staying = [session for session in inside if session.reason is None]
                # The last one is told at half of that time, for they have to take what they are owed.
                share = DRAIN_POLL_SECONDS / max((begin + end) / 2 - now, DRAIN_POLL_SECONDS)
                for session in staying[: ceil(len(staying) * share)]:
                    if not session.awaits_reply:
                        session.drain()
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
        """Free a descriptor at the cost of the oldest stranger of the door at which most of them stand."""
        fullest = max(self._doors.values(), key=lambda door: len(door.admission.half_open))
        return fullest.admission.evict()

    def spawn(self, owner: Owner, work: Callable[[], Awaitable[None]]) -> None:
        """Start a task that lives as long as the proxy does. What it raises ends its owner by ``fail``, nobody else."""

        async def guarded() -> None:
            try:
                await work()
            except Exception as error:  # the boundary: one owner ends, not the proxy
                owner.fail(error)

        assert self._nursery is not None
        self._nursery.start_soon(guarded)
