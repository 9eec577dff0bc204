"""The buffers of the process, through which all pumps work.

Most frames go through the same two, one pump at a time: a pump never waits while it works, and what it has read and not
turned, or owes, it keeps as octets of its own. Frames that are larger borrow a buffer each.
"""

import trio

from curveproxy.wire.codec.state import Buffer

# What a pump reads in one turn: a bound on its time, about a millisecond. An octet costs less in a larger frame, whose
# beginning has been kept from the turn before; such a pump reads more. libzmq writes the first 8,192 octets of a large
# frame by themselves, and those are kept as the beginning of a small one is: by an engine, without Python.
READ_SIZE = 256 * 1024
READ_SIZE_MAX = 1024 * 1024
LARGE_KEPT = 16 * 1024
# A frame that fits into what was read must fit into the target too: sealed it is 33 and a longer header more.
TARGET_ROOM = 64
# Fresh memory costs as much as a frame in it, page by page, so that some is kept while large frames follow each other.
SPARE_MAX = 4 * 1024 * 1024
SPARE_SECONDS = 1.0
GRAIN = 64 * 1024  # sizes that are nearly the same fit each other


class BufferPool:
    """source: what is read into; target: where it is turned into its other form.

    read_size, read_size_max, large_kept, grain: the constants, which a test may want smaller.
    """

    __slots__ = ("_borrowed", "_spare", "source", "target")
    read_size, read_size_max, large_kept, grain = READ_SIZE, READ_SIZE_MAX, LARGE_KEPT, GRAIN

    def __init__(self) -> None:
        self.source, self.target = Buffer(self.read_size_max), Buffer(self.read_size_max + TARGET_ROOM)
        self._spare: list[Buffer] = []
        self._borrowed = False

    def reach(self, kept: int) -> int:
        """How much of ``source`` to fill, where this much of a frame is kept."""
        return self.read_size if kept < self.large_kept else self.read_size_max

    def remainder(self, octets: memoryview, sent: int, *, is_ours: bool) -> memoryview:
        """What is left of ``octets`` to be written, in memory that is not much larger than that.

        is_ours: nobody else uses the memory of ``octets``, so that what is left may stay there.
        """
        left = octets[sent:]
        if is_ours and 2 * len(left) + self.grain >= memory_of(octets):
            return left
        return memoryview(bytes(left))

    def borrow(self, size: int, least: int = 0) -> Buffer:
        """A buffer for ``size`` octets; where none is spare and ``least`` is given, perhaps only for as many."""
        self._borrowed = True
        for place, spare in enumerate(self._spare):
            if len(spare) >= size:
                return self._spare.pop(place)
        wanted = least or size
        return Buffer(wanted + -wanted % self.grain)

    def give_back(self, buffer: Buffer) -> None:
        """Return a buffer that is not used any more."""
        if sum(map(len, self._spare)) + len(buffer) <= SPARE_MAX:
            self._spare.append(buffer)

    async def run(self) -> None:
        """Free spare buffers when none was borrowed for a while."""
        while True:
            self._borrowed = False
            await trio.sleep(SPARE_SECONDS)
            if not self._borrowed:
                self._spare.clear()


def memory_of(octets: memoryview) -> int:
    """Octets that are kept as long as this view of them is."""
    return len(octets.obj)  # type: ignore[arg-type]
