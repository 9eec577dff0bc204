"""Frames as they lie in a buffer, and as a plain peer writes them."""

from curveproxy.wire import spec
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.zmtp.frame import LONG_LAYOUT, Dialect, frame, read_header


def frame_size(source: Buffer, start: int, end: int, dialect: Dialect) -> int:
    """How many octets the frame at ``source[start:end]`` claims to have, header and all; 0 while that is not seen.

    CURVE's own frames are those of ``Dialect.V3``.
    """
    header = read_header(source.data, start, end, dialect)
    return header[1] - start if header else 0


def plain_frame(flags: int, body: bytes, dialect: Dialect) -> bytes:
    """A frame as a plain peer of that dialect writes it. flags: MORE, or COMMAND, which ZMTP 3 alone has."""
    if dialect != Dialect.V1:
        return frame(flags, body)
    size = len(body) + 1
    header = bytes([size]) if size < spec.V1_LONG else LONG_LAYOUT.pack(spec.V1_LONG, size)
    return header + bytes([flags]) + body


def plain_header(size: int, dialect: Dialect) -> int:
    """The size of the header before a body of ``size`` octets, as a plain peer of that dialect writes it."""
    if dialect == Dialect.V1:
        return spec.SHORT_HEADER if size <= spec.V1_SHORT_BODY_MAX else spec.V1_LONG_HEADER
    return spec.SHORT_HEADER if size <= spec.SHORT_BODY_MAX else spec.LONG_HEADER


def growth(dialect: Dialect) -> int:
    """By how much a large frame grows when it is sealed: all of it before the data, which can stay where it lies."""
    return spec.LONG_HEADER + spec.MESSAGE_OVERHEAD - plain_header(spec.FRAME_MAX, dialect)
