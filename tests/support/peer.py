"""A ZMTP 3 peer on a blocking socket with bounded waits, driven step by step: NULL, and the base of CURVE.

It blocks: a trio test calls it through ``trio.to_thread.run_sync``.
"""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Self

from support import zmtp
from support.zmtp import COMMAND, LONG, MORE, Frame, Malformed

SECONDS = 20.0  # how long a peer waits for anything, unless told otherwise


class Refused(Exception):  # noqa: N818 - what the other side did
    """The other side answered with ERROR; its reason is the argument."""


class Ending(NamedTuple):
    """How a connection ended: the octets that still came, then FIN or a reset."""

    octets: bytes
    reset: bool


def address_of(endpoint: str) -> tuple[socket.AddressFamily, tuple[str, int] | str]:
    """Family and address of ``tcp://host:port``, ``tcp://[v6]:port``, ``ipc:///path`` or ``ipc://@name``."""
    scheme, _, rest = endpoint.partition("://")
    if scheme == "ipc":
        return socket.AF_UNIX, "\0" + rest[1:] if rest.startswith("@") else rest
    host, _, port = rest.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return family, (host.strip("[]"), int(port))


def connect(endpoint: str, *, source: tuple[str, int] | None = None, timeout: float = SECONDS) -> socket.socket:
    """A connected socket.

    source: the address and port to come from. To come from one again, bind it the first time too (port 0 for a free
    one, for a port that ``connect`` chose may be shared), and end that connection with ``reset()``.
    """
    family, address = address_of(endpoint)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        if source is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(source)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def listens(endpoint: str) -> bool:
    """Whether somebody listens there. Who stops meanwhile resets whoever is just connecting."""
    with suppress(ConnectionRefusedError, ConnectionResetError), connect(endpoint):
        return True
    return False


