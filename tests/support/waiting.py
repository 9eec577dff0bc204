"""Waiting in trio for what other tasks do."""

from collections.abc import Callable

import trio


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Until a condition holds. Raises trio.TooSlowError."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.001)
