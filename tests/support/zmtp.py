"""ZMTP 3 as octets, a second time: frames, commands, metadata, the greeting, NULL (RFC 23 and 37).

Makers write what they are told, lawful or not; readers raise Malformed, and nothing else, for what the RFC forbids.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

MORE, LONG, COMMAND = 1, 2, 4  # flags of a frame


class Malformed(Exception):  # noqa: N818 - named for what the octets are
    """These octets are not what the RFC says."""


class Frame(NamedTuple):
    """A frame as it came, without its size."""

    flags: int
    body: bytes


def damaged(octets: bytes) -> bytes:
    """The same but for one bit of the last octet."""
    return octets[:-1] + bytes([octets[-1] ^ 1])


def frame(body: bytes, flags: int = 0, *, long: bool | None = None, size: int | None = None) -> bytes:
    """One frame on the wire.

    flags: MORE, COMMAND, or what the RFC forbids; LONG is set where it is due.
    long: the header's form, where it shall not follow from the size; size: the size to claim.
    """
    size = len(body) if size is None else size
    long = size > 255 if long is None else long
    return (struct.pack(">BQ", flags | LONG, size) if long else struct.pack(">BB", flags, size)) + body


def read_frames(octets: bytes) -> list[Frame]:
    """All frames of a stream that ends with a whole one."""
    frames = []
    while octets:
        form = ">BQ" if octets[0] & LONG else ">BB"
        begin = struct.calcsize(form)
        if len(octets) < begin:
            raise Malformed("half a header")
        flags, size = struct.unpack_from(form, octets)
        if len(octets) < begin + size:
            raise Malformed("half a frame")
        frames.append(Frame(flags & ~LONG, octets[begin : begin + size]))
        octets = octets[begin + size :]
    return frames


def command(name: bytes, data: bytes = b"") -> bytes:
    """The body of a command: its name with its length before it, then its data."""
    return bytes([len(name)]) + name + data


def command_frame(name: bytes, data: bytes = b"") -> bytes:
    """A command as a whole frame."""
    return frame(command(name, data), COMMAND)


def read_command(body: bytes) -> tuple[bytes, bytes]:
    """Name and data of a command's body."""
    if not body or not 1 <= body[0] < len(body):
        raise Malformed("no command")
    return body[1 : 1 + body[0]], body[1 + body[0] :]


def metadata(properties: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> bytes:
    """Properties as a handshake carries them; pairs where a name shall come twice."""
    pairs = properties.items() if isinstance(properties, Mapping) else properties
    return b"".join(struct.pack(">B", len(n)) + n.encode() + struct.pack(">I", len(v)) + v for n, v in pairs)


def read_metadata(octets: bytes) -> list[tuple[str, bytes]]:
    """The properties in their order."""
    pairs = []
    while octets:
        begin = 1 + octets[0] + 4
        if octets[0] == 0 or len(octets) < begin:
            raise Malformed("half a property")
        end = begin + int.from_bytes(octets[begin - 4 : begin], "big")
        if len(octets) < end:
            raise Malformed("half a value")
        pairs.append((octets[1 : begin - 4].decode("ascii", "replace"), octets[begin:end]))
        octets = octets[end:]
    return pairs


def greeting(
    mechanism: bytes = b"CURVE",
    *,
    as_server: int = 0,
    version: tuple[int, int] = (3, 0),
    padding: bytes = bytes(8),
    signature_end: int = 0x7F,
    filler: bytes = bytes(31),
) -> bytes:
    """64 octets: FF padding[8] 7F version[2] mechanism[20] as-server[1] filler[31]."""
    signature = b"\xff" + padding + bytes([signature_end])
    return signature + bytes(version) + mechanism.ljust(20, b"\0") + bytes([as_server]) + filler


def part(body: bytes, name: bytes, least: int, most: int | None = None) -> bytes:
    """What follows a command's name, if the body has that name and a lawful size."""
    opening = command(name)
    if not body.startswith(opening):
        raise Malformed(f"not {name!r}")
    if len(body) < least or (most is not None and len(body) > most):
        raise Malformed(f"{name!r} of {len(body)} octets")
    return body[len(opening) :]


def ping(context: bytes = b"", ttl: int = 0) -> bytes:
    """PING's body. ttl: tenths of a second, 0 for none; context: 0 to 16 octets that PONG brings back."""
    return command(b"PING", struct.pack(">H", ttl) + context)


def null_ready(metadata: bytes) -> bytes:
    """The body of the NULL mechanism's READY."""
    return command(b"READY", metadata)


def error(reason: bytes) -> bytes:
    """ERROR's body, the same for CURVE and NULL."""
    return command(b"ERROR", bytes([len(reason)]) + reason)


def read_error(body: bytes) -> bytes:
    """The reason of an ERROR."""
    data = part(body, b"ERROR", 7)
    if len(data) != 1 + data[0]:
        raise Malformed("the size of ERROR's reason")
    return data[1:]
