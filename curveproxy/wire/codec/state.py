"""One direction of a session and a batch of its frames: what both twins of the codec work on."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple, cast

from attrs import define, field

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box, layout
from curveproxy.wire.curve.keys import short_nonce
from curveproxy.wire.zmtp.frame import Dialect, frame, read_header

# How many frames a batch has at most. A frame may have two octets, so a bound on octets would be no bound on time. In C
# a frame takes about 0.4 us, where Python looks at each one several.
BATCH_FRAMES = 4096
BATCH_FRAMES_IN_PYTHON = 512

_PREFIXES = box.MESSAGE_FROM_CLIENT, box.MESSAGE_FROM_SERVER


class Stop(IntEnum):
    """Why a batch ended. From FRAMING on: what is wrong with the frame at which it stopped, which was not consumed."""

    INCOMPLETE = 0  # the source holds no further whole frame
    FULL = 1  # the next frame does not fit into the rest of the target, or there were ``batch`` frames
    COMMAND = 2  # open: consumed, and its body stands in the target (``command``); seal: whole, and not consumed
    FRAMING = 3
    OUTER_MORE = 4  # the header says MORE and the box does not; several libraries write it in both
    TOO_SHORT = 5
    TOO_LARGE = 6
    NOT_MESSAGE = 7
    NONCE = 8  # not the very next one
    BOX = 9
    RECORD = 10  # a box of records, in which the stream of frames has no bounds


class Buffer:
    """A piece of memory and its address. To ask for the address costs more than to open a frame."""

    __slots__ = ("data", "pointer", "view")

    def __init__(self, data: int | bytearray) -> None:
        """data: a size, or the memory itself."""
        self.data = data if isinstance(data, bytearray) else bytearray(data)
        self.view = memoryview(self.data)
        self.pointer = sodium.address("unsigned char[]", self.data)

    def __len__(self) -> int:
        return len(self.data)

    def behind(self, begin: int) -> "Buffer":
        """The same memory from ``begin`` on."""
        if not begin:
            return self
        window = Buffer.__new__(Buffer)
        window.view = self.view[begin:]  # keeps the memory, and where it is
        window.data = cast("bytearray", window.view)  # of which nobody asks for more than its octets
        window.pointer = self.pointer + begin
        return window


@define(eq=False, weakref_slot=False)
class CodecState:
    """One direction of a session, owned by one pump. The C twin has a type of its own with the same members.

    key: the session's, 32 octets. C makes of it what this direction needs, and does not keep it.
    prefix: ``box.MESSAGE_FROM_CLIENT`` or ``box.MESSAGE_FROM_SERVER``.
    nonce: the last one that was used.
    limit: the largest message in octets, all its parts and their plain headers together.
    dialect: how the plain side writes frames.
    little_endian: the sealing side writes its nonces in this order, as libzmq 4.0 does.
    held: octets of the message that has begun and not ended, as they stand on the plain side.
    discarding: frames are opened and dropped, up to the end of the message that they belong to.
    command: where in the target the body of a command stands: offset, size.
    batch: how many frames a batch has at most.

    Raises ValueError for a key of another size, or another prefix.
    """

    key: bytes = field(repr=False)
    prefix: bytes
    nonce: int
    limit: int
    dialect: Dialect = Dialect.V3
    little_endian: bool = False
    held: int = 0
    discarding: bool = False
    command: tuple[int, int] = (0, 0)
    batch: int = BATCH_FRAMES

    def __attrs_post_init__(self) -> None:
        if len(self.key) != spec.KEY_SIZE or self.prefix not in _PREFIXES:
            raise ValueError("a key has 32 octets, and the prefix is that of a client or of a server")

    def seal_one(self, flags: int, body: bytes) -> bytes:
        """Seal one body, such as a command of ours, as a MESSAGE. Returns its whole frame. flags: those in the box."""
        self.nonce += 1
        nonce = short_nonce(self.nonce)
        sealed = sodium.seal(bytes([flags]) + body, self.prefix + nonce, self.key)
        return frame(0, spec.MESSAGE_NAME + nonce + sealed)

    def open_one(self, source: Buffer, start: int, end: int, target: Buffer, at: int) -> tuple[int, int]:
        """Open the frame ``source[start:end]``, at which a batch stopped, into ``target[at:]``: flags, then data.

        Returns the nonce that the frame names, and how many octets its box held: 0 when it is no MESSAGE, or does not
        open with that nonce. Nothing is changed.

        Raises ValueError where it is shorter than any MESSAGE, or the target has no room for its box.
        """
        header = read_header(source.data, start, end)
        body = header[0] if header else end
        box_at = body + layout.MESSAGE.size
        sealed, opened = end - box_at, 0
        if sealed <= spec.MAC_SIZE or at + sealed > len(target):
            raise ValueError("a whole MESSAGE, and room for its box")
        octets = bytes(source.view[body + len(spec.MESSAGE_NAME) : box_at])
        if source.data.startswith(spec.MESSAGE_NAME, body):
            nonce = self.prefix + octets
            if not sodium.open_at(target.pointer + at, source.pointer + box_at, sealed, nonce, self.key):
                opened = sealed - spec.MAC_SIZE
        return int.from_bytes(octets, "little" if self.little_endian else "big"), opened


class Batch(NamedTuple):
    """What a call of the codec has done.

    start, at: where the source and the target stand now.
    messages: how many messages ended.
    octets: how many octets of data these and the parts before them had.
    stop: why the call ended.
    """

    start: int
    at: int
    messages: int
    octets: int
    stop: Stop


CodecCall = Callable[[CodecState, Buffer, int, int, Buffer, int], Batch]
