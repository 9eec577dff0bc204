"""Waiting in trio for what other tasks do."""

import time
from collections.abc import Callable

import trio.testing


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Until a condition holds, by the wall's clock: trio's may stand still. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} seconds")
        await trio.testing.wait_all_tasks_blocked(0.001)
