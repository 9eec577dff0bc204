"""The buffers of the process, through which all pumps work.

Most frames go through the same two, one pump at a time: a pump never waits while it works, it keeps what it has read
and not turned, and what it owes, as octets of its own. Frames that are larger borrow a buffer each.

There is one account of what all pumps keep, and a ceiling on it. From half of the ceiling on memory is short:

* A pump reads only what its sink takes at once, so that a session whose reader is slow is read no further.
* One client's key has a bounded share of the ceiling in frames and messages that are not whole.
* Who would go over the ceiling or over that share waits. One at a time need not, or those whose messages have come in
  part would wait for each other for ever.
* While somebody waits, whoever holds memory must turn it over within a minute: sessions that do not are ended, the
  one that holds most first, until there is room for those that wait. Nobody is ended while nobody waits.
"""

from collections import Counter
from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol

import trio

from curveproxy.wire.codec.state import Buffer

# What a pump reads in one turn: a bound on its time, about a millisecond. An octet costs less in a larger frame, whose
# beginning has been kept from the turn before; such a pump reads more.
READ_SIZE = 256 * 1024
READ_SIZE_MAX = 1024 * 1024
LARGE_KEPT = 4096
# A frame that fits into what was read must fit into the target too: sealed it is 33 and a longer header more.
TARGET_ROOM = 64
# Fresh memory costs as much as a frame in it, page by page, so that some is kept while large frames follow each other.
SPARE_MAX = 4 * 1024 * 1024
SPARE_SECONDS = 1.0
GRAIN = 64 * 1024  # sizes that are nearly the same fit each other

# From this part of the ceiling on, pumps read so little at a time, which a sink that takes anything takes whole.
NEAR = 0.5
NEAR_READ_SIZE = 16 * 1024
# The part of the ceiling that one client may have, while memory is short, in what is not whole.
SHARE = 0.25
# While somebody waits for memory, what a session holds must move at such a pace that it would all have moved in so
# long; and nobody who holds some waits longer.
TURNOVER_SECONDS = 60.0
# The pace is judged over so long, so often.
WINDOW_SECONDS = 5.0
LOOK_SECONDS = 1.0
# Shortage is told when somebody has waited for so long, and that it is over when nobody has for so long.
TELL_SECONDS = 1.0
OVER_SECONDS = 30.0


class Holder(Protocol):
    """A pump.

    key: whose session it is; held: octets that it keeps; partial: those of them that are not whole.
    moved: octets that it has read and written, all in all.
    """

    held: int
    partial: int
    moved: int

    @property
    def key(self) -> bytes: ...
    @property
    def is_held_up(self) -> bool:
        """Whether it is our doing that nothing moves."""

    def give_up(self) -> None:
        """End its session, for what it holds."""

    def failed(self, error: Exception) -> None:
        """End its session, for an error of ours."""


class Wish(NamedTuple):
    """What a pump waits for. is_for_share: its key's share is used up, not the ceiling; look: when it last asked."""

    octets: int
    is_for_share: bool
    look: int


class Mark(NamedTuple):
    """Where a pump stood, and since when it is judged by that."""

    moved: int
    is_held_up: bool
    since: float


def _tell_nobody(_is_scarce: bool) -> None: ...


class BufferPool:
    """source: what is read into; target: where it is turned into its other form.

    held: octets that the pumps keep; limit: how many they may, inf for any; are_short: they come near that.
    tell: is told when pumps have to wait for memory (True), and when that is over (False).
    ended: how many sessions were ended for what they held.
    """

    __slots__ = (
        "_borrowed",
        "_holders",
        "_look",
        "_look_at",
        "_marks",
        "_of_key",
        "_over",
        "_scarce_since",
        "_spare",
        "_told",
        "_waited_at",
        "_waiting",
        "are_short",
        "ended",
        "held",
        "limit",
        "source",
        "target",
        "tell",
    )

    def __init__(self) -> None:
        self.source, self.target = Buffer(READ_SIZE_MAX), Buffer(READ_SIZE_MAX + TARGET_ROOM)
        self._spare: list[Buffer] = []
        self._borrowed = False
        self.held, self.limit, self.are_short = 0, inf, False
        self.ended = 0
        self.tell: Callable[[bool], None] = _tell_nobody
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

    def bound(self, limit: float) -> None:
        """No more than this from now on."""
        self.limit = limit
        self.are_short = self.held > limit * NEAR

    def account(self, holder: Holder, held: int, partial: int) -> None:
        """A pump keeps so much now, and so much of it is not whole."""
        self.held += held - holder.held
        self.are_short = self.held > self.limit * NEAR
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
        holder.held, holder.partial = held, partial

    def allow(self, holder: Holder, octets: int) -> bool:
        """Whether a pump, which keeps something, may keep so much more of what is not whole.

        One that must wait asks again at each tick. Of those that wait the one that holds least is the next that may go
        over, until it keeps nothing.
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
        return self.are_short and self._of_key[holder.key] + octets > self.limit * SHARE

    def _weight(self, holder: Holder) -> tuple[int, int]:
        """Who holds more than another: first by key, then by session."""
        return self._of_key[holder.key], holder.held

    def expire(self, now: float) -> None:
        """See whether somebody waits for memory, and end those that do not turn over what they hold."""
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
        keys = None  # of anybody
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
        """Whether a pump does not turn over what it holds, since the first look at which somebody waited."""
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
                self.tell(True)
        elif self._scarce_since < inf and now - self._waited_at >= OVER_SECONDS:
            self._scarce_since = inf
            if self._told:
                self._told = False
                self.tell(False)

    def borrow(self, size: int, least: int = 0) -> Buffer:
        """A buffer for so many octets; where none lies about and ``least`` is told, perhaps only for so many."""
        self._borrowed = True
        for place, spare in enumerate(self._spare):
            if len(spare) >= size:
                return self._spare.pop(place)
        wanted = least or size
        return Buffer(wanted + -wanted % GRAIN)

    def give_back(self, buffer: Buffer) -> None:
        """Nobody works with it any more."""
        if sum(map(len, self._spare)) + len(buffer) <= SPARE_MAX:
            self._spare.append(buffer)

    async def run(self) -> None:
        """Keep nothing that was not wanted for a while."""
        while True:
            self._borrowed = False
            await trio.sleep(SPARE_SECONDS)
            if not self._borrowed:
                self._spare.clear()
