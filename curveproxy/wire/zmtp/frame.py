"""ZMTP frames: a header of flags and size, then a body (RFC 23, section "Framing").

# 2.0 and 3.x, short: flags[1] size[1] body    long: flags[1] size[8] body     flags: MORE 1, LONG 2, COMMAND 4
# 1.0,         short: size[1] flags[1] body    long: FF size[8] flags[1] body  size counts the flags too (RFC 13)
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from attrs import frozen

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError

# A long header up to its size: flags[1] size[8], or in ZMTP 1.0 FF[1] size[8].
LONG_LAYOUT = struct.Struct(">BQ")


class Dialect(IntEnum):
    """How a plain peer frames: the major version of ZMTP that it speaks."""

    V1 = 1
    V2 = 2
    V3 = 3


def frame(flags: int, body: bytes) -> bytes:
    """One whole frame of ZMTP 3. flags: MORE or COMMAND or neither; LONG is set here where it is due."""
    if len(body) <= spec.SHORT_BODY_MAX:
        return bytes([flags, len(body)]) + body
    return LONG_LAYOUT.pack(flags | spec.LONG, len(body)) + body


def read_header(
    octets: spec.Octets, start: int, end: int, dialect: Dialect = Dialect.V3
) -> tuple[int, int, int] | None:
    """Read the header of the frame at ``octets[start:end]``.

    Returns (begin, stop, flags): where the body begins and where it will end, and the octet of flags; None while the
    header is not whole. Frames of CURVE are those of ZMTP 3. The body of a ZMTP 1.0 frame with a size of 0, which is
    too small for its flags, ends before it begins.
    """
    have = end - start
    if have < spec.SHORT_HEADER:
        return None
    first = octets[start]
    if dialect == Dialect.V1:
        if first != spec.V1_LONG:
            begin = start + spec.SHORT_HEADER
            return begin, begin - 1 + first, octets[begin - 1]
        if have < spec.V1_LONG_HEADER:
            return None
        begin = start + spec.V1_LONG_HEADER
        _, size = LONG_LAYOUT.unpack_from(octets, start)
        return begin, begin - 1 + size, octets[begin - 1]
    if not first & spec.LONG:
        begin = start + spec.SHORT_HEADER
        return begin, begin + octets[begin - 1], first
    if have < spec.LONG_HEADER:
        return None
    _, size = LONG_LAYOUT.unpack_from(octets, start)
    begin = start + spec.LONG_HEADER
    return begin, begin + size, first


def read_frame(seen: bytes) -> tuple[int, bytes, bytes] | None:
    """The flags and the body of the first frame in ``seen``, and what is behind it; None while it is not whole."""
    if (header := read_header(seen, 0, len(seen))) is None:
        return None
    begin, end, flags = header
    return (flags, seen[begin:end], seen[end:]) if len(seen) >= end else None


@frozen
class Due:
    """The one handshake command that may come next.

    name: with its length before it, as it stands in the body.
    least, most: the bounds of the body in octets, the name included.
    malformed, too_large: the fault of a body that is smaller, or larger.
    """

    name: bytes
    least: int
    most: int
    malformed: Fault
    too_large: Fault


class Span(NamedTuple):
    """How much of a command is needed, and where its body is.

    mark: octets that must be there before there is more to say.
    begin, end: when there are, the body is ``seen[begin:end]``.
    """

    mark: int
    begin: int
    end: int


def read_command_untrusted(seen: spec.Octets, due: Due) -> Span:
    """Judge as much of a handshake command as has come.

    seen: octets from the frame's first on.
    Raises PeerError: command for other commands and messages, and the two faults of ``due``.
    """
    have = len(seen)
    if have and seen[0] & ~spec.LONG != spec.COMMAND:
        raise PeerError(Fault.COMMAND, "not a command")
    if (header := read_header(seen, 0, have)) is None:
        return Span(spec.SHORT_HEADER if have < spec.SHORT_HEADER else spec.LONG_HEADER, 0, 0)
    begin, end, _ = header
    size = end - begin
    # The name before the size: a HELLO where INITIATE is due is the wrong command, not a small INITIATE.
    # What is shorter than the name that is due can not be it.
    named = begin + len(due.name)
    if not due.name.startswith(bytes(seen[begin : min(named, end)])):
        raise PeerError(Fault.COMMAND, "another command")
    if size < due.least:
        raise PeerError(due.malformed, "too short")
    if size > due.most:
        raise PeerError(due.too_large, "too long")
    return Span(named if have < named else end, begin, end)
