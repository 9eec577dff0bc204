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
