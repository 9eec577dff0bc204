"""How often a line of the log may be repeated, when clients without a key can cause it."""

from math import inf

from curveproxy.policy.bucket import Bucket

# An event, and its outcome or reason. Both, for different lists share words: ``timeout`` is a client's or a backend's.
Kind = tuple[str, str]


class LogLimit:
    """A burst at once, then some a second, for each kind; suppressed lines are counted.

    Kinds come from closed lists, so what is remembered is bounded.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._bucket = Bucket(per_second, burst / per_second)
        self._full_at: dict[Kind, float] = {}
        self._suppressed: dict[Kind, int] = {}

    def allow(self, kind: Kind, now: float) -> int | None:
        """How many of this kind were suppressed since the last one; None when this one is suppressed, too.

        now: seconds of a clock that does not go back.
        """
        full_at = self._full_at.get(kind, -inf)
        if not self._bucket.has_one(full_at, now):
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return None
        self._full_at[kind] = self._bucket.spend(full_at, now)
        return self._suppressed.pop(kind, 0)

    def pop_suppressed(self) -> dict[Kind, int]:
        """How many of each kind were suppressed and not reported yet; they count as reported from now on."""
        suppressed, self._suppressed = self._suppressed, {}
        return suppressed
