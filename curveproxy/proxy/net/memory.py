"""One account of the memory that all pumps hold beside the shared buffers, with a limit.

From half of the limit on, memory is under pressure:

* A pump reads only what its sink takes at once, so that a session whose reader is slow is read no further.
* One client's key has a bounded share of the limit in frames and messages that are not whole.
* A pump that would exceed the limit or that share waits. One at a time is let through, because those whose messages
  have come in part would otherwise wait for each other for ever.
* While one waits, every holder must turn over what it holds within a minute. Sessions that do not are ended, the one
  that holds most first, until there is room for those that wait. No session is ended while none waits.
"""

from collections import Counter
from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol

# The part of the limit from which on memory is under pressure.
PRESSURE = 0.5
# The part of the limit that one client may hold, while memory is under pressure, in what is not whole.
SHARE = 0.25
# While one waits for memory, what a session holds must move at such a pace that all of it would move in this time; and
# no holder waits longer.
TURNOVER_SECONDS = 60.0
# The pace is measured over this time, and looked at this often.
WINDOW_SECONDS = 5.0
LOOK_SECONDS = 1.0
# Shortage is reported when a pump has waited for this long, and its end when none has waited for this long.
TELL_SECONDS = 1.0
OVER_SECONDS = 30.0


class Holder(Protocol):
    """A pump.

    key: of its session's client; held: octets that it keeps; partial: those of them that are not whole.
    moved: octets that it has read and written since it began.
    """

    held: int
    partial: int
    moved: int

    @property
    def key(self) -> bytes: ...
    @property
    def is_held_up(self) -> bool:
        """Whether we, and not its peers, keep it from moving."""

    def give_up(self) -> None:
        """End its session because of what it holds."""

    def failed(self, error: Exception) -> None:
        """End its session because of an error of ours."""


class Wish(NamedTuple):
    """What a pump waits for. is_for_share: its key's share is used up, not the limit; look: when it last asked."""

    octets: int
    is_for_share: bool
    look: int


class Mark(NamedTuple):
    """Where a pump stood, and since when its pace is measured from there."""

    moved: int
    is_held_up: bool
    since: float


def _tell_nobody(_is_scarce: bool) -> None: ...


class MemoryBudget:
    """held: octets that the pumps keep; limit: how many they may, inf for any; under_pressure: whether that is near.

    tell: is called when pumps have to wait for memory (True), and when that is over (False).
    ended: how many sessions were ended for what they held.
    """

    __slots__ = (
        "_holders",
        "_look",
        "_look_at",
        "_marks",
        "_of_key",
        "_over",
        "_scarce_since",
        "_tell",
        "_told",
        "_waited_at",
        "_waiting",
        "ended",
        "held",
        "limit",
        "under_pressure",
    )

    def __init__(self, tell: Callable[[bool], None] = _tell_nobody) -> None:
        self.held, self.limit, self.under_pressure = 0, inf, False
        self.ended = 0
        self._tell = tell
        self._holders: set[Holder] = set()
        self._of_key: Counter[bytes] = Counter()  # what is not whole
        self._over: Holder | None = None
        self._waiting: dict[Holder, Wish] = {}
        self._marks: dict[Holder, Mark] = {}
        self._look, self._look_at = 0, 0.0
        self._scarce_since, self._waited_at, self._told = inf, 0.0, False

    @property
    def waiting(self) -> int:
        """How many pumps wait for memory."""
        return len(self._waiting)

    def set_limit(self, limit: float) -> None:
        """Let the pumps hold no more than this from now on."""
        self.limit = limit
        self.under_pressure = self.held > limit * PRESSURE

    def charge(self, holder: Holder, held: int, partial: int) -> None:
        """A pump, whose ``held`` and ``partial`` are those of before, keeps this much from now on."""
        self.held += held - holder.held
        self.under_pressure = self.held > self.limit * PRESSURE
        if partial != holder.partial:
            self._of_key[holder.key] += partial - holder.partial
            if not self._of_key[holder.key]:
                del self._of_key[holder.key]
        if held and not holder.held:
            self._holders.add(holder)
        elif holder.held and not held:
            self._holders.discard(holder)
            self._waiting.pop(holder, None)
            self._marks.pop(holder, None)
            if holder is self._over:
                self._over = None

    def may_exceed(self, holder: Holder, octets: int) -> bool:
        """Whether a pump, which keeps something, may keep this much more of what is not whole.

        One that must wait asks again at each tick. Of those that wait, the one that holds least is the next that may
        exceed the limit, until it keeps nothing.
        """
        fits = self.held + octets <= self.limit
        may = fits and not self._is_over_share(holder, octets)
        if not may:
            self._waiting[holder] = Wish(octets, fits, self._look)
            if self._over is None:
                self._over = min(self._waiting, key=self._weight)
            may = holder is self._over
        if may:
            self._waiting.pop(holder, None)
        return may

    def _is_over_share(self, holder: Holder, octets: int) -> bool:
        return self.under_pressure and self._of_key[holder.key] + octets > self.limit * SHARE

    def _weight(self, holder: Holder) -> tuple[int, int]:
        """The order of holders: by what their key holds, then by what their session holds."""
        return self._of_key[holder.key], holder.held

    def expire(self, now: float) -> None:
        """While a pump waits for memory, end sessions that do not turn over what they hold."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        self._waiting = {holder: wish for holder, wish in self._waiting.items() if wish.look == self._look}
        self._look += 1
        self._tell_of_shortage(now)
        if not self._waiting:
            self._marks.clear()
            return
        wishes = self._waiting.values()
        wanted = max(wish.octets for wish in wishes)
        keys = None  # any
        if all(wish.is_for_share for wish in wishes):
            keys = {holder.key for holder in self._waiting}
        slow = [
            holder
            for holder in self._holders
            if (keys is None or holder.key in keys or holder is self._over) and self._is_slow(holder, now)
        ]
        slow.sort(key=self._weight, reverse=True)
        for holder in slow:
            if wanted <= 0:
                break
            wanted -= holder.held
            self._end(holder)

    def _is_slow(self, holder: Holder, now: float) -> bool:
        """Whether a pump does not turn over what it holds, measured since the first look at which a pump waited."""
        moved, is_held_up, mark = holder.moved, holder.is_held_up, self._marks.get(holder)
        if mark is not None and mark.is_held_up == is_held_up:
            seconds = now - mark.since
            if is_held_up:
                if mark.moved == moved:
                    return seconds >= TURNOVER_SECONDS
            elif seconds < WINDOW_SECONDS:
                return False
            elif (moved - mark.moved) * TURNOVER_SECONDS < holder.held * seconds:
                return True
        self._marks[holder] = Mark(moved, is_held_up, now)
        return False

    def _end(self, holder: Holder) -> None:
        self.ended += 1
        try:
            holder.give_up()
        except Exception as error:  # the boundary: one session ends, not the tick
            holder.failed(error)

    def _tell_of_shortage(self, now: float) -> None:
        if self._waiting:
            self._scarce_since, self._waited_at = min(self._scarce_since, now), now
            if not self._told and now - self._scarce_since >= TELL_SECONDS:
                self._told = True
                self._tell(True)
        elif self._scarce_since < inf and now - self._waited_at >= OVER_SECONDS:
            self._scarce_since = inf
            if self._told:
                self._told = False
                self._tell(False)
