"""A worker as its supervisor sees it, of which a test answers the requests."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from curveproxy.app.process.channel import ControlChannel, Requests
from curveproxy.app.process.worker_handle import WorkerHandle


@asynccontextmanager
async def worker(answers: Requests, *, index: int = 0) -> AsyncIterator[WorkerHandle]:
    """A process that does nothing, and a channel on which ``answers`` stand for it."""
    ours, theirs = socket.socketpair()
    process = await trio.lowlevel.open_process(["sleep", "60"])
    handle, other = WorkerHandle(index, process, ControlChannel(ours)), ControlChannel(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.serve, {})
        nursery.start_soon(other.serve, answers)
        yield handle
        handle.kill()
        await process.wait()
        other.close()


def close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class Workers:
    """Workers that relay nothing, in place of processes of ours.

    They are never heard of by ``look``.

    rejects: whether a worker rejects a configuration, by its index and the tree.
    applied: the trees that each has applied; started: all that there have been; errors: those of ours.
    """

    def __init__(self, rejects: Callable[[int, Any], bool] = lambda index, tree: False) -> None:
        self.rejects = rejects
        self.applied: dict[int, list[Any]] = {}
        self.errors = 0
        self.started: list[WorkerHandle] = []
        self._others: list[ControlChannel] = []
        self._nursery: trio.Nursery

    @asynccontextmanager
    async def hosted(self) -> AsyncIterator["Workers"]:
        """Answer for them, until the end, when all are killed."""
        async with trio.open_nursery() as self._nursery:
            try:
                yield self
            finally:
                self._nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    for worker in self.started:
                        worker.kill()
                        await worker.process.wait()
                for other in self._others:
                    other.close()

    async def start(self, index: int, of: int, descriptors: int) -> WorkerHandle:
        """In place of ``WorkerHandle.start``."""
        ours, theirs = socket.socketpair()
        process = await trio.lowlevel.open_process(["sleep", "60"])

        async def apply(tree: dict[str, Any]) -> list[str]:
            if self.rejects(index, tree):
                return [f"worker {index} can not"]
            self.applied.setdefault(index, []).append(tree)
            return []

        async def collect() -> list[Any]:
            return [["number", "", "gauge", [["number", {}, float(index)]]]]

        async def share_clients(elsewhere: object) -> dict[str, Any]:
            return {}

        async def drain(seconds: float) -> None:
            process.kill()

        async def reloaded(success: bool) -> None:
            pass

        async def look(**query: object) -> None:
            await trio.sleep_forever()

        async def end(session: int) -> bool:
            return False

        requests: dict[str, Callable[..., Any]] = {
            "apply": apply,
            "collect": collect,
            "share_clients": share_clients,
            "drain": drain,
        }
        requests |= {"reloaded": reloaded, "look": look, "end": end}
        self._others.append(ControlChannel(theirs))
        self._nursery.start_soon(self._others[-1].serve, requests, close)
        self.started.append(WorkerHandle(index, process, ControlChannel(ours)))
        return self.started[-1]

    def unexpected(self) -> None:
        self.errors += 1
