"""How many invalid or rejected messages a session may send before it ends."""

WINDOW_SECONDS = 60.0


class InvalidBudget:
    """A number of messages a minute; a minute begins with the first of them.

    now: seconds of a clock that does not go back.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute, self._left, self._until = per_minute, 0, 0.0

    def spend(self, now: float) -> bool:
        """Count one. Returns whether the session may go on."""
        if now >= self._until:
            self._left, self._until = self._per_minute, now + WINDOW_SECONDS
        self._left -= 1
        return self._left >= 0
