"""How much one source may take: places in the half-open table, and handshakes a second.

Whoever fails again and again waits between handshakes: a source may fail as often as it may begin handshakes in a
second, and from then on it waits twice as long each time. The wait stays short, for several clients may share an
address, and the one that is configured wrongly must not shut out the others; who gets in clears it for all of them.

What is remembered is bounded: a place is forgotten when it is given back, a rate after a second of rest, failures
after a minute without another, or when too many other sources have failed since.
"""

from collections import OrderedDict

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.05, 2.0
FORGIVEN_SECONDS = 60.0
MOST_FAILING = 16384


class Sources:
    """The sources of one door. A source is any number that stands for one: an IPv4 address, an IPv6 /64.

    The rate is a bucket that holds one second's worth; only the time at which it will be full again is kept.
    """

    def __init__(self, max_half_open: int = 1, handshakes_per_second: int = 1) -> None:
        self._half_open: dict[int, int] = {}
        self._full_at: OrderedDict[int, float] = OrderedDict()
        self._failures: OrderedDict[int, tuple[int, float, float]] = OrderedDict()  # how many, the last, waits until
        self.configure(max_half_open, handshakes_per_second)

    def configure(self, max_half_open: int, handshakes_per_second: int) -> None:
        """What each may take from now on."""
        self._max_half_open = max_half_open
        self._interval, self._free_failures = 1 / handshakes_per_second, handshakes_per_second

    def enter(self, source: int, now: float) -> bool:
        """Take a place for a newcomer; False when its source has used up what it may have."""
        while self._full_at and next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
        if self._waits(source, now):
            return False
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

    def failed(self, source: int, now: float) -> None:
        """A handshake from there has failed, and that was its own fault."""
        count = self._failures.pop(source, (0, now, now))[0] + 1
        over = count - self._free_failures
        wait = min(FIRST_WAIT_SECONDS * 2 ** min(over - 1, 10), LONGEST_WAIT_SECONDS) if over > 0 else 0.0
        self._failures[source] = count, now, now + wait
        if len(self._failures) > MOST_FAILING:
            self._failures.popitem(last=False)

    def succeeded(self, source: int) -> None:
        """Somebody from there has proved who it is."""
        self._failures.pop(source, None)

    def _waits(self, source: int, now: float) -> bool:
        while self._failures and next(iter(self._failures.values()))[1] + FORGIVEN_SECONDS <= now:
            self._failures.popitem(last=False)
        return source in self._failures and now < self._failures[source][2]

    def __len__(self) -> int:
        """How many sources something is remembered of."""
        return len(self._half_open.keys() | self._full_at.keys() | self._failures.keys())
