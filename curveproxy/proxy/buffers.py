"""The buffers of the process, through which all pumps work.

Most frames go through the same two, one pump at a time: a pump never waits while it works, it keeps what it has read
and not turned, and what it owes, as octets of its own. Frames that are larger borrow a buffer each.

There is one account of what all pumps keep, and a ceiling on it. Near the ceiling a pump reads only what its sink takes
at once, so that those who hold most, whose readers are slow, read no further; nobody's octets are lost.
"""

from math import inf
from typing import Protocol

import trio

from curveproxy.wire.codec import Buffer

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
# Who may go over the ceiling and has not moved for so long lets another.
STANDSTILL_SECONDS = 10.0


class Holder(Protocol):
    """A pump."""

    @property
    def progress(self) -> int:
        """Another number when something has moved."""


class Buffers:
    """source: what is read into; target: where it is turned into its other form.

    held: octets that the pumps keep; limit: how many they may, inf for any; are_short: they come near that.
    """

    __slots__ = ("_borrowed", "_over", "_spare", "_stands", "are_short", "held", "limit", "source", "target")

    def __init__(self) -> None:
        self.source, self.target = Buffer(READ_SIZE_MAX), Buffer(READ_SIZE_MAX + TARGET_ROOM)
        self._spare: list[Buffer] = []
        self._borrowed = False
        self.held, self.limit, self.are_short = 0, inf, False
        self._over: Holder | None = None
        self._stands = (0, 0.0)  # where it was, and since when

    def bound(self, limit: float) -> None:
        """No more than this from now on."""
        self.limit = limit
        self.are_short = self.held > limit * NEAR

    def account(self, holder: Holder, before: int, now: int) -> None:
        """A pump keeps more than before, or less."""
        self.held += now - before
        self.are_short = self.held > self.limit * NEAR
        if not now and holder is self._over:
            self._over = None

    def allow(self, holder: Holder, octets: int) -> bool:
        """Whether a pump may keep so much more.

        One at a time may go over the ceiling, until it keeps nothing: those whose messages have come in part would
        wait for each other for ever.
        """
        if self.held + octets <= self.limit:
            return True
        if self._over is None:
            self._over, self._stands = holder, (holder.progress, trio.current_time())
        return holder is self._over

    def expire(self, now: float) -> None:
        """See whether the one that may go over the ceiling stands still."""
        if self._over is not None:
            where, since = self._stands
            if where != self._over.progress:
                self._stands = self._over.progress, now
            elif now - since > STANDSTILL_SECONDS:
                self._over = None

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
