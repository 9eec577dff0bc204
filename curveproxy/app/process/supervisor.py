"""Several processes that relay, on the same ports, and this one that looks after them.

Each has a listening socket of its own on each TCP port (SO_REUSEPORT: the kernel deals newcomers out), and all share
that of a Unix socket. They are opened here and kept here: a port in use is an error before anything has changed, and a
worker that has died leaves those who stood before its door to the next one.
"""

import socket
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import attrs
import trio
from prometheus_client.metrics_core import Metric

from curveproxy.app.config.load import tree_of
from curveproxy.app.config.schema import Config
from curveproxy.app.observe.aggregate import MetricsAggregate, told
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Query, Status, Trouble, status_of
from curveproxy.app.process.channel import ControlChannel, GoneError
from curveproxy.app.process.relay import ConfigRejectedError
from curveproxy.app.process.services import Counts
from curveproxy.policy.identities import Claim, IdentityClaims
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import ListeningSocket, listen_together
from curveproxy.proxy.relay.session import LINGER_SECONDS

# How often their figures are asked for, so that little of them is lost with a worker.
ASK_SECONDS = 5.0
# How often each hears what sessions the others have of clients with limits.
SHARE_SECONDS = 1.0
# How long one may be silent: then it hangs, and another takes its place.
SILENCE_SECONDS = 30.0
# How long a newcomer waits for an older session of its identity to end in another worker, where it may linger.
MAKE_WAY_SECONDS = LINGER_SECONDS + 1.0
# How long somebody who looks waits for one that is busy.
PATIENCE_SECONDS = 3.0
# The next one is started at once; when that one too has not lived for long, after these.
FIRST_REST_SECONDS, LONGEST_REST_SECONDS, LONG_SECONDS = 0.5, 30.0, 10.0

ENDED = "a worker has ended"
REPLACED = "another takes its place, and its clients connect again"


class WorkerHandle:
    """One process. figures, clients: the last that it told of itself, and of its clients with limits."""

    def __init__(self, process: trio.Process, line: ControlChannel) -> None:
        self.process, self._line = process, line
        self.listen, self.ask = line.listen, line.ask
        self.figures: list[Any] = []
        self.clients: Counts = {}
        self.endpoints: set[Endpoint] = set()
        self.is_killed = False

    @classmethod
    async def start(cls, index: int, of: int, descriptors: int) -> "WorkerHandle":
        """Start one, by the command line by which this process was started."""
        ours, theirs = socket.socketpair()
        with theirs:
            itself = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
            arguments = ["worker", str(index), str(of), str(descriptors)]
            # A group of its own: what a terminal says is said to us.
            process = await trio.lowlevel.open_process(
                [sys.executable, *itself, *arguments], stdin=theirs.fileno(), process_group=0
            )
        return cls(process, ControlChannel(ours))

    async def take(self, tree: dict[str, Any], listeners: dict[Endpoint, ListeningSocket]) -> None:
        """Let it relay by this configuration, on these sockets. Raises ConfigRejectedError or GoneError."""
        added = [listener for endpoint, listener in listeners.items() if endpoint not in self.endpoints]
        fresh = [sock.fileno() for listener in added for sock in listener.sockets]
        complaints = await self.ask("take", tree=tree, descriptors=fresh)
        if complaints:
            raise ConfigRejectedError(complaints)
        self.endpoints = set(listeners)

    def kill(self) -> None:
        """It ends, and whatever it has not told is lost."""
        self.is_killed = True
        self.process.kill()
        self._line.close()


