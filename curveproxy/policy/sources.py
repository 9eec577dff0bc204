"""How much one source may take: places in the half-open table, and handshakes a second.

What is remembered is bounded: a place is forgotten when it is given back, a rate after a second of rest.
"""

from collections import OrderedDict


class Sources:
    """The sources of one door. A source is any number that stands for one: an IPv4 address, an IPv6 /64.

    The rate is a bucket that holds one second's worth; only the time at which it will be full again is kept.
    """

    def __init__(self, max_half_open: int = 1, handshakes_per_second: int = 1) -> None:
        self._half_open: dict[int, int] = {}
        self._full_at: OrderedDict[int, float] = OrderedDict()
        self.configure(max_half_open, handshakes_per_second)

    def configure(self, max_half_open: int, handshakes_per_second: int) -> None:
        """What each may take from now on."""
        self._max_half_open = max_half_open
        self._interval = 1 / handshakes_per_second

    def enter(self, source: int, now: float) -> bool:
        """Take a place for a newcomer; False when its source has used up what it may have."""
        while self._full_at and next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
        half_open = self._half_open.get(source, 0)
        full_at = max(self._full_at.get(source, now), now)
        if half_open >= self._max_half_open or full_at - now + 0.99 * self._interval > 1:
            return False
        self._half_open[source] = half_open + 1
        self._full_at[source] = full_at + self._interval
        self._full_at.move_to_end(source)
        return True

    def leave(self, source: int) -> None:
        """Give a place back."""
        left = self._half_open[source] - 1
        if left:
            self._half_open[source] = left
        else:
            del self._half_open[source]

    def __len__(self) -> int:
        """How many sources something is remembered of."""
        return len(self._half_open.keys() | self._full_at.keys())