class Peer:
    """One connection of plain ZMTP 3. As a context manager it closes at the end.

    commands, messages: what came while another thing was awaited.
    pongs: whether a PING that is met is answered.
    properties: what this side says of itself; theirs: what the other side said.
    """

    mechanism = b"NULL"
    as_server = 0

    def __init__(
        self,
        sock: socket.socket,
        *,
        socket_type: str = "DEALER",
        identity: bytes = b"",
        properties: Mapping[str, bytes] | None = None,
        minor: int = 0,
        pongs: bool = True,
        timeout: float = SECONDS,
    ) -> None:
        self.sock, self.minor, self.pongs = sock, minor, pongs
        if properties is None:
            properties = {"Socket-Type": socket_type.encode(), "Identity": identity}
        self.properties = dict(properties)
        self.theirs: dict[str, bytes] = {}
        self.commands: deque[tuple[bytes, bytes]] = deque()
        self.messages: deque[list[bytes]] = deque()
        self.parts: list[bytes] = []
        sock.settimeout(timeout)

    @classmethod
    def to(cls, endpoint: str, *, socket_type: str = "DEALER", timeout: float = SECONDS) -> Self:
        """A peer that connects."""
        return cls(connect(endpoint, timeout=timeout), socket_type=socket_type, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- octets ---

    def send_raw(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.sock.sendall(octets)

    def recv_exactly(self, size: int) -> bytes:
        """So many octets. Raises EOFError when the other side closed before, TimeoutError when they do not come."""
        octets = bytearray()
        while len(octets) < size:
            piece = self.sock.recv(min(size - len(octets), 1 << 20))
            if not piece:
                raise EOFError(f"closed after {len(octets)} of {size} octets")
            octets += piece
        return bytes(octets)

    def recv_until_closed(self, timeout: float = SECONDS) -> Ending:
        """Read away until the other side closes. Raises TimeoutError when it does not, whatever it sends."""
        octets, deadline, before = bytearray(), time.monotonic() + timeout, self.sock.gettimeout()
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.sock.settimeout(left)
                piece = self.sock.recv(1 << 16)
                if not piece:
                    return Ending(bytes(octets), reset=False)
                octets += piece
        except (ConnectionResetError, BrokenPipeError):
            return Ending(bytes(octets), reset=True)
        finally:
            self.sock.settimeout(before)
        raise TimeoutError(f"still open after {timeout} s and {len(octets)} octets")

    def hold(self) -> None:
        """Wait without reading until both directions are closed, by whomever."""
        poll = select.poll()
        poll.register(self.sock, 0)
        poll.poll()

    def finish(self) -> None:
        """Send FIN; what the other side still says can be read."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close, with FIN unless there is something unread."""
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # --- frames ---

    def send_frame(self, body: bytes, flags: int = COMMAND) -> None:
        """Send one frame, a command unless told otherwise."""
        self.send_raw(zmtp.frame(body, flags))

    def recv_frame(self) -> Frame:
        """The next frame."""
        header = self.recv_exactly(2)
        if header[0] & LONG:
            header += self.recv_exactly(7)
        return Frame(header[0] & ~LONG, self.recv_exactly(int.from_bytes(header[1:], "big")))

    def recv_handshake(self) -> bytes:
        """The body of the next handshake command. Raises Refused for ERROR, Malformed for what is no command."""
        flags, body = self.recv_frame()
        if flags != COMMAND:
            raise Malformed(f"a frame with flags {flags} in a handshake")
        if body.startswith(b"\x05ERROR"):
            raise Refused(zmtp.read_error(body))
        return body

    # --- the handshake ---

    def send_greeting(self) -> None:
        """Send an honest greeting."""
        self.send_raw(zmtp.greeting(self.mechanism, as_server=self.as_server, version=(3, self.minor)))

    def greeting(self) -> bytes:
        """Send a greeting, return the other side's 64 octets."""
        self.send_greeting()
        return self.recv_exactly(64)

    def send_ready(self, *, metadata: bytes | None = None) -> None:
        """Send NULL's READY. metadata: raw octets instead of ``properties``."""
        self.send_frame(zmtp.null_ready(zmtp.metadata(self.properties) if metadata is None else metadata))

    def recv_ready(self) -> dict[str, bytes]:
        """Take NULL's READY; the properties of the other side."""
        self.theirs = dict(zmtp.read_metadata(zmtp.part(self.recv_handshake(), b"READY", 6)))
        return self.theirs

    def handshake(self) -> Self:
        """All of it, in either role: NULL is symmetric."""
        self.greeting()
        self.send_ready()
        self.recv_ready()
        return self

    # --- traffic; a subclass has another seal and open ---

    def seal(self, data: bytes, *, more: bool = False, command: bool = False) -> bytes:
        """One part of a message, or a command's body, as its whole frame. Not sent yet."""
        return zmtp.frame(data, (MORE if more else 0) | (COMMAND if command else 0))

    def open(self, frame: Frame) -> tuple[bytes, bool, bool]:
        """Data, more and command of a frame."""
        return frame.body, bool(frame.flags & MORE), bool(frame.flags & COMMAND)

    def send(self, parts: Sequence[bytes]) -> None:
        """Send one message of these parts."""
        self.send_raw(b"".join(self.seal(part, more=at < len(parts)) for at, part in enumerate(parts, 1)))

    def send_command(self, name: bytes, data: bytes = b"") -> None:
        """Send one command, for example PING or SUBSCRIBE."""
        self.send_raw(self.seal(zmtp.command(name, data), command=True))

    def recv(self) -> list[bytes]:
        """The next message."""
        while not self.messages:
            self.advance()
        return self.messages.popleft()

    def recv_command(self) -> tuple[bytes, bytes]:
        """Name and data of the next command."""
        while not self.commands:
            self.advance()
        return self.commands.popleft()

    def ping(self, context: bytes = b"", ttl: int = 0) -> bytes:
        """Send PING, return the context that PONG brings back. Other commands before it are passed over."""
        self.send_raw(self.seal(zmtp.ping(context, ttl), command=True))
        while True:
            name, data = self.recv_command()
            if name == b"PONG":
                return data

    def advance(self) -> None:
        """Take one frame and put it where it belongs."""
        data, more, command = self.open(self.recv_frame())
        if command:
            name, body = zmtp.read_command(data)
            self.commands.append((name, body))
            if name == b"PING" and self.pongs:
                self.send_command(b"PONG", body[2:18])
            return
        self.parts.append(data)
        if not more:
            self.messages.append(self.parts)
            self.parts = []