class Supervisor:
    """So many workers, as one relay (``relay.Relays``).

    descriptors: the soft limit of each; handed_over: sockets that listen already, which all of them share.
    """

    def __init__(self, of: int, *, descriptors: int, handed_over: Sequence[socket.socket], log: Log) -> None:
        self.metrics = Metrics()
        self.draining = False
        self._of, self._descriptors, self._handed_over, self._log = of, descriptors, handed_over, log
        self._tree: dict[str, Any] = {}
        self._listeners: dict[Endpoint, list[ListeningSocket]] = {}
        self._live: dict[int, WorkerHandle] = {}
        self._kept = 0
        self._remains = MetricsAggregate()
        self._identities = IdentityClaims[WorkerHandle]()
        self._taking = trio.Lock()
        self._all_have_left = trio.Event()
        self._nursery: trio.Nursery

    @property
    def unused(self) -> Sequence[socket.socket]:
        used = [sock for each in self._listeners.values() for listener in each for sock in listener.sockets]
        return [sock for sock in self._handed_over if sock not in used]

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self.metrics.measure_lag)
                task_status.started()
                await self._all_have_left.wait()
                self._nursery.cancel_scope.cancel()
        finally:
            for worker in self._live.values():
                worker.kill()
            self._close(self._listeners)

    # --- a configuration

    async def apply(self, config: Config) -> None:
        wanted = dict.fromkeys(service.listen for service in config.service)
        with ExitStack() as undo:
            fresh: dict[Endpoint, list[ListeningSocket]] = {}
            undo.callback(self._close, fresh)
            for endpoint in wanted.keys() - self._listeners.keys():
                fresh[endpoint] = listen_together(
                    endpoint, self._of, reuse_port=config.process.reuse_port, handed_over=self._handed_over
                )
            listeners = {endpoint: fresh.get(endpoint) or self._listeners[endpoint] for endpoint in wanted}
            async with self._taking:
                await self._deal_out(tree_of(config), listeners)
            undo.pop_all()
        before, self._listeners = self._listeners, listeners
        self._close({endpoint: former for endpoint, former in before.items() if endpoint not in listeners})

    async def _deal_out(self, tree: dict[str, Any], listeners: dict[Endpoint, list[ListeningSocket]]) -> None:
        """All workers take it, or none does. Raises ConfigRejectedError."""
        before = self._tree, self._listeners
        self._tree = tree
        try:
            for index in range(self._of):
                if not self._kept:
                    self._live[index] = await self._start(index, listeners)
                elif index in self._live:
                    with suppress(GoneError):  # the next one takes it as it starts
                        await self._live[index].take(tree, _share(listeners, index))
        except (ConfigRejectedError, GoneError) as error:
            self._tree = before[0]
            for index, worker in self._live.items() if self._kept else ():
                with suppress(ConfigRejectedError, GoneError):
                    await worker.take(before[0], _share(before[1], index))
            raise error if isinstance(error, ConfigRejectedError) else ConfigRejectedError([ENDED]) from None
        if not self._kept:
            self._kept = self._of
            for index in range(self._of):
                self._nursery.start_soon(self._keep, index)

    def _close(self, listeners: dict[Endpoint, list[ListeningSocket]]) -> None:
        for each in listeners.values():
            for listener in each:
                listener.close()

    # --- processes

    async def _start(self, index: int, listeners: dict[Endpoint, list[ListeningSocket]]) -> WorkerHandle:
        """Start a worker that relays. Raises ConfigRejectedError or GoneError."""
        worker = await WorkerHandle.start(index, self._of, self._descriptors)
        words: dict[str, Callable[..., Any]] = {
            "claim": partial(self._claim, worker),
            "release": partial(self._release, worker),
        }
        self._nursery.start_soon(self._guarded, worker, partial(worker.listen, words))
        try:
            await worker.take(self._tree, _share(listeners, index))
        except BaseException:
            worker.kill()
            raise
        if self.draining:
            worker.kill()
        return worker

    async def _keep(self, index: int) -> None:
        """Look after one worker, and after whoever comes in its place."""
        rest, began = 0.0, trio.current_time()
        while True:
            if (worker := self._live.get(index)) is not None:
                await self._attend(worker)
                del self._live[index]
                self._remains.add(worker.figures, gone=True)
                if not self.draining:
                    status, lived = worker.process.returncode, trio.current_time() - began
                    self._log.error(ENDED, worker=index, status=status, seconds=round(lived, 3), hint=REPLACED)
                    rest = 0.0 if lived > LONG_SECONDS else rest
            if self.draining:
                break
            await trio.sleep(rest)
            rest = min(2 * rest or FIRST_REST_SECONDS, LONGEST_REST_SECONDS)
            try:
                async with self._taking:
                    self._live[index] = await self._start(index, self._listeners)
            except (ConfigRejectedError, GoneError, OSError) as error:
                self._log.error("a worker can not be started", worker=index, detail=str(error) or ENDED)
            began = trio.current_time()
        self._kept -= 1
        if not self._kept:
            self._all_have_left.set()

    async def _attend(self, worker: WorkerHandle) -> None:
        """Ask it for its figures now and then, until it has ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guarded, worker, partial(self._ask_often, worker))
            nursery.start_soon(self._guarded, worker, partial(self._share_often, worker))
            await worker.process.wait()
            nursery.cancel_scope.cancel()
        worker.kill()
        self._identities.forget(worker)

    async def _guarded(self, worker: WorkerHandle, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with a worker. What goes wrong there costs that worker, and another takes its place."""
        try:
            await work()
        except Exception as error:  # the boundary
            self.metrics.unexpected.inc()
            self._log.error("unexpected error", pid=worker.process.pid, exc_info=error, hint=REPLACED)
            worker.kill()

    async def _ask_often(self, worker: WorkerHandle) -> None:
        with suppress(GoneError):
            while True:
                with trio.move_on_after(SILENCE_SECONDS) as scope:
                    await self._collect(worker)
                if scope.cancelled_caught:
                    self._log.error("a worker hangs", pid=worker.process.pid, hint=REPLACED)
                    worker.kill()
                await trio.sleep(ASK_SECONDS)

    async def _share_often(self, worker: WorkerHandle) -> None:
        with suppress(GoneError):
            while True:
                elsewhere = _added(other.clients for other in self._live.values() if other is not worker)
                worker.clients = await worker.ask("share", elsewhere=elsewhere)
                await trio.sleep(SHARE_SECONDS)

    # --- identities

    def _claim(self, worker: WorkerHandle, service: str, identity: str, key: str, number: int) -> Awaitable[bool]:
        """Whether a newcomer of a worker may have an identity. It has it from now on, in the order of the questions."""
        newcomer = Claim(worker, key, number)
        holder = None if worker.is_killed else self._identities.claim((service, identity), newcomer)
        return self._make_way(holder, newcomer, service, identity)

    async def _make_way(
        self, holder: Claim[WorkerHandle] | None, newcomer: Claim[WorkerHandle], service: str, identity: str
    ) -> bool:
        if holder is None:
            return True
        if holder.key != newcomer.key:
            return False
        if holder.process is newcomer.process:  # which has replaced it already
            return True
        with suppress(GoneError), trio.move_on_after(MAKE_WAY_SECONDS):
            await holder.process.ask("make_way", service=service, identity=identity, number=holder.number)
        return True

    def _release(self, worker: WorkerHandle, service: str, identity: str, key: str, number: int) -> None:
        self._identities.release((service, identity), Claim(worker, key, number))

    # --- what all do

    def drain(self, seconds: float) -> None:
        self.draining = True
        for worker in self._live.values():
            self._nursery.start_soon(partial(self._tell, worker, "drain", seconds=seconds))
        self._close(self._listeners)
        self._listeners = {}
        if not self._kept:
            self._all_have_left.set()

    def reloaded(self, *, success: bool) -> None:
        self.metrics.reload(success=success)
        for worker in self._live.values():
            self._nursery.start_soon(partial(self._tell, worker, "reloaded", success=success))

    async def _tell(self, worker: WorkerHandle, word: str, **facts: Any) -> None:
        with suppress(GoneError):
            await worker.ask(word, **facts)

    async def _all(self, ask: Callable[[WorkerHandle], Awaitable[Any]]) -> dict[int, Any]:
        """What those answer who do so soon, by their index."""
        answers: dict[int, Any] = {}

        async def one(index: int, worker: WorkerHandle) -> None:
            with suppress(GoneError):
                answers[index] = await ask(worker)

        with trio.move_on_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for index, worker in self._live.items():
                    nursery.start_soon(one, index, worker)
        return dict(sorted(answers.items()))

    async def _collect(self, worker: WorkerHandle) -> None:
        worker.figures = await worker.ask("collect")

    async def collect(self) -> Iterable[Metric]:
        await self._all(self._collect)
        sums = MetricsAggregate()
        sums.add(told(await self.metrics.collect()))
        for worker in self._live.values():
            sums.add(worker.figures)
        sums.add(self._remains.told(), gone=True)
        return sums.metrics

    async def look(self, query: Query) -> Status:
        answers = await self._all(lambda worker: worker.ask("look", **attrs.asdict(query)))
        found = {index: status_of(answer) for index, answer in answers.items()}
        status = merged([self._renumbered(status, index) for index, status in found.items()], query)
        if self.draining or len(found) == self._of:
            return status
        what = f"only {len(found)} of {self._of} workers answer: what the others do is not shown"
        return attrs.evolve(status, troubles=[Trouble("curveproxy", True, what, "workers", REPLACED), *status.troubles])

    async def end(self, number: int) -> bool:
        session, index = divmod(number, self._of)
        with suppress(GoneError):
            return index in self._live and bool(await self._live[index].ask("end", session=session))
        return False

    def _renumbered(self, status: Status, index: int) -> Status:
        """Each worker numbers its sessions from one; here every number is one session's."""
        sessions = [attrs.evolve(session, id=session.id * self._of + index) for session in status.sessions]
        return attrs.evolve(status, sessions=sessions)


def _added(counts: Iterable[Counts]) -> Counts:
    sums = defaultdict[str, Counter[str]](Counter)
    for each in counts:
        for service, clients in each.items():
            sums[service].update(clients)
    return sums


def _share(listeners: dict[Endpoint, list[ListeningSocket]], index: int) -> dict[Endpoint, ListeningSocket]:
    """A worker's own, where each has its own."""
    return {endpoint: each[index % len(each)] for endpoint, each in listeners.items()}
