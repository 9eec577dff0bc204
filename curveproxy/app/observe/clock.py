"""Whether somebody sets the wall clock while the process runs: certificates are judged by it."""

import time
from collections.abc import Callable


def _since_boot() -> float:
    """It goes on while the machine sleeps, as the wall clock does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WallClock:
    """The wall clock beside one that nobody sets, both in seconds."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _since_boot) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()

    def jump(self, most: float) -> float:
        """By how many seconds it was set since this was asked last, or 0 while that is not more than ``most``.

        Small steps are added up until they are.
        """
        offset = self._wall() - self._steady()
        by = offset - self._offset
        if abs(by) <= most:
            return 0.0
        self._offset = offset
        return by
