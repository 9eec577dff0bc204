"""The paused pumps of a service: those that do not read because a quota is used up or memory is short.

The server's tick asks each whether it may go on. No pump has a task or a timer for it.
"""

from typing import Protocol

import trio


class Pausable(Protocol):
    """A pump."""

    @property
    def has_ended(self) -> bool: ...

    def may_resume(self, now: float) -> None:
        """Go on reading, if it may."""


class Throttle:
    """Paused pumps, in the order in which they were paused."""

    def __init__(self) -> None:
        self._paused: dict[Pausable, float] = {}  # since when
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How long pumps have been paused, added up."""
        now = trio.current_time()
        return self._seconds + sum(now - since for since in self._paused.values())

    def pause(self, pump: Pausable) -> None:
        """A pump stops reading. Nothing happens when it is paused already."""
        self._paused.setdefault(pump, trio.current_time())

    def resume(self, pump: Pausable) -> None:
        """A paused pump reads again, or has ended."""
        self._seconds += trio.current_time() - self._paused.pop(pump)

    def tick(self, now: float) -> None:
        """Ask each whether it may resume."""
        for pump in list(self._paused):
            if pump.has_ended:
                self.resume(pump)
            else:
                pump.may_resume(now)
