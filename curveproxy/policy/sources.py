"""How much one source may use: half-open connections, and handshakes a second.

At its limit of half-open connections a source's oldest is ended: whoever finishes soon gets in, and the others there
are silent. A source whose handshakes fail again and again may begin fewer of them: after as many failures as it may
begin handshakes in a second, half of them. It is not shut out, for several clients may share an address, and one that
is configured wrongly must not keep out the others: the rate that is left serves them. A handshake that succeeds clears
the failures of its source.

What is remembered is bounded: a connection is forgotten when it is released, a rate after a second of rest (two where
it is one a second), failures after a minute without another, or when too many other sources have failed since.
"""

from collections import OrderedDict
from collections.abc import Hashable
from math import inf
from typing import Generic, TypeVar

from curveproxy.policy.bucket import Bucket

# A failing source may begin this part of the handshakes of another.
FAILING_SHARE = 1 / 2
FORGIVEN_SECONDS = 60.0
MOST_FAILING = 16384
# Of a handshake: a source that keeps to its rate must not be refused for the rounding of sums.
SLACK = 0.01

Member = TypeVar("Member", bound=Hashable)


class SourceLimits(Generic[Member]):
    """The sources of one listener. A source is a number that stands for it: an IPv4 address, an IPv6 /64.

    max_half_open, handshakes_per_second: of each source.
    """

    def __init__(self, max_half_open: int, handshakes_per_second: int) -> None:
        # A source's only member itself, for most have one; else all of them, the oldest first.
        self._half_open: dict[int, Member | dict[Member, None]] = {}
        self._full_at: OrderedDict[int, float] = OrderedDict()
        self._failures: OrderedDict[int, tuple[int, float]] = OrderedDict()  # how many, the last
        self.configure(max_half_open, handshakes_per_second)

    def configure(self, max_half_open: int, handshakes_per_second: int) -> None:
        """Set the limits of each source from now on."""
        self._max_half_open, self._free_failures = max_half_open, handshakes_per_second
        self._bucket = _bucket(handshakes_per_second)
        self._failing_bucket = _bucket(FAILING_SHARE * handshakes_per_second)

    def check_rate(self, source: int, now: float) -> str:
        """Why a handshake must not begin now; empty when it may, and then it is counted."""
        while self._full_at and next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
        is_failing = self._is_failing(source, now)
        bucket, full_at = self._failing_bucket if is_failing else self._bucket, self._full_at.get(source, -inf)
        if not bucket.has_one(full_at, now):
            if is_failing:
                return "too many failures: half of handshakes_per_second_per_source is left"
            return "too often: handshakes_per_second_per_source"
        self._full_at[source] = bucket.spend(full_at, now)
        self._full_at.move_to_end(source)
        return ""

    def acquire(self, source: int, member: Member) -> Member | None:
        """Count a half-open connection. Returns the oldest of its source when they are too many: it has to go."""
        members = self._half_open.setdefault(source, member)
        if members is member:
            return None
        if not isinstance(members, dict):
            members = self._half_open[source] = {members: None}
        members[member] = None
        return next(iter(members)) if len(members) > self._max_half_open else None

    def release(self, source: int, member: Member) -> None:
        """Count a half-open connection no more."""
        members = self._half_open[source]
        if isinstance(members, dict) and len(members) > 1:
            del members[member]
        else:
            del self._half_open[source]

    def record_failure(self, source: int, now: float) -> None:
        """A handshake of this source has failed by its own fault."""
        self._failures[source] = self._failures.pop(source, (0, now))[0] + 1, now
        if len(self._failures) > MOST_FAILING:
            self._failures.popitem(last=False)

    def record_success(self, source: int) -> None:
        """A client of this source has proved its key."""
        self._failures.pop(source, None)

    def _is_failing(self, source: int, now: float) -> bool:
        while self._failures and next(iter(self._failures.values()))[1] + FORGIVEN_SECONDS <= now:
            self._failures.popitem(last=False)
        return source in self._failures and self._failures[source][0] > self._free_failures

    def __len__(self) -> int:
        """How many sources something is remembered of."""
        return len(self._half_open.keys() | self._full_at.keys() | self._failures.keys())


def _bucket(per_second: float) -> Bucket:
    """One that holds a second's worth, and one handshake at least."""
    return Bucket(per_second, max(1.0, 1 / per_second), SLACK)
