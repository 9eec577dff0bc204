"""What a supervisor asks a worker."""

from typing import Any

import attrs
import pytest
from support.workers import worker

from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Query
from curveproxy.app.process.channel import GoneError
from curveproxy.app.process.relay import ConfigRejectedError
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import listen


async def test_a_worker_is_sent_the_sockets_that_it_does_not_have_yet() -> None:
    asked: list[dict[str, Any]] = []
    complaints: list[str] = []

    async def apply(tree: dict[str, Any]) -> list[str]:
        asked.append(tree)
        return complaints

    with_port = Endpoint("tcp", "127.0.0.1", 0)
    one, other = listen(with_port), listen(with_port)
    async with worker({"apply": apply}) as handle:
        await handle.apply({"number": 1}, {one.endpoint: one})
        await handle.apply({"number": 2}, {one.endpoint: one, other.endpoint: other})
        complaints.append("no")
        with pytest.raises(ConfigRejectedError, match="no"):
            await handle.apply({"number": 3}, {})
    assert [tree["number"] for tree in asked] == [1, 2, 3]
    for listener in (one, other):
        listener.close()


async def test_what_a_worker_sends_is_kept() -> None:
    status = attrs.evolve(merged([], Query()), seconds=42.0)

    async def collect() -> list[object]:
        return [["a", "", "gauge", [["a", {}, 1.0]]]]

    async def share_clients(elsewhere: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        return {"orders": {"aa": elsewhere["orders"]["aa"] + 1}}

    async def look(**query: Any) -> dict[str, Any]:
        return attrs.asdict(attrs.evolve(status, matching=query["sessions"]))

    async with worker({"collect": collect, "share_clients": share_clients, "look": look}) as handle:
        await handle.collect()
        await handle.share_clients({"orders": {"aa": 2}})
        assert (await handle.look(Query(sessions=7))).matching == 7
    assert handle.figures == [["a", "", "gauge", [["a", {}, 1.0]]]]
    assert handle.clients == {"orders": {"aa": 3}}


async def test_a_worker_that_was_killed_answers_nothing() -> None:
    async with worker({}) as handle:
        handle.kill()
        with pytest.raises(GoneError):
            await handle.end(1)
        assert await handle.process.wait() == -9
