"""The two buffers through which all pumps of the process work, one pump at a time.

A pump never waits while it works: it keeps what it has read and not turned, and what it owes, as octets of its own.
"""

from curveproxy.wire.codec import Buffer

# What a pump reads in one turn. Larger saves nothing more: beyond it the octets leave the processor's cache.
READ_SIZE = 256 * 1024
# A frame that fits into what was read must fit into the target too: sealed it is 33 and a longer header more.
TARGET_ROOM = 64


class Buffers:
    """source: what is read into; target: where it is turned into its other form."""

    __slots__ = ("source", "target")

    def __init__(self) -> None:
        self.source, self.target = Buffer(READ_SIZE), Buffer(READ_SIZE + TARGET_ROOM)
