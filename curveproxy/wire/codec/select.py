"""All per-frame work after the handshake: two functions, each over a whole buffer, and which twin of them is in use.

``open_frames`` turns CURVE MESSAGEs into plain frames, ``seal_frames`` plain frames into MESSAGEs. They do the
ordinary case only; at the first thing that is not they stop and say why, and their caller judges.

The twin in C is taken where it was built and does what the one in Python does on a fixed batch. ``CURVEPROXY_CODEC``,
c or python, demands one of them.
"""

from importlib import import_module
from os import environ
from types import ModuleType

from curveproxy.wire import spec
from curveproxy.wire.codec import python
from curveproxy.wire.codec.framing import MessageFraming, plain_frame
from curveproxy.wire.codec.state import (
    BATCH_FRAMES,
    BATCH_FRAMES_IN_PYTHON,
    Batch,
    Buffer,
    CodecCall,
    CodecState,
    Stop,
)
from curveproxy.wire.curve import box
from curveproxy.wire.errors import CodecError
from curveproxy.wire.zmtp.frame import Dialect

VARIABLE = "CURVEPROXY_CODEC"

_PARTS = ((b"", 1), (b"one", 0), (bytes(253), 0), (bytes(range(256)), 1))


def trial(twin: ModuleType) -> list[object]:
    """What a twin makes of a fixed batch: sealed, opened whole, and stopped by damage, in every dialect."""
    found: list[object] = []
    for dialect in Dialect:
        plain = b"".join(plain_frame(more, body, dialect) for body, more in _PARTS)
        source, sealed, opened = Buffer(len(plain)), Buffer(1000), Buffer(1000)
        source.view[:] = plain
        sealing = twin.CodecState(bytes(range(32)), box.MESSAGE_FROM_SERVER, 5, 1000, dialect)
        batch: Batch = twin.seal_frames(sealing, source, 0, len(plain), sealed, 0)
        end = batch.at
        found += [batch, bytes(sealed.view[:end])]
        for damaged in (end, 0, 12, end - 1):
            sealed.data[damaged] ^= 0x20
            opening = twin.CodecState(bytes(range(32)), box.MESSAGE_FROM_SERVER, 5, 1000, dialect)
            batch = twin.open_frames(opening, sealed, 0, end, opened, 0)
            found += [batch, bytes(opened.view[: batch.at]), opening.nonce, opening.held]
            sealed.data[damaged] ^= 0x20
        for at in (
            0,
            spec.SHORT_HEADER + spec.MESSAGE_OVERHEAD,
        ):  # MORE outside too: the first box agrees, the second not
            sealed.data[at] ^= spec.MORE
            opening = twin.CodecState(bytes(range(32)), box.MESSAGE_FROM_SERVER, 5, 1000, dialect)
            found.append(twin.open_frames(opening, sealed, 0, end, opened, 0))
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
MESSAGES = MessageFraming(open_frames, seal_frames)
BATCH = BATCH_FRAMES if CODEC == "c" else BATCH_FRAMES_IN_PYTHON

__all__ = [
    "BATCH",
    "BATCH_FRAMES_IN_PYTHON",
    "CODEC",
    "CODEC_FAULT",
    "MESSAGES",
    "Batch",
    "Buffer",
    "CodecState",
    "Stop",
    "open_frames",
    "seal_frames",
]
