"""A relay: the server with its services, its metrics and its status. One process of it uses one core.

It is in this process (``LocalRelay``), or in several (``supervisor.Supervisor``): ``main`` sees no difference.
"""

import socket
from collections.abc import Iterable, Sequence
from typing import Protocol

import trio
from prometheus_client.metrics_core import Metric

from curveproxy.app.config.schema import Config
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.observe.overview import Overview
from curveproxy.app.observe.status import Query, Status
from curveproxy.app.process.services import Counts, ServiceManager
from curveproxy.policy.limits import WHOLE, WorkerShare
from curveproxy.proxy.server import Server
from curveproxy.proxy.sessions.identities import IdentityRegistry

SHORT, NOT_SHORT = "memory is short", "memory is no longer short"
SHORT_HINT = (
    "sessions wait for memory; those that hold much and move little will end (reason=memory): "
    "raise max_buffered_bytes, or find out whose clients or services hang"
)


class ConfigRejectedError(Exception):
    """A configuration can not be applied, and nothing has changed. complaints: one sentence each."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


class Relay(Protocol):
    """One relay, or several of which each has its share.

    unused: sockets that were handed over for no service; draining: no client is let in.
    """

    @property
    def unused(self) -> Sequence[socket.socket]: ...

    @property
    def draining(self) -> bool: ...

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Relay what is applied, until it is drained. It has started when a configuration can be applied."""

    async def apply(self, config: Config) -> None:
        """Relay by this configuration. Raises BindError or ConfigRejectedError, and then nothing has changed."""

    def drain(self, seconds: float) -> None:
        """Stop listening, serve the sessions for so long, then end."""

    def reloaded(self, *, success: bool) -> None:
        """Count a reload."""

    def count_unexpected(self) -> None:
        """Count an error of ours."""

    async def collect(self) -> Iterable[Metric]:
        """The metrics, for Prometheus."""

    async def look(self, query: Query) -> Status:
        """The status as it is now."""

    async def end(self, number: int) -> bool:
        """End the session of that number behind a whole message. False when it has ended already."""


class LocalRelay:
    """A relay in this process.

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
        self._log = log
        self._server = Server(
            descriptors=descriptors, handed_over=handed_over, registry=registry, memory_is_short=self._log_memory
        )
        self._metrics = Metrics(self._server.figures)
        self._services = ServiceManager(self._server, self._metrics, log, share)
        self._overview = Overview(self._server, lambda: self._services.histories)
        self._nursery: trio.Nursery

    def _log_memory(self, is_short: bool) -> None:
        figures = self._server.figures()
        facts = {
            "held": figures.buffered,
            "limit": figures.buffered_limit,
            "sessions_ended": figures.ended_for_memory,
        }
        if is_short:
            self._log.warning(SHORT, **facts, waiting=figures.buffered_waiting, hint=SHORT_HINT)
        else:
            self._log.info(NOT_SHORT, **facts)

    @property
    def unused(self) -> Sequence[socket.socket]:
        return self._server.unused

    @property
    def draining(self) -> bool:
        return self._server.draining

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._metrics.measure_lag)
            task_status.started()
            await self._server.run()
            self._nursery.cancel_scope.cancel()

    async def apply(self, config: Config) -> None:
        lists = await trio.to_thread.run_sync(self._services.read, config)
        if self.draining:
            raise ConfigRejectedError(["it drains"])
        self._services.apply(config, lists, self._nursery)

    def drain(self, seconds: float) -> None:
        self._server.drain(seconds)

    def reloaded(self, *, success: bool) -> None:
        self._metrics.reload(success=success)

    def count_unexpected(self) -> None:
        self._metrics.count_unexpected()

    async def collect(self) -> Iterable[Metric]:
        return await self._metrics.collect()

    async def look(self, query: Query) -> Status:
        return self._overview.look(query)

    def share_clients(self, elsewhere: Counts) -> Counts:
        """As of ``ServiceManager``: between several relays."""
        return self._services.share_clients(elsewhere)

    async def make_way(self, service: str, identity: bytes, number: int) -> None:
        """As of ``ServiceManager``: between several relays."""
        await self._services.make_way(service, identity, number)

    async def end(self, number: int) -> bool:
        return self._services.end_session(number)
