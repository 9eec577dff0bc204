"""All per-frame work after the handshake: two functions, each over a whole buffer, and which twin of them is in use.

``open_frames`` turns CURVE MESSAGEs into plain frames, ``seal_frames`` plain frames into MESSAGEs. They do the
ordinary case only; at the first thing that is not they stop and say why, and their caller judges.

The twin in C is taken where it was built and does what the one in Python does on a fixed batch. ``CURVEPROXY_CODEC``,
c or python, demands one of them.
"""

import struct
from collections.abc import Callable
from importlib import import_module
from os import environ
from types import ModuleType

from curveproxy.wire import sodium, spec
from curveproxy.wire.codec import python
from curveproxy.wire.codec.state import BATCH_FRAMES, BATCH_FRAMES_IN_PYTHON, Batch, Buffer, CodecState, Stop
from curveproxy.wire.curve import box
from curveproxy.wire.errors import CodecError
from curveproxy.wire.zmtp.frame import Dialect, frame

VARIABLE = "CURVEPROXY_CODEC"
U64 = struct.Struct(">Q")
V1_LONG, V1_LONG_HEADER = 0xFF, 10
BOX_AT = len(spec.MESSAGE_NAME) + spec.SHORT_NONCE


def seal_one(state: CodecState, flags: int, body: bytes) -> bytes:
    """One body, with its inner flags, as a MESSAGE's whole frame."""
    state.nonce += 1
    nonce = box.short_nonce(state.nonce)
    sealed = sodium.seal(bytes([flags]) + body, state.prefix + nonce, state.key)
    return frame(0, spec.MESSAGE_NAME + nonce + sealed)


def open_one(state: CodecState, source: Buffer, start: int, size: int, target: Buffer, at: int) -> tuple[int, int]:
    """Open the MESSAGE of ``size`` octets at ``source[start:]`` into ``target[at:]``: inner flags, then data.

    The target has room for ``size`` octets there. Returns the nonce that the frame names, and how many octets its box
    held: 0 when it is no MESSAGE, or does not open with that nonce. ``state`` stays as it is.
    """
    body = start + (spec.LONG_HEADER if source.data[start] & spec.LONG else spec.SHORT_HEADER)
    octets = bytes(source.view[body + len(spec.MESSAGE_NAME) : body + BOX_AT])
    sealed, opened = start + size - (body + BOX_AT), 0
    if source.data.startswith(spec.MESSAGE_NAME, body):
        nonce = state.prefix + octets
        if not sodium.open_at(target.pointer + at, source.pointer + (body + BOX_AT), sealed, nonce, state.key):
            opened = sealed - spec.MAC_SIZE
    return int.from_bytes(octets, "little" if state.little_endian else "big"), opened


def frame_size(source: Buffer, start: int, end: int, dialect: Dialect) -> int:
    """How many octets the frame at ``source[start:end]`` claims to have, header and all; 0 while that is not seen.

    CURVE's own frames are those of ``Dialect.V3``.
    """
    if end - start < spec.SHORT_HEADER:
        return 0
    first, second = source.data[start], source.data[start + 1]
    if dialect == Dialect.V1 and first != V1_LONG:
        return 1 + first
    if dialect != Dialect.V1 and not first & spec.LONG:
        return spec.SHORT_HEADER + second
    if end - start < spec.LONG_HEADER:
        return 0
    size: int = U64.unpack_from(source.data, start + 1)[0]
    return spec.LONG_HEADER + size


def plain_frame(flags: int, body: bytes, dialect: Dialect) -> bytes:
    """A frame as a plain peer of that dialect writes it. flags: MORE, or COMMAND, which ZMTP 3 alone has."""
    if dialect != Dialect.V1:
        return frame(flags, body)
    size = len(body) + 1
    return (bytes([size]) if size < V1_LONG else bytes([V1_LONG]) + U64.pack(size)) + bytes([flags]) + body


def plain_header(source: Buffer, start: int, dialect: Dialect) -> tuple[int, bool]:
    """Where the body of the whole plain frame at ``source[start:]`` begins, and whether more parts follow it."""
    flags = source.data[start]
    if dialect == Dialect.V1:
        body = start + (V1_LONG_HEADER if flags == V1_LONG else spec.SHORT_HEADER)
        return body, bool(source.data[body - 1] & spec.MORE)
    return start + (spec.LONG_HEADER if flags & spec.LONG else spec.SHORT_HEADER), bool(flags & spec.MORE)


# --- which twin


_PARTS = ((b"", 1), (b"one", 0), (bytes(253), 0), (bytes(range(256)), 1))


def trial(twin: ModuleType) -> list[object]:
    """What a twin makes of a fixed batch: sealed, opened whole, and stopped by damage, in every dialect."""
    found: list[object] = []
    for dialect in Dialect:
        plain = b"".join(plain_frame(more, body, dialect) for body, more in _PARTS)
        source, sealed, opened = Buffer(len(plain)), Buffer(1000), Buffer(1000)
        source.view[:] = plain
        sealing = CodecState(bytes(range(32)), box.MESSAGE_FROM_SERVER, 5, 1000, dialect)
        batch: Batch = twin.seal_frames(sealing, source, 0, len(plain), sealed, 0)
        end = batch.at
        found += [batch, bytes(sealed.view[:end])]
        for damaged in (end, 0, 12, end - 1):
            sealed.data[damaged] ^= 0x20
            opening = CodecState(bytes(range(32)), box.MESSAGE_FROM_SERVER, 5, 1000, dialect)
            batch = twin.open_frames(opening, sealed, 0, end, opened, 0)
            found += [batch, bytes(opened.view[: batch.at]), opening.nonce, opening.held]
            sealed.data[damaged] ^= 0x20
        for at in (
            0,
            spec.SHORT_HEADER + spec.MESSAGE_OVERHEAD,
        ):  # MORE outside too: the first box agrees, the second not
            sealed.data[at] ^= spec.MORE
            opening = CodecState(bytes(range(32)), box.MESSAGE_FROM_SERVER, 5, 1000, dialect)
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
CodecCall = Callable[[CodecState, Buffer, int, int, Buffer, int], Batch]
open_frames: CodecCall = _TWIN.open_frames
seal_frames: CodecCall = _TWIN.seal_frames
BATCH = BATCH_FRAMES if CODEC == "c" else BATCH_FRAMES_IN_PYTHON

__all__ = [
    "BATCH",
    "BATCH_FRAMES_IN_PYTHON",
    "CODEC",
    "CODEC_FAULT",
    "Batch",
    "Buffer",
    "CodecState",
    "Stop",
    "frame_size",
    "open_frames",
    "open_one",
    "plain_frame",
    "plain_header",
    "seal_frames",
    "seal_one",
]
