"""How much one source may take: places in the half-open table, and handshakes a second.

At its limit of places a source's oldest gives its own up: who finishes soon gets in, whoever else is silent there.
Whoever fails again and again may begin fewer handshakes: after as many failures as a source may begin in a second,
half of them. It is not shut out, for several clients may share an address, and the one that is configured wrongly
must not keep out the others: what they come upon is the rate that is left. Who gets in clears it for all of them.

What is remembered is bounded: a place is forgotten when it is given back, a rate after a second of rest (two where
it is one a second), failures after a minute without another, or when too many other sources have failed since.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

FAILING_SHARE = 2
FORGIVEN_SECONDS = 60.0
MOST_FAILING = 16384

Member = TypeVar("Member", bound=Hashable)


class SourceLimits(Generic[Member]):
    """The sources of one door. A source is any number that stands for one: an IPv4 address, an IPv6 /64.

    The rate is a bucket that holds one second's worth; only the time at which it will be full again is kept.
    """

    def __init__(self, max_half_open: int = 1, handshakes_per_second: int = 1) -> None:
        # A source's only member itself, for most have one; else all of them, the oldest first.
        self._half_open: dict[int, Member | dict[Member, None]] = {}
        self._full_at: OrderedDict[int, float] = OrderedDict()
        self._failures: OrderedDict[int, tuple[int, float]] = OrderedDict()  # how many, the last
        self.configure(max_half_open, handshakes_per_second)

    def configure(self, max_half_open: int, handshakes_per_second: int) -> None:
        """What each may take from now on."""
        self._max_half_open = max_half_open
        self._interval, self._free_failures = 1 / handshakes_per_second, handshakes_per_second

    def check_rate(self, source: int, now: float) -> str:
        """Why it may not begin a handshake now; empty when it may, which uses that up."""
        while self._full_at and next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
        is_failing = self._is_failing(source, now)
        interval = FAILING_SHARE * self._interval if is_failing else self._interval
        full_at = max(self._full_at.get(source, now), now)
        if full_at - now + 0.99 * interval > max(1, interval):
            if is_failing:
                return "too many failures: half of handshakes_per_second_per_source is left"
            return "too often: handshakes_per_second_per_source"
        self._full_at[source] = full_at + interval
        self._full_at.move_to_end(source)
        return ""

    def acquire(self, source: int, member: Member) -> Member | None:
        """Take a place for a newcomer. The oldest of its source is returned when they are too many: it has to leave."""
        members = self._half_open.setdefault(source, member)
        if members is member:
            return None
        if not isinstance(members, dict):
            members = self._half_open[source] = {members: None}
        members[member] = None
        return next(iter(members)) if len(members) > self._max_half_open else None

    def release(self, source: int, member: Member) -> None:
        """Give a place back."""
        members = self._half_open[source]
        if isinstance(members, dict) and len(members) > 1:
            del members[member]
        else:
            del self._half_open[source]

    def record_failure(self, source: int, now: float) -> None:
        """A handshake from there has failed, and that was its own fault."""
        self._failures[source] = self._failures.pop(source, (0, now))[0] + 1, now
        if len(self._failures) > MOST_FAILING:
            self._failures.popitem(last=False)

    def record_success(self, source: int) -> None:
        """Somebody from there has proved who it is."""
        self._failures.pop(source, None)

    def _is_failing(self, source: int, now: float) -> bool:
        while self._failures and next(iter(self._failures.values()))[1] + FORGIVEN_SECONDS <= now:
            self._failures.popitem(last=False)
        return source in self._failures and self._failures[source][0] > self._free_failures

    def __len__(self) -> int:
        """How many sources something is remembered of."""
        return len(self._half_open.keys() | self._full_at.keys() | self._failures.keys())
