"""How often a line of the log may be repeated, when strangers can cause it."""

# An event, and its outcome or reason. Both, for different lists share words: ``timeout`` is a client's or a backend's.
Kind = tuple[str, str]


class LogLimit:
    """So many at once, then so many a second, for each kind; what is suppressed is counted.

    Kinds come from closed lists, so what is remembered is bounded.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst, self._interval = burst, 1 / per_second
        self._full_at: dict[Kind, float] = {}
        self._suppressed: dict[Kind, int] = {}

    def allow(self, kind: Kind, now: float) -> int | None:
        """How many of this kind were suppressed since the last one; None when this one is, too.

        now: seconds of a clock that does not go back.
        """
        full_at = max(self._full_at.get(kind, now), now)
        if full_at - now > (self._burst - 1) * self._interval:
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return None
        self._full_at[kind] = full_at + self._interval
        return self._suppressed.pop(kind, 0)

    def pop_suppressed(self) -> dict[Kind, int]:
        """What has been suppressed and not been told yet; it counts as told now."""
        told, self._suppressed = self._suppressed, {}
        return told
