"""What relays: the proxy with its services, and what is counted and seen of them. It takes one core.

It is in the only process there is (``LocalRelay``), or in each of several (``workers``): ``run`` sees no difference.
"""

import socket
from collections.abc import Iterable, Sequence
from typing import Protocol

import trio
from prometheus_client.metrics_core import Metric

from curveproxy.app.config.load import Config
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.observe.status import Overview, Query, Status
from curveproxy.app.process.services import Counts, ServiceManager
from curveproxy.policy.limits import WHOLE, WorkerShare
from curveproxy.proxy.registry import IdentityRegistry
from curveproxy.proxy.server import Server

# libzmq connects again by itself.
COMES_AGAIN = "its client may come again: take its key off the list to keep it out"


class ConfigRejectedError(Exception):
    """A configuration can not be used, and all is as it was. complaints: one sentence each."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


class Relay(Protocol):
    """One relay, or several of which each has its share.

    metrics: of this process; unused: sockets that were handed over for no service; draining: nobody new is taken.
    """

    metrics: Metrics

    @property
    def unused(self) -> Sequence[socket.socket]: ...

    @property
    def draining(self) -> bool: ...

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Relay what is taken, until it has been drained. It has started when something can be taken."""

    async def take(self, config: Config) -> None:
        """Relay by this configuration from now on. Raises BindError or NotTakenError; nothing has changed then."""

    def drain(self, seconds: float) -> None:
        """Stop listening, serve those inside for so long, then leave."""

    def reloaded(self, *, success: bool) -> None:
        """Changed files were taken, or not: count it."""

    async def collect(self) -> Iterable[Metric]:
        """The figures, for Prometheus."""

    async def look(self, query: Query) -> Status:
        """What is to be seen, now."""

    async def end(self, number: int) -> bool:
        """End the session of that number behind a whole message. False when it has ended already."""


class LocalRelay:
    """All of it, in this process.

    descriptors: the soft limit; handed_over, registry: as for ``Server``; share: of the limits.
    """

    def __init__(
        self,
        *,
        descriptors: int,
        handed_over: Sequence[socket.socket],
        log: Log,
        share: WorkerShare = WHOLE,
        registry: IdentityRegistry | None = None,
    ) -> None:
        self.metrics = Metrics()
        self._proxy = Server(descriptors=descriptors, handed_over=handed_over, registry=registry)
        self.metrics.watch_buffers(self._proxy.buffers)
        self.metrics.watch_descriptors(self._proxy.descriptors)
        self._services = ServiceManager(self._proxy, self.metrics, log, share)
        self._overview = Overview(self._services.seen, self._proxy.descriptors)
        self._nursery: trio.Nursery

    @property
    def unused(self) -> Sequence[socket.socket]:
        return self._proxy.unused

    @property
    def draining(self) -> bool:
        return self._proxy.draining

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.metrics.measure_lag)
            task_status.started()
            await self._proxy.run()
            self._nursery.cancel_scope.cancel()

    async def take(self, config: Config) -> None:
        lists = await trio.to_thread.run_sync(self._services.read, config)
        if self.draining:
            raise ConfigRejectedError(["it drains"])
        self._services.apply(config, lists, self._nursery)

    def drain(self, seconds: float) -> None:
        self._proxy.drain(seconds)

    def reloaded(self, *, success: bool) -> None:
        self.metrics.reload(success=success)

    async def collect(self) -> Iterable[Metric]:
        return await self.metrics.collect()

    async def look(self, query: Query) -> Status:
        return self._overview.look(query)

    def share_clients(self, elsewhere: Counts) -> Counts:
        """As of ``ServiceManager``: between several relays."""
        return self._services.share_clients(elsewhere)

    async def make_way(self, service: str, identity: bytes, number: int) -> None:
        """As of ``ServiceManager``: between several relays."""
        await self._services.make_way(service, identity, number)

    async def end(self, number: int) -> bool:
        session = self._overview.find(number)
        if session is None:
            return False
        observer = session.env.observer
        observer.notice("session ended on the status page", client=session.client, peer=session.peer, hint=COMES_AGAIN)
        session.drain()
        return True
