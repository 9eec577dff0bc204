"""Workers apply a configuration all or none; one that fails is replaced. Those of here relay nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
from support.workers import Workers

from curveproxy.app.process.relay import ConfigRejectedError
from curveproxy.app.process.worker_handle import WorkerHandle
from curveproxy.app.process.worker_pool import WorkerPool


@asynccontextmanager
async def pool(monkeypatch: pytest.MonkeyPatch, workers: Workers) -> AsyncIterator[WorkerPool]:
    """A pool of three."""
    monkeypatch.setattr(WorkerHandle, "start", workers.start)
    found = WorkerPool(3, 1024, structlog.wrap_logger(structlog.ReturnLogger(), []), workers.unexpected)
    async with workers.hosted(), trio.open_nursery() as nursery:
        await nursery.start(found.run)
        yield found
        nursery.cancel_scope.cancel()


async def test_a_configuration_that_one_worker_rejects_is_taken_back_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(lambda index, tree: (index, tree) == (1, {"name": "b"}))
    async with pool(monkeypatch, workers) as found:
        await found.apply({"name": "a"}, {})
        with pytest.raises(ConfigRejectedError, match="worker 1 can not"):
            await found.apply({"name": "b"}, {})
        names = {index: [tree["name"] for tree in trees] for index, trees in workers.applied.items()}
        assert names == {0: ["a", "b", "a"], 1: ["a", "a"], 2: ["a", "a"]}
        await found.apply({"name": "c"}, {})
        assert [trees[-1]["name"] for trees in workers.applied.values()] == ["c"] * 3


async def test_a_worker_that_dies_is_replaced_and_what_it_had_counted_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers()
    async with pool(monkeypatch, workers) as found:
        await found.apply({"name": "a"}, {})
        await found.ask(WorkerHandle.collect)
        assert len(found.figures) == 3
        dead = found.live[2]
        dead.kill()
        with trio.fail_after(5):
            while found.live.get(2) in (None, dead):
                await trio.sleep(0.01)
        assert workers.applied[2] == [{"name": "a"}] * 2
        assert workers.errors == 0


async def test_a_pool_ends_when_all_workers_have_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers()
    async with pool(monkeypatch, workers) as found:
        await found.apply({"name": "a"}, {})
        found.drain(0)
        with trio.fail_after(5):
            while found.live:
                await trio.sleep(0.01)
        assert len(workers.started) == 3
