"""The buffers of the process, through which all pumps work.

Most frames go through the same two, one pump at a time: a pump never waits while it works, it keeps what it has read
and not turned, and what it owes, as octets of its own. Frames that are larger borrow a buffer each.
"""

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


class Buffers:
    """source: what is read into; target: where it is turned into its other form."""

    __slots__ = ("_borrowed", "_spare", "source", "target")

    def __init__(self) -> None:
        self.source, self.target = Buffer(READ_SIZE_MAX), Buffer(READ_SIZE_MAX + TARGET_ROOM)
        self._spare: list[Buffer] = []
        self._borrowed = False

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
