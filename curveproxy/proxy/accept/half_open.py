"""Half-open connections: accepted, and nothing proved. A dozen words each; no task, no buffer and no secret.

The handshake is a table: each row, a ``Unit``, tells how much of the octets to look at, how to measure them, and what
follows when a whole unit is there.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from attrs import frozen

from curveproxy.proxy.applying import Applicant, Applying
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.deadlines import Deadline
from curveproxy.proxy.net.reactor import GONE
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.wire import spec
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.security import Security, Version
from curveproxy.wire.sodium import randombytes
from curveproxy.wire.spec import Octets


class Gate(Protocol):
    """What a listener knows of a service."""

    @property
    def settings(self) -> ServiceSettings: ...

    @property
    def observer(self) -> Observer: ...

    def name_of(self, key: bytes) -> str:
        """The operator's name for a client, else its public key in Z85."""

    def objection(self, applicant: Applicant) -> RefusedError | None:
        """Why an applicant is not let in, as far as that is known at once."""

    def apply(self, applying: Applying) -> None:
        """Let an applicant in, or refuse it, in time."""

    @property
    def is_down(self) -> bool:
        """Whether the last dial has failed: clients wait, and cost nothing."""

    def allow_probes(self, now: float) -> int:
        """How many of those that wait may go on, to find out whether the service is up again."""

    def check_listener(self, now: float) -> None:
        """Look whether the service listens again, if it is time to."""

    def on_recovery(self, resume: Callable[[], None]) -> None:
        """Call this, and no other one any more, when the service is up again."""


class HalfOpenOwner(Protocol):
    """The admission, to its half-open connections."""

    def advance(self, half: "HalfOpen", *, gone: bool) -> None:
        """See how far the handshake can go. gone: the peer has closed."""

    def failed(self, half: "HalfOpen", error: Exception) -> None: ...


class HalfOpen(Deadline):
    """All that is known of one.

    unit: the row of the table that is due; mark: SO_RCVLOWAT as it stands, 0 before anything has been sent.
    gate: its service: the listener's first until HELLO tells.
    hello_nonce, server, minor: told by greeting and HELLO, needed at INITIATE.
    binding: binds its cookie to the connection where the system has no number for a socket.
    source: a number for where it comes from; claimed_address: what a load balancer says of that.
    """

    __slots__ = (
        "_owner",
        "binding",
        "claimed_address",
        "gate",
        "hello_nonce",
        "mark",
        "minor",
        "server",
        "socket",
        "source",
        "unit",
    )
    server: KeyPair
    hello_nonce: bytes

    def __init__(self, owner: HalfOpenOwner, sock: socket.socket, gate: Gate, unit: int, deadline: float) -> None:
        super().__init__(deadline)
        self._owner, self.socket, self.gate, self.unit = owner, sock, gate, unit
        self.mark = self.minor = 0
        self.binding: bytes | None = None
        self.source: int | None = None
        self.claimed_address: tuple[str, int] | None = None

    # --- what is learned of it

    def count_to(self, source: int) -> None:
        self.source = source

    def forwarded_for(self, address: tuple[str, int] | None) -> None:
        """A load balancer has told whose connection it is; the next unit is the first of the mechanism."""
        self.claimed_address, self.mark = address, 0
        sockets.set_mark(self.socket, 1)

    def greeted(self, minor: int) -> None:
        self.minor = minor

    def chose(self, gate: Gate, server: KeyPair, hello_nonce: bytes) -> None:
        """It wants this service, and was given this key of it."""
        self.gate, self.server, self.hello_nonce = gate, server, hello_nonce

    def cookie_binding(self) -> bytes:
        """What no other connection has."""
        number = sockets.number_of(self.socket)
        if number is None:
            number = self.binding = self.binding or randombytes(spec.LONG_NONCE)
        return number

    # --- its socket

    def peek(self, view: memoryview, most: int) -> int | None:
        """How many octets are there, copied into ``view``; None where there are none yet. Raises OSError."""
        try:
            return self.socket.recv_into(view, most, socket.MSG_PEEK)
        except BlockingIOError:
            return None

    def wait(self, mark: int, opening: bytes) -> None:
        """Be ready when so many octets are there. opening: is sent the first time. Raises OSError."""
        if opening and not self.mark:
            self.socket.send(opening)  # a fresh socket takes it whole
        if mark != max(self.mark, 1):
            sockets.set_mark(self.socket, mark)
        self.mark = mark

    def take(self, view: memoryview, size: int) -> None:
        """Take a unit out of the socket: the next one is due. Raises OSError."""
        self.socket.recv_into(view, size)
        self.unit += 1

    def answer(self, octets: bytes) -> None:
        """Answer a unit. So little always fits. Raises OSError."""
        self.socket.send(octets)

    # --- as a handler

    def ready(self, events: int) -> None:
        self._owner.advance(self, gone=bool(events & GONE))

    def resume(self) -> None:
        self._owner.advance(self, gone=False)

    def failed(self, error: Exception) -> None:
        self._owner.failed(self, error)


@frozen
class Authenticated:
    """The end of a handshake but for the answer, which comes when the service has been reached.

    ready: makes the last frame of the handshake, of our metadata.
    """

    key: bytes
    server_key: bytes
    metadata: Mapping[str, bytes]
    version: Version
    security: Security
    ready: Callable[[Mapping[str, bytes]], bytes]


@frozen
class Unit:
    """One row of the table.

    most: how many octets to look at.
    measure: of what has come, (mark, begin, end): how many octets there must be before there is more to say, and, once
        mark is no more than there are, where the body is. Raises PeerError.
    take: what follows: the end of the handshake, or None for the next unit. Raises PeerError, RefusedError, OSError.
    opening: is sent when the unit is not whole at once.
    waits_for_service: the unit is not taken while the service is down.
    """

    most: int
    measure: Callable[[Octets], tuple[int, int, int]]
    take: Callable[[HalfOpen, bytes], Authenticated | None]
    opening: bytes = b""
    waits_for_service: bool = False


class Mechanism(Protocol):
    """The listening side of a security mechanism (RFC 23)."""

    def configure(self, gates: Sequence[Gate]) -> None:
        """Take the settings of the services behind the listener; the first one's hold before HELLO."""

    @property
    def units(self) -> Sequence[Unit]:
        """The units of its handshake, in their order, behind one that is the admission's."""

    def error(self, reason: str) -> bytes:
        """The frame that tells a peer why it is refused."""
