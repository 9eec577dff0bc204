"""Several worker processes that relay on the same ports, and the process that supervises them.

For a TCP port each worker has a listening socket of its own, among which the kernel distributes the connections
(SO_REUSEPORT); all workers share that of a Unix socket. The sockets are opened and kept here: a port in use is found
before anything has changed, and connections that a dead worker has not accepted are accepted by the next one.
"""

import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress

import attrs
import trio
from prometheus_client.metrics_core import Metric

from curveproxy.app.config.load import tree_of
from curveproxy.app.config.schema import Config
from curveproxy.app.observe.aggregate import MetricsAggregate, plain
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Query, Status, Trouble
from curveproxy.app.process.channel import GoneError
from curveproxy.app.process.worker_handle import WorkerHandle
from curveproxy.app.process.worker_pool import REPLACED, Listeners, WorkerPool
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import ListeningSocket, listen_together


class Supervisor:
    """Several workers as one ``Relay``.

    of: how many; descriptors: the soft limit of each; handed_over: sockets that listen already, which all share.
    """

    def __init__(self, of: int, *, descriptors: int, handed_over: Sequence[socket.socket], log: Log) -> None:
        self._metrics = Metrics()
        self._of, self._handed_over = of, handed_over
        self._workers = WorkerPool(of, descriptors, log, self._metrics.count_unexpected)
        self._listeners: Listeners = {}

    @property
    def unused(self) -> Sequence[socket.socket]:
        used = [sock for each in self._listeners.values() for listener in each for sock in listener.sockets]
        return [sock for sock in self._handed_over if sock not in used]

    @property
    def draining(self) -> bool:
        return self._workers.draining

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._metrics.measure_lag)
                await self._workers.run(task_status=task_status)
                nursery.cancel_scope.cancel()
        finally:
            _close(self._listeners)

    async def apply(self, config: Config) -> None:
        wanted, reuse_port = {table.listen: table.mode for table in config.both}, config.process.reuse_port
        with ExitStack() as undo:
            fresh: dict[Endpoint, Sequence[ListeningSocket]] = {}
            undo.callback(_close, fresh)
            for endpoint, mode in wanted.items():
                if endpoint not in self._listeners:
                    fresh[endpoint] = listen_together(
                        endpoint, self._of, reuse_port=reuse_port, handed_over=self._handed_over, mode=mode
                    )
                elif mode is not None:
                    undo.callback(self._listeners[endpoint][0].set_mode(mode))
            listeners = {endpoint: fresh.get(endpoint) or self._listeners[endpoint] for endpoint in wanted}
            await self._workers.apply(tree_of(config), listeners)
            undo.pop_all()
        before, self._listeners = self._listeners, listeners
        _close({endpoint: former for endpoint, former in before.items() if endpoint not in listeners})

    def drain(self, seconds: float) -> None:
        self._workers.drain(seconds)
        _close(self._listeners)
        self._listeners = {}

    def reloaded(self, *, success: bool) -> None:
        self._metrics.reload(success=success)
        self._workers.tell(lambda worker: worker.reloaded(success=success))

    def count_unexpected(self) -> None:
        self._metrics.count_unexpected()

    async def collect(self) -> Iterable[Metric]:
        await self._workers.ask(WorkerHandle.collect)
        sums = MetricsAggregate()
        sums.add(plain(await self._metrics.collect()))
        for figures in self._workers.figures:
            sums.add(figures)
        sums.add(self._workers.remains, gone=True)
        return sums.metrics

    async def look(self, query: Query) -> Status:
        found = await self._workers.ask(lambda worker: worker.look(query))
        status = merged([self._renumbered(status, index) for index, status in found.items()], query)
        if self._workers.draining or len(found) == self._of:
            return status
        what = f"only {len(found)} of {self._of} workers answer: what the others do is not shown"
        return attrs.evolve(status, troubles=[Trouble("curveproxy", True, what, "workers", REPLACED), *status.troubles])

    async def end(self, number: int) -> bool:
        session, index = divmod(number, self._of)
        worker = self._workers.live.get(index)
        with suppress(GoneError):
            return worker is not None and await worker.end(session)
        return False

    def _renumbered(self, status: Status, index: int) -> Status:
        """Each worker numbers its sessions from one: make the numbers differ between workers."""
        sessions = [attrs.evolve(session, id=session.id * self._of + index) for session in status.sessions]
        return attrs.evolve(status, sessions=sessions)


def _close(listeners: Listeners) -> None:
    for each in listeners.values():
        for listener in each:
            listener.close()
