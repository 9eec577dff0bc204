"""A plain ZMTP 3 service behind the proxy: an honest one that echoes, or one that does what no service should.

``with RawService(echo) as service`` serves every connection in a thread of its own by that behaviour;
``with RawService() as service`` waits to be driven: ``service.accept()`` gives the next connection.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from support import zmtp
from support.peer import SECONDS, Peer, address_of

Behaviour = Callable[[Peer], None]


def echo(peer: Peer) -> None:
    """Send every message back."""
    peer.handshake()
    while True:
        peer.send(peer.recv())


def sink(peer: Peer) -> None:
    """Take everything, say nothing."""
    peer.handshake()
    while True:
        peer.recv()
        peer.messages.clear()


def silent(peer: Peer) -> None:
    """Accept, and never a word."""
    peer.hold()


def garbage(peer: Peer) -> None:
    """Answer in another protocol."""
    peer.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(64))
    peer.hold()


def closes_at_once(peer: Peer) -> None:
    """Accept and close."""


def closes_after_greeting(peer: Peer) -> None:
    """Greet and close."""
    peer.greeting()


def wrong_mechanism(peer: Peer) -> None:
    """Greet with PLAIN."""
    peer.send_raw(zmtp.greeting(b"PLAIN", as_server=1))
    peer.hold()


def never_ready(peer: Peer) -> None:
    """Greet, and never send READY."""
    peer.greeting()
    peer.hold()


def malformed_ready(peer: Peer) -> None:
    """Send a READY whose metadata is cut."""
    peer.greeting()
    peer.send_ready(metadata=zmtp.metadata(peer.properties)[:-1])
    peer.hold()


def answers_error(peer: Peer) -> None:
    """Refuse with NULL's ERROR."""
    peer.greeting()
    peer.send_frame(zmtp.error(b"400"))
    peer.hold()


def wrong_socket_type(peer: Peer) -> None:
    """Say PUB, which no DEALER may talk to, then close: so does libzmq."""
    peer.greeting()
    peer.send_ready(metadata=zmtp.metadata({"Socket-Type": b"PUB"}))
    peer.recv_ready()


def closes_after_ready(peer: Peer) -> None:
    """Be ready and close."""
    peer.handshake()


def resets_after_ready(peer: Peer) -> None:
    """Be ready and reset."""
    peer.handshake()
    peer.reset()


def never_reads(peer: Peer) -> None:
    """Be ready, then leave everything in the kernel."""
    peer.handshake()
    peer.hold()


def sends_endlessly(peer: Peer) -> None:
    """Send messages of 64 KiB for as long as they are taken."""
    peer.handshake()
    while True:
        peer.send([b"x" * 65536])


def closes_inside_a_message(peer: Peer) -> None:
    """Send a part with MORE and half of the next one, then close."""
    peer.handshake()
    peer.send_raw(peer.seal(b"first", more=True) + peer.seal(b"second")[:4])


class RawService:
    """A listener that hands each of its connections to a behaviour.

    endpoint: where it listens; port 0 becomes a free one.
    accepted: all connections that ever came; an honest proxy dials only for clients that are allowed.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        endpoint: str = "tcp://127.0.0.1:0",
        socket_type: str = "ROUTER",
        minor: int = 0,
        peer: type[Peer] = Peer,
        timeout: float = SECONDS,
    ) -> None:
        family, address = address_of(endpoint)
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        self.listener.listen(256)
        self.path = address if isinstance(address, str) and not address.startswith("\0") else None
        if not isinstance(address, str):
            host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
            endpoint = f"tcp://{host}:{self.listener.getsockname()[1]}"
        self.endpoint, self.behaviour, self.socket_type = endpoint, behaviour, socket_type
        self.minor, self.peer, self.timeout = minor, peer, timeout
        self.accepted: list[Peer] = []
        self.errors: list[Exception] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        if self.behaviour is not None:
            self.start(self.accept_all)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def accept(self, timeout: float | None = SECONDS) -> Peer:
        """The next connection, nothing said yet. Raises TimeoutError when none comes."""
        self.listener.settimeout(timeout)
        sock, _ = self.listener.accept()
        peer = self.peer(sock, socket_type=self.socket_type, minor=self.minor, timeout=self.timeout)
        self.accepted.append(peer)
        return peer

    def close(self) -> None:
        """Stop listening, close every connection, wait for the threads."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        for thread in self.threads[:1]:
            thread.join(SECONDS)
        self.listener.close()
        self.close_connections()
        for thread in self.threads:
            thread.join(SECONDS)
        if self.path is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.path)

    def close_connections(self) -> None:
        """Close every connection, as a service does that is restarted; the listener stays."""
        for peer in self.accepted:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
            if self.behaviour is None:
                peer.close()

    def start(self, job: Callable[[], None]) -> None:
        """Run a job in a thread."""
        self.threads.append(threading.Thread(target=job, daemon=True))
        self.threads[-1].start()

    def accept_all(self) -> None:
        """Serve whoever comes, until the listener is closed."""
        with suppress(OSError):
            while True:
                peer = self.accept(None)
                self.start(lambda peer=peer: self.serve(peer))  # type: ignore[misc]

    def serve(self, peer: Peer) -> None:
        """One connection, from accept to close. That the other side goes is no error."""
        assert self.behaviour is not None
        try:
            with peer:
                peer.sock.settimeout(None)  # a service waits for its client; close() wakes it
                self.behaviour(peer)
        except (OSError, EOFError):
            pass
        except Exception as error:
            self.errors.append(error)
