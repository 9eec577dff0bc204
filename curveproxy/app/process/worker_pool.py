"""Worker processes: started, asked for their figures, and replaced when they have ended."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import trio

from curveproxy.app.observe.aggregate import Figures, MetricsAggregate, plain
from curveproxy.app.observe.log import Log
from curveproxy.app.process.channel import GoneError, Requests
from curveproxy.app.process.relay import ConfigRejectedError
from curveproxy.app.process.services import Counts
from curveproxy.app.process.shared_identities import SharedIdentities
from curveproxy.app.process.worker_handle import WorkerHandle
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import ListeningSocket

# How often workers send their figures, so that a dying worker loses little.
COLLECT_SECONDS = 5.0
# How often each worker is sent the sessions of clients with limits in the others.
SHARE_SECONDS = 1.0
# A worker that does not answer for so long hangs, and is replaced.
SILENCE_SECONDS = 30.0
# How long a request of the page waits for a worker that is busy.
PATIENCE_SECONDS = 3.0
# The pauses before a worker is started again. There is none after one that has lived for long.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONG_LIFE_SECONDS = 0.5, 30.0, 10.0

ENDED = "a worker has ended"
REPLACED = "another takes its place, and its clients connect again"

# A worker takes the socket at its index, or the only one.
Listeners = Mapping[Endpoint, Sequence[ListeningSocket]]
T = TypeVar("T")


class WorkerPool:
    """The workers of one relay, of which each has its place and its share.

    of: how many; descriptors: the soft limit of each; unexpected: called for each error of ours.
    live: the workers by their indices.
    """

    def __init__(self, of: int, descriptors: int, log: Log, unexpected: Callable[[], None]) -> None:
        self.live: dict[int, WorkerHandle] = {}
        self._remains = MetricsAggregate()
        self.draining = False
        self._of, self._descriptors, self._log, self._unexpected = of, descriptors, log, unexpected
        self._tree: dict[str, Any] = {}
        self._listeners: Listeners = {}
        self._supervised = 0
        self._identities = SharedIdentities()
        self._applying = trio.Lock()
        self._all_have_ended = trio.Event()
        self._nursery: trio.Nursery

    @property
    def figures(self) -> list[Figures]:
        """The metrics of each worker, as it sent them last."""
        return [worker.figures for worker in self.live.values()]

    @property
    def remains(self) -> Figures:
        """The metrics of workers that have ended."""
        return plain(self._remains.metrics)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Supervise the workers until all have ended in a drain. Those that are left are killed."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self._all_have_ended.wait()
                self._nursery.cancel_scope.cancel()
        finally:
            for worker in self.live.values():
                worker.kill()

    async def apply(self, tree: dict[str, Any], listeners: Listeners) -> None:
        """Apply a configuration in all workers or in none; the first one starts them. Raises ConfigRejectedError."""
        async with self._applying:
            before = self._tree, self._listeners
            self._tree, self._listeners = tree, listeners
            try:
                for index in range(self._of):
                    if not self._supervised:
                        self.live[index] = await self._start(index)
                    elif index in self.live:
                        with suppress(GoneError):  # the next worker applies it as it starts
                            await self._apply_to(self.live[index])
            except (ConfigRejectedError, GoneError) as error:
                self._tree, self._listeners = before
                for worker in self.live.values() if self._supervised else ():
                    with suppress(ConfigRejectedError, GoneError):
                        await self._apply_to(worker)
                raise error if isinstance(error, ConfigRejectedError) else ConfigRejectedError([ENDED]) from None
        if not self._supervised:
            self._supervised = self._of
            for index in range(self._of):
                self._nursery.start_soon(self._supervise, index)

    async def _apply_to(self, worker: WorkerHandle) -> None:
        own = {endpoint: each[worker.index % len(each)] for endpoint, each in self._listeners.items()}
        await worker.apply(self._tree, own)

    def drain(self, seconds: float) -> None:
        """Have all workers end when their sessions have, and replace none any more."""
        self.draining = True
        self.tell(lambda worker: worker.drain(seconds))
        if not self._supervised:
            self._all_have_ended.set()

    def tell(self, request: Callable[[WorkerHandle], Awaitable[None]]) -> None:
        """Send all workers a request, and do not wait for the answers."""
        for worker in self.live.values():
            self._nursery.start_soon(self._unless_gone, worker, request)

    async def _unless_gone(self, worker: WorkerHandle, request: Callable[[WorkerHandle], Awaitable[None]]) -> None:
        with suppress(GoneError):
            await request(worker)

    async def ask(self, request: Callable[[WorkerHandle], Awaitable[T]]) -> dict[int, T]:
        """The answers of workers that answer soon, by their index."""
        answers: dict[int, T] = {}

        async def one(index: int, worker: WorkerHandle) -> None:
            with suppress(GoneError):
                answers[index] = await request(worker)

        with trio.move_on_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for index, worker in self.live.items():
                    nursery.start_soon(one, index, worker)
        return dict(sorted(answers.items()))

    async def _start(self, index: int) -> WorkerHandle:
        """Start a worker that relays. Raises ConfigRejectedError or GoneError."""
        worker = await WorkerHandle.start(index, self._of, self._descriptors)
        requests: Requests = {
            "claim": partial(self._identities.claim, worker),
            "release": partial(self._identities.release, worker),
        }
        self._nursery.start_soon(self._guarded, worker, partial(worker.serve, requests))
        try:
            await self._apply_to(worker)
        except BaseException:
            worker.kill()
            raise
        if self.draining:
            worker.kill()
        return worker

    async def _supervise(self, index: int) -> None:
        """Replace the worker at one index whenever it has ended, until the drain."""
        pause, began = 0.0, trio.current_time()
        while True:
            if (worker := self.live.get(index)) is not None:
                await self._attend(worker)
                del self.live[index]
                self._remains.add(worker.figures, gone=True)
                if not self.draining:
                    status, lived = worker.process.returncode, trio.current_time() - began
                    self._log.error(ENDED, worker=index, status=status, seconds=round(lived, 3), hint=REPLACED)
                    pause = 0.0 if lived > LONG_LIFE_SECONDS else pause
            if self.draining:
                break
            await trio.sleep(pause)
            pause = min(2 * pause or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            try:
                async with self._applying:
                    self.live[index] = await self._start(index)
            except (ConfigRejectedError, GoneError, OSError) as error:
                self._log.error("a worker can not be started", worker=index, detail=str(error) or ENDED)
            began = trio.current_time()
        self._supervised -= 1
        if not self._supervised:
            self._all_have_ended.set()

    async def _attend(self, worker: WorkerHandle) -> None:
        """Exchange figures with a worker until it has ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guarded, worker, partial(self._collect_often, worker))
            nursery.start_soon(self._guarded, worker, partial(self._share_often, worker))
            await worker.process.wait()
            nursery.cancel_scope.cancel()
        worker.kill()
        self._identities.forget(worker)

    async def _guarded(self, worker: WorkerHandle, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # the boundary: an error about one worker ends that worker, which is replaced
            self._unexpected()
            self._log.error("unexpected error", pid=worker.process.pid, exc_info=error, hint=REPLACED)
            worker.kill()

    async def _collect_often(self, worker: WorkerHandle) -> None:
        with suppress(GoneError):
            while True:
                with trio.move_on_after(SILENCE_SECONDS) as scope:
                    await worker.collect()
                if scope.cancelled_caught:
                    self._log.error("a worker hangs", pid=worker.process.pid, hint=REPLACED)
                    worker.kill()
                await trio.sleep(COLLECT_SECONDS)

    async def _share_often(self, worker: WorkerHandle) -> None:
        with suppress(GoneError):
            while True:
                await worker.share_clients(_sum(other.clients for other in self.live.values() if other is not worker))
                await trio.sleep(SHARE_SECONDS)


def _sum(counts: Iterable[Counts]) -> Counts:
    sums = defaultdict[str, Counter[str]](Counter)
    for each in counts:
        for service, clients in each.items():
            sums[service].update(clients)
    return sums
