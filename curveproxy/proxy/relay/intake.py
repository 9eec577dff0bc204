"""What a pump takes in: how far it reads, and frames that are larger than the buffers."""

from typing import Protocol

from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.wire import spec
from curveproxy.wire.codec.state import Buffer

# A frame larger than the buffers borrows one that grows by this factor as its octets come.
GROWTH = 4
# While memory is under pressure, a pump reads so little at a time, which a sink that takes anything takes whole.
READ_UNDER_PRESSURE = 16 * 1024
# No frame of a message in a box has fewer octets.
SMALLEST_MESSAGE = spec.SHORT_HEADER + spec.MESSAGE_OVERHEAD


class Allowance(Protocol):
    """What a source may still send."""

    def available(self, now: float, smallest: int) -> float:
        """How many octets may be read, when no message has fewer than ``smallest``."""

    def spend(self, messages: float, octets: int, now: float) -> None: ...


class LargeFrame:
    """A frame that is larger than the buffers, of which ``have`` octets have come.

    buffer: borrowed; it holds what has come, and what that was turned into once it ``is_turned``.
    """

    __slots__ = ("buffer", "have", "is_turned")

    def __init__(self, pool: BufferPool, kept: bytes, size: int, *, under_pressure: bool) -> None:
        """kept: what has come of a frame of ``size``."""
        self.have = have = len(kept)
        self.buffer = pool.borrow(size, min(size, have if under_pressure else GROWTH * have))
        self.buffer.view[:have] = kept
        self.is_turned = False

    @property
    def memory(self) -> int:
        """Octets that it takes as long as it is not turned: its other form will be as large."""
        return 0 if self.is_turned else 2 * len(self.buffer)

    @property
    def is_full(self) -> bool:
        """Whether its buffer has to grow before more is read."""
        return self.have == len(self.buffer)

    def wanted(self, size: int) -> int:
        """How large a buffer it wants now."""
        return min(size, GROWTH * self.have)

    def grow(self, pool: BufferPool, size: int) -> None:
        """Take a larger buffer, for a frame of ``size``."""
        smaller, self.buffer = self.buffer, pool.borrow(size, self.wanted(size))
        self.buffer.view[: self.have] = smaller.view
        pool.give_back(smaller)

    def turn(self, pool: BufferPool, target: Buffer) -> None:
        """It has been turned into what stands in ``target``, and its own octets are not needed any more."""
        pool.give_back(self.buffer)
        self.buffer, self.is_turned = target, True
