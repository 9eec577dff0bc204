"""The parts of a message that has not ended, kept where invalid messages are dropped.

A multipart message is forwarded only when its last part has been opened, because a part in its middle may be dropped.
"""

from curveproxy.wire import spec
from curveproxy.wire.codec.state import Buffer

# A command may follow what is returned.
COMMAND_ROOM = spec.COMMAND_MAX + spec.LONG_HEADER


class PartialMessages:
    """The parts of one direction's message that has begun and not ended."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = bytearray()

    def whole_messages(self, frames: Buffer, end: int, ended: int, held: int) -> tuple[Buffer, int]:
        """Add ``frames[:end]`` to the parts that are held. Returns whole messages: a buffer, and their end in it.

        ended: how many messages end in these frames; held: octets of the one that has begun and not ended.
        """
        if ended and not held and not self._parts:
            return frames, end
        if not ended:
            self._parts += frames.view[:end]
            return frames, 0
        parts, end = self._parts, end - held
        self._parts = bytearray(frames.view[end : end + held])
        if not parts:
            return frames, end
        parts += frames.view[:end]
        end = len(parts)
        parts += bytes(COMMAND_ROOM)
        return Buffer(parts), end

    def discard(self) -> None:
        """Forget the message that has begun: it will not be whole."""
        self._parts.clear()
