"""The buffers that pumps borrow while there is something in them, and a few kept for the next one."""

from curveproxy.wire.codec import Buffer

# What a pump reads in one turn. Larger saves nothing more: beyond it the octets leave the processor's cache.
READ_SIZE = 256 * 1024
# A frame that fits into what was read must fit into the target too: sealed it is 33 and a longer header more.
TARGET_ROOM = 64
KEPT = 16


class Pool:
    """Buffers of one size. They come back at every wait, so few are ever out at once."""

    def __init__(self) -> None:
        self._spare: list[Buffer] = []

    def take(self) -> Buffer:
        return self._spare.pop() if self._spare else Buffer(READ_SIZE + TARGET_ROOM)

    def give(self, buffer: Buffer) -> None:
        if len(self._spare) < KEPT:
            self._spare.append(buffer)
