"""The pumps of a service that are paused: they read no further until they may, for a quota or for memory.

They are asked by the server's tick. No pump has a task or a timer for it.
"""

from typing import Protocol

import trio


class Pausable(Protocol):
    """A pump."""

    @property
    def has_ended(self) -> bool: ...

    def may_resume(self, now: float) -> None:
        """See whether it may read again, and go on if so."""


class Throttle:
    """Those that are paused, the longest paused first."""

    def __init__(self) -> None:
        self._paused: dict[Pausable, float] = {}  # since when
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How long pumps have been paused, all together."""
        now = trio.current_time()
        return self._seconds + sum(now - since for since in self._paused.values())

    def pause(self, pump: Pausable) -> None:
        """It reads no further until it may resume; nothing when it is paused already."""
        self._paused.setdefault(pump, trio.current_time())

    def resume(self, pump: Pausable) -> None:
        """It reads again, or will not any more."""
        self._seconds += trio.current_time() - self._paused.pop(pump)

    def tick(self, now: float) -> None:
        """Ask each whether it may resume."""
        for pump in list(self._paused):
            if pump.has_ended:
                self.resume(pump)
            else:
                pump.may_resume(now)
