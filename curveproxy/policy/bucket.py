"""The token bucket: the only one, for handshakes of a source, messages and octets of a client, lines of the log."""


class Bucket:
    """How fast tokens come in and how many there are at most; the same for everybody whom a limit is for.

    Of each of them one float is kept, ``full_at``: the time at which the bucket will be full again, -inf for one that
    is new. It is far in the future when more was spent than there was.

    per_second: tokens a second, ``inf`` for no limit.
    fill_seconds: how long an empty bucket takes to be full, so that it holds ``per_second * fill_seconds``.
    slack: the part of a token that a whole one may lack, where rounding errors of many spends must not cost one.
    """

    __slots__ = ("_fill_seconds", "_per_second", "_room_seconds")

    def __init__(self, per_second: float, fill_seconds: float = 1.0, slack: float = 0.0) -> None:
        self._per_second, self._fill_seconds = per_second, fill_seconds
        # How long before it is full there is a whole token.
        self._room_seconds = fill_seconds - (1.0 - slack) / per_second

    def available(self, full_at: float, now: float) -> float:
        """How many tokens there are; below zero when more were spent than there were."""
        return self._per_second * min(self._fill_seconds, self._fill_seconds - (full_at - now))

    def has_one(self, full_at: float, now: float) -> bool:
        """Whether there is a whole token."""
        return full_at - now <= self._room_seconds

    def due(self, full_at: float) -> float:
        """The time from which there is a whole token."""
        return full_at - self._room_seconds

    def missing(self, full_at: float, now: float) -> float:
        """How many tokens it needs to be full."""
        return self._per_second * (full_at - now) if full_at > now else 0.0

    def spend(self, full_at: float, now: float, tokens: float = 1.0) -> float:
        """Take tokens out, also more than there are. Returns the new ``full_at``."""
        return max(full_at, now) + tokens / self._per_second
