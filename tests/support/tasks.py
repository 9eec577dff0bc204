"""Tasks of trio in a test: how they are started, as a server starts them, and how they are waited for."""

import time
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from curveproxy.proxy.net.reactor import FailsAlone, Spawn


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Until a condition holds, by the wall's clock: trio's may stand still. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} seconds")
        await trio.testing.wait_all_tasks_blocked(0.001)


def spawner(nursery: trio.Nursery) -> Spawn:
    """Starts tasks whose errors end their owners alone."""

    def spawn(owner: FailsAlone, work: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                await work()
            except Exception as error:
                owner.failed(error)

        nursery.start_soon(guarded)

    return spawn
