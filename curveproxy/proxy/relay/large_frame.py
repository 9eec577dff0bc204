"""A frame that is larger than the buffers: it is read into one of its own, and turned where it lies.

The octets of a box lie as they do in the plain frame, so that one form can take the other's place: opened, the plain
header stands over the end of the box's MAC; sealed, all that comes before the data stands in room that was left for it.
That takes half of the memory, and a frame of some mebibytes is in the processor's cache once and not twice.
"""

from curveproxy.proxy.net.buffers import TARGET_ROOM, BufferPool
from curveproxy.proxy.relay.transformed import Transform, Transformed

# The buffer grows by this factor as the octets of its frame come.
GROWTH = 4


class LargeFrame:
    """One of ``size`` octets, of which ``have`` have come.

    source: where it stands. target: where its other form will, in the same memory.
    is_turned: whether it does.
    """

    __slots__ = ("_buffer", "_shift", "have", "is_turned", "size", "source", "target")

    def __init__(self, pool: BufferPool, begun: memoryview, size: int, shift: int, *, under_pressure: bool) -> None:
        """begun: what has come. shift: see ``Transform.shift``."""
        self.size, self.have, self._shift, self.is_turned = size, len(begun), shift, False
        self._lie_in(pool, self.have if under_pressure else self.wanted)
        self.source.view[: self.have] = begun

    def _lie_in(self, pool: BufferPool, octets: int) -> None:
        """Borrow a buffer for this many of its octets, or for all of them. Either form has room in it."""
        self._buffer = pool.borrow(self.size + TARGET_ROOM, octets + TARGET_ROOM)
        lead = max(0, -self._shift)
        self.source, self.target = self._buffer.behind(lead), self._buffer.behind(lead + self._shift)

    @property
    def memory(self) -> int:
        """Octets that it takes as long as it is not turned; then they are owed."""
        return 0 if self.is_turned else len(self._buffer)

    @property
    def wanted(self) -> int:
        """For how many of its octets it wants room now."""
        return min(self.size, GROWTH * self.have)

    @property
    def gap(self) -> memoryview:
        """What is read next: as much as is missing, or fits. Empty where it has to grow before."""
        return self.source.view[self.have : min(self.size, len(self._buffer) - TARGET_ROOM)]

    def add(self, octets: int) -> None:
        """This many more have come."""
        self.have += octets

    def grow(self, pool: BufferPool) -> None:
        """Take a larger buffer."""
        smaller, begun = self._buffer, self.source.view[: self.have]
        self._lie_in(pool, self.wanted)
        self.source.view[: self.have] = begun
        pool.give_back(smaller)

    def turn(self, transform: Transform) -> Transformed:
        """Let it become its other form: all of it has come. It may run in a thread."""
        return transform.apply(self.source, 0, self.size, self.target)

    def settle(self) -> None:
        """Count it as turned."""
        self.is_turned = True

    def holds(self, octets: memoryview) -> bool:
        """Whether these lie in its buffer."""
        return octets.obj is self._buffer.data

    def give_back(self, pool: BufferPool) -> None:
        """It is not needed any more."""
        pool.give_back(self._buffer)
