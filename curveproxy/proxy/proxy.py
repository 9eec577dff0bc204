"""The proxy: all services of one process, and what they share."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import trio

from curveproxy.policy.clients import ClientList
from curveproxy.policy.limits import sessions_in_force
from curveproxy.proxy.buffers import Buffers
from curveproxy.proxy.cookies import CookieKeys
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.proxy.transient import TransientKeys
from curveproxy.proxy.waiting_room import WaitingRoom
from curveproxy.reasons import Closed

# How many are served in one turn. Sessions come first, so that a flood of strangers does not starve them.
STRANGERS_TURN = 8
SESSIONS_TURN = 16

# How often a draining proxy looks whether the last session has left.
DRAIN_POLL_SECONDS = 0.05


class Proxy:
    """Add services, ``bind``, ``run``; ``drain`` ends it.

    descriptors: the soft limit of this process.
    """

    def __init__(self, *, descriptors: int) -> None:
        self.descriptors = descriptors
        self.services: list[Service] = []
        self.sessions_room = WaitingRoom(SESSIONS_TURN)
        self.strangers_room = WaitingRoom(STRANGERS_TURN, after=self.sessions_room)
        self.cookies, self.transient_keys, self.buffers = CookieKeys(), TransientKeys(), Buffers()
        self._nursery: trio.Nursery | None = None
        self._drain_begins = trio.Event()
        self._drain_seconds = 0.0

    @property
    def draining(self) -> bool:
        return self._drain_begins.is_set()

    @property
    def sessions(self) -> int:
        """Places that are taken among the sessions of all services."""
        return sum(service.taken for service in self.services)

    @property
    def is_full(self) -> bool:
        """Whether the descriptors suffice for no further session."""
        return self.sessions >= sessions_in_force(self.descriptors, self.descriptors)

    def add(self, settings: ServiceSettings, clients: ClientList, observer: Observer) -> Service:
        service = Service(self, settings, clients, observer)
        self.services.append(service)
        return service

    def bind(self) -> None:
        """Listen for all services, or for none. Raises BindError."""
        with ExitStack() as undo:
            for service in self.services:
                service.bind()
                undo.callback(service.unbind)
            undo.pop_all()

    async def run(self) -> None:
        """Serve what was bound, until it has been drained."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.strangers_room.run)
            self._nursery.start_soon(self.sessions_room.run)
            self._nursery.start_soon(self.cookies.run)
            self._nursery.start_soon(self.transient_keys.run)
            self._nursery.start_soon(self.buffers.run)
            for service in self.services:
                self._nursery.start_soon(service.run)
            await self._drain_begins.wait()
            for service in self.services:
                service.stop()
            with trio.move_on_after(self._drain_seconds):
                await self._until_empty()
            for service in self.services:
                for session in list(service.sessions):
                    session.cut(Closed.DRAINED)
            self._nursery.cancel_scope.cancel()
        self.strangers_room.close()
        self.sessions_room.close()

    def drain(self, seconds: float) -> None:
        """Stop listening, serve those inside for so long, then leave."""
        self._drain_seconds = seconds
        self._drain_begins.set()

    async def _until_empty(self) -> None:
        while self.sessions:
            await trio.sleep(DRAIN_POLL_SECONDS)

    def evict(self) -> bool:
        """Free a descriptor at the cost of the oldest stranger of the service that has most of them."""
        fullest = max(self.services, key=lambda service: len(service.admission.half_open))
        return fullest.admission.evict()

    def spawn(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """Start a task that lives as long as the proxy does."""
        assert self._nursery is not None
        self._nursery.start_soon(work, *arguments)
