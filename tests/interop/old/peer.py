"""Real ZeroMQ sockets of an old library, in a process of its own: it aborts where a new one returns an error.

``with OldLibrary(command) as old`` is one such process; its sockets speak with the names of pyzmq's, so that a test
need not know which of the two it has. The process, ``driver.py`` or ``Driver.java``, is driven by lines of words, with
octets in hexadecimal behind an x. Each line on stdin is a request:

    open TYPE                         make a socket; its number
    set NUMBER OPTION OCTETS          set an option
    bind NUMBER ENDPOINT
    connect NUMBER ENDPOINT
    send NUMBER MILLISECONDS OCTETS...
    receive NUMBER MILLISECONDS       the octets of each part

and each is answered by one on stdout: ``ok`` and what is asked for, ``again`` when the time is over, or ``error`` and
what the library says. It ends with its stdin.
"""

import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Self

import zmq
from support.curve import Keys
from support.peer import SECONDS

PATIENCE = int(SECONDS * 1000)


class OldLibraryError(Exception):
    """What the library says."""


class OldSocket:
    """One socket. Sending and receiving raise zmq.Again after SECONDS."""

    def __init__(self, library: "OldLibrary", kind: int, number: str) -> None:
        self.library, self.type, self.number = library, kind, number
        self.received: list[list[bytes]] = []  # what poll has taken from the library

    def setsockopt(self, option: int, value: bytes) -> None:
        """Set an option whose value is octets."""
        self.library.ask("set", self.number, option, value)

    def send_multipart(self, parts: Sequence[bytes]) -> None:
        """Send one message."""
        self.library.ask("send", self.number, PATIENCE, *parts)

    def recv_multipart(self) -> list[bytes]:
        """The next message."""
        if not self.poll(PATIENCE):
            raise zmq.Again
        return self.received.pop()

    def poll(self, milliseconds: int) -> bool:
        """Whether there is a message within this time."""
        if not self.received:
            try:
                words = self.library.ask("receive", self.number, milliseconds)
            except zmq.Again:
                return False
            self.received.append([bytes.fromhex(word[1:]) for word in words])
        return True


class OldLibrary:
    """A process and its sockets. command: how to start it."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                status = self.process.wait(SECONDS)
            finally:
                self.process.kill()
        assert status == 0 or kind is not None

    def ask(self, *request: object) -> list[str]:
        """Send a request; what is answered. Raises zmq.Again, and OldLibraryError with what the library says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        words = (f"x{word.hex()}" if isinstance(word, bytes) else str(word) for word in request)
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 2 * SECONDS)  # a call waits no longer than SECONDS
        line = self.process.stdout.readline() if ready else ""
        assert line, "the library has aborted, or does not answer"
        verdict, *rest = line.split()
        if verdict == "again":
            raise zmq.Again
        if verdict != "ok":
            raise OldLibraryError(" ".join(rest))
        return rest

    def socket(self, kind: int) -> OldSocket:
        """A socket neither bound nor connected."""
        [number] = self.ask("open", int(kind))
        return OldSocket(self, kind, number)

    def bind(self, kind: int, endpoint: str, *, server: Keys | None = None) -> OldSocket:
        """A bound socket. server: its keys, which make it a CURVE server."""
        sock = self.socket(kind)
        if server is not None:
            sock.setsockopt(zmq.CURVE_SERVER, (1).to_bytes(4, sys.byteorder))
            sock.setsockopt(zmq.CURVE_SECRETKEY, server.secret)
        self.ask("bind", sock.number, endpoint)
        return sock

    def connect(self, kind: int, endpoint: str, *, server: bytes | None = None, keys: Keys | None = None) -> OldSocket:
        """A connected socket. server: the server's public key, which makes it a CURVE client, keys: its own."""
        sock = self.socket(kind)
        if server is not None:
            keys = keys or Keys.new()
            sock.setsockopt(zmq.CURVE_SERVERKEY, server)
            sock.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            sock.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        self.ask("connect", sock.number, endpoint)
        return sock
