"""Services of ZMTP 1.0 and 2.0, as libzmq 2.x and 3.2 are on the wire (RFC 13 and 15)."""

import struct
from typing import Self

from support import zmtp
from support.peer import Peer
from support.zmtp import MORE, Frame

SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"
TYPES = ["PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"]


def frame1(body: bytes, flags: int = 0, *, long: bool | None = None, size: int | None = None) -> bytes:
    """One frame of ZMTP 1.0, whose size counts its flags. long, size: as for ``zmtp.frame``."""
    size = len(body) + 1 if size is None else size
    long = size > 254 if long is None else long
    return (b"\xff" + struct.pack(">Q", size) if long else bytes([size])) + bytes([flags]) + body


def read_frames1(octets: bytes) -> list[Frame]:
    """The frames of ZMTP 1.0 that octets are made of. Raises ValueError where the last one is cut."""
    frames, at = [], 0
    while at < len(octets):
        size, begin = octets[at], at + 1
        if size == 0xFF:
            size, begin = int.from_bytes(octets[at + 1 : at + 9], "big"), at + 9
        at = begin + size
        if not begin < at <= len(octets):
            raise ValueError("half a frame")
        frames.append(Frame(octets[begin], octets[begin + 1 : at]))
    return frames


def opened(frame: Frame) -> tuple[bytes, bool, bool]:
    """A message's frame. Raises EOFError for others: that connection makes no sense, as where we are greeted with 3."""
    if frame.flags not in (0, MORE):
        raise EOFError(f"flags {frame.flags:#x}")
    return frame.body, bool(frame.flags), False


class Peer1(Peer):
    """A service of ZMTP 1.0: it tells neither its version nor its type, and knows no commands.

    flags: those of its identity's frame; libzmq 2.1.7 to 2.1.11 set some that nobody reads.
    """

    flags = 0x00

    def recv_frame(self) -> Frame:
        [size] = self.recv_exactly(1)
        if size == 0xFF:
            [size] = struct.unpack(">Q", self.recv_exactly(8))
        [flags] = self.recv_exactly(1)
        return Frame(flags, self.recv_exactly(size - 1))

    def send_identity(self) -> None:
        """What such a service says at accept."""
        self.send_raw(frame1(self.properties["Identity"], self.flags))

    def recv_identity(self) -> bytes:
        """What it is told. Its flags mean nothing."""
        self.theirs = {"Identity": self.recv_frame().body}
        return self.theirs["Identity"]

    def handshake(self) -> Self:
        self.send_identity()
        self.recv_identity()
        return self

    def seal(self, data: bytes, *, more: bool = False, command: bool = False) -> bytes:
        assert not command, "there are none"
        return frame1(data, MORE if more else 0)

    def open(self, frame: Frame) -> tuple[bytes, bool, bool]:
        return opened(frame)


class Peer2(Peer):
    """A service of ZMTP 2.0: a type and an identity, and no commands. Like 3.2.2 it says its type with its version."""

    def handshake(self) -> Self:
        self.send_raw(SIGNATURE + bytes([1, TYPES.index(self.properties["Socket-Type"].decode())]))
        assert self.recv_exactly(10)[::9] == b"\xff\x7f"
        assert self.recv_exactly(1) == b"\x03", "our version, to which it answers with its own"
        kind = TYPES[self.recv_exactly(1)[0]].encode()
        self.send_raw(zmtp.frame(self.properties["Identity"]))
        self.theirs = {"Socket-Type": kind, "Identity": self.recv_frame().body}
        return self

    def seal(self, data: bytes, *, more: bool = False, command: bool = False) -> bytes:
        assert not command, "there are none"
        return super().seal(data, more=more)

    def open(self, frame: Frame) -> tuple[bytes, bool, bool]:
        return opened(frame)
