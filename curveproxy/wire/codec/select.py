"""The choice between the codec's two twins, which do all work on frames after the handshake.

``open_frames`` turns CURVE MESSAGEs into plain frames, ``seal_frames`` plain frames into MESSAGEs, each over a whole
buffer. They do the ordinary case only: at the first frame that is not ordinary they stop and say why, and their caller
judges.

The twin in C is chosen where it was built and does what the one in Python does on a fixed batch. ``CURVEPROXY_CODEC``,
c or python, demands one of them.
"""

from importlib import import_module
from os import environ
from types import ModuleType

from curveproxy.wire import spec
from curveproxy.wire.codec import python
from curveproxy.wire.codec.framing import plain_frame
from curveproxy.wire.codec.state import (
    BATCH_FRAMES,
    BATCH_FRAMES_IN_PYTHON,
    Batch,
    Buffer,
    CodecCall,
    CodecState,
)
from curveproxy.wire.curve import box
from curveproxy.wire.errors import CodecError
from curveproxy.wire.zmtp.frame import Dialect

VARIABLE = "CURVEPROXY_CODEC"

_PARTS = ((b"", 1), (b"one", 0), (bytes(253), 0), (bytes(range(256)), 1))


def trial(twin: ModuleType) -> list[object]:
    """What a twin makes of a fixed batch, and the states that it leaves: sealed, opened, and stopped by damage."""
    found: list[object] = []

    def turned(turn: CodecCall, source: Buffer, end: int, dialect: Dialect) -> tuple[Batch, Buffer]:
        state = twin.CodecState(bytes(range(spec.KEY_SIZE)), box.MESSAGE_FROM_SERVER, 5, 1000, dialect)
        target = Buffer(1000)
        batch = turn(state, source, 0, end, target, 0)
        found.extend((batch, bytes(target.view[: batch.at]), repr(state)))
        return batch, target

    for dialect in Dialect:
        plain = b"".join(plain_frame(more, body, dialect) for body, more in _PARTS)
        batch, sealed = turned(twin.seal_frames, Buffer(bytearray(plain)), len(plain), dialect)
        second = spec.SHORT_HEADER + spec.MESSAGE_OVERHEAD  # where the second frame begins
        # The last is damage to nothing. MORE in a header is no damage to the first frame, whose box agrees.
        for damaged, bit in ((0, 0x20), (12, 0x20), (batch.at - 1, 0x20), (0, spec.MORE), (second, spec.MORE), (0, 0)):
            sealed.data[damaged] ^= bit
            turned(twin.open_frames, sealed, batch.at, dialect)
            sealed.data[damaged] ^= bit
    return found


def _choose() -> tuple[ModuleType, str, str]:
    """The twin, its name, and why it is not the one that was built. Raises CodecError."""
    wanted = environ.get(VARIABLE, "")
    if wanted not in ("", "c", "python"):
        raise CodecError(f"{VARIABLE} is {wanted!r}: it is c, python, or not set")
    if wanted == "python":
        return python, "python", ""
    try:
        native = import_module("curveproxy.wire.codec.native")
    except ImportError as error:
        if wanted:
            raise CodecError(f"{VARIABLE} demands the C codec, which was not built: install with a compiler") from error
        return python, "python", ""
    if trial(native) == trial(python):
        return native, "c", ""
    if wanted:
        raise CodecError(f"{VARIABLE} demands the C codec, which is not the one of this version: install again")
    return python, "python", "the C codec does not do what the one in Python does"


_TWIN, CODEC, CODEC_FAULT = _choose()
CodecState = _TWIN.CodecState  # type: ignore[misc]  # noqa: F811  # both have the same members
open_frames: CodecCall = _TWIN.open_frames
seal_frames: CodecCall = _TWIN.seal_frames
BATCH = BATCH_FRAMES if CODEC == "c" else BATCH_FRAMES_IN_PYTHON

__all__ = [
    "BATCH",
    "CODEC",
    "CODEC_FAULT",
    "CodecState",
    "open_frames",
    "seal_frames",
]
