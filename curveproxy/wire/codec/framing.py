"""Frames as they lie in a buffer: where they end, where their bodies begin, and how boxes are packed into them."""

import struct
from typing import Protocol

from curveproxy.wire import spec
from curveproxy.wire.codec.state import Batch, Buffer, CodecCall, CodecState
from curveproxy.wire.zmtp.frame import Dialect, frame

U64 = struct.Struct(">Q")
V1_LONG, V1_LONG_HEADER = 0xFF, 10


class Framing(Protocol):
    """How a peer that speaks CURVE packs frames into boxes."""

    def open(self, state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int, /) -> Batch:
        """Open the boxes in ``source[start:end]`` into plain frames at ``target[at:]``."""

    def seal(self, state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int, /) -> Batch:
        """Seal the plain frames in ``source[start:end]`` into boxes at ``target[at:]``."""

    def size(self, source: Buffer, start: int, end: int, /) -> int:
        """How many octets the unit at ``source[start:end]`` claims to have; 0 while that is not seen."""


class MessageFraming:
    """One box a frame (RFC 25). open, seal: the functions of a twin."""

    __slots__ = ("open", "seal")

    def __init__(self, open_frames: CodecCall, seal_frames: CodecCall) -> None:
        self.open, self.seal = open_frames, seal_frames

    def size(self, source: Buffer, start: int, end: int, /) -> int:
        """See ``Framing.size``."""
        return frame_size(source, start, end, Dialect.V3)


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
