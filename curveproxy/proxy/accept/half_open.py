"""Half-open connections: accepted, and no key proved. Each is a dozen words, without a task, a buffer or a secret.

A handshake is a table. Each row is a ``Unit``: how many octets to peek at, how to measure them, and what to do when
the whole unit has come.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from attrs import frozen

from curveproxy.policy.access.terms import Grant
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
    """A service, as its listener knows it."""

    @property
    def settings(self) -> ServiceSettings: ...

    @property
    def observer(self) -> Observer: ...

    def name_of(self, applicant: Applicant) -> str:
        """The operator's name for a client, else its public key in Z85; of one without a key its user or address."""

    def judge(self, applicant: Applicant) -> Grant | RefusedError:
        """On what grounds an applicant may come in, as far as is known yet; or why it may not."""

    def apply(self, applying: Applying) -> None:
        """Take over an applicant: it is let in or refused later."""

    @property
    def is_down(self) -> bool:
        """Whether the last dial has failed: clients wait, and cost nothing."""

    def allow_probes(self, now: float) -> int:
        """How many parked connections may go on now, to find out whether the service is up again."""

    def check_listener(self, now: float) -> None:
        """Check whether somebody listens at the service's endpoint, at most once a second."""

    def on_recovery(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` whenever the service is up again. It replaces the callback of before."""


class HalfOpenOwner(Protocol):
    """The admission, to its half-open connections."""

    def advance(self, half: "HalfOpen", *, gone: bool) -> None:
        """Take the units of the handshake that have come. gone: the peer has closed."""

    def failed(self, half: "HalfOpen", error: Exception) -> None: ...


class HalfOpen(Deadline):
    """One half-open connection, and all that is known of it.

    unit: the index of the row that is due; mark: the value of SO_RCVLOWAT, 0 until it has been waited for octets.
    gate: its service; until HELLO names one, the first of the listener.
    noted: a number that a unit keeps for later ones; server, hello_nonce: learned from HELLO, needed at INITIATE.
    binding: ties its cookie to the connection where the system gives sockets no number.
    source: a number for the address that it comes from; claimed_address: as a load balancer says.
    """

    __slots__ = (
        "_owner",
        "binding",
        "claimed_address",
        "gate",
        "hello_nonce",
        "mark",
        "noted",
        "server",
        "socket",
        "source",
        "unit",
    )
    server: KeyPair
    hello_nonce: bytes

    def __init__(self, owner: HalfOpenOwner, sock: socket.SocketType, gate: Gate, unit: int, deadline: float) -> None:
        super().__init__(deadline)
        self._owner, self.socket, self.gate, self.unit = owner, sock, gate, unit
        self.mark = self.noted = 0
        self.binding: bytes | None = None
        self.source: int | None = None
        self.claimed_address: tuple[str, int] | None = None

    # --- what is learned from it

    def count_to(self, source: int) -> None:
        self.source = source

    def forwarded_for(self, address: tuple[str, int] | None) -> None:
        """A load balancer has named the client's address; the mechanism's first unit is next."""
        self.expect_any()
        self.claimed_address, self.mark = address, 0

    def note(self, number: int) -> None:
        """Keep a number for later units; there is room for one."""
        self.noted = number

    def chose(self, gate: Gate, server: KeyPair, hello_nonce: bytes) -> None:
        """HELLO was made for this service, with this server key."""
        self.gate, self.server, self.hello_nonce = gate, server, hello_nonce

    def cookie_binding(self) -> bytes:
        """Octets that no other connection has."""
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

    def wait(self, have: int, mark: int, opening: bytes) -> None:
        """Be ready when ``mark`` octets are there, of which it has some. opening: is sent the first time.

        The first octet of a unit wakes us: whoever sends its units whole costs no mark. Of libzmq's greeting a part is
        there at accept, of which the reactor would tell again. Raises OSError.
        """
        if opening and not self.mark:
            self.socket.send(opening)  # a fresh socket takes it whole
        self._set_mark(mark if have else 1)

    def expect_any(self) -> None:
        """Be ready at any octet. Raises OSError."""
        self._set_mark(1)

    def _set_mark(self, mark: int) -> None:
        if mark != (self.mark or 1):
            sockets.set_mark(self.socket, mark)
        self.mark = mark

    def take(self, view: memoryview, size: int) -> None:
        """Take a unit out of the socket: the next one is due. Raises OSError."""
        self.socket.recv_into(view, size)
        self.unit += 1

    def go_to(self, unit: int) -> None:
        """Another unit is due than the next: the handshake has branches."""
        self.unit = unit

    def answer(self, octets: bytes) -> None:
        """Answer a unit. The send buffer always has room for so little. Raises OSError."""
        self.socket.send(octets)

    # --- as a handler

    def ready(self, events: int) -> None:
        self._owner.advance(self, gone=bool(events & GONE))

    def resume(self) -> None:
        self._owner.advance(self, gone=False)

    def failed(self, error: Exception) -> None:
        self._owner.failed(self, error)


class Authenticated(NamedTuple):
    """A handshake that is complete but for its last frame, which is sent when the service has been reached.

    ready: makes that frame from metadata, and tells what the messages behind it are like.
    has_records: those are records.
    skip: octets of the peer's handshake that come behind that frame, and say nothing.
    """

    key: bytes
    server_key: bytes
    metadata: Mapping[str, bytes]
    version: Version
    ready: Callable[[Mapping[str, bytes]], tuple[bytes, Security]]
    skip: int = 0
    has_records: bool = False


@frozen
class Unit:
    """One row of the table.

    most: how many octets to peek at.
    measure: judges the octets that have come. Returns (mark, begin, end): wait until there are ``mark`` octets; when
        there are, the body is at begin to end. Raises PeerError.
    take: handles the body. Returns the end of the handshake, or None when another unit follows. Raises PeerError,
        RefusedError and OSError.
    opening: octets to send when the unit has not come at once.
    waits_for_service: the unit is left in the kernel while the service is down.
    """

    most: int
    measure: Callable[[Octets], tuple[int, int, int]]
    take: Callable[[HalfOpen, bytes], Authenticated | None]
    opening: bytes = b""
    waits_for_service: bool = False


class Mechanism(Protocol):
    """The listening side of a security mechanism (RFC 23)."""

    def configure(self, gates: Sequence[Gate]) -> None:
        """Take the settings of the services behind the listener. Before HELLO those of the first one hold."""

    @property
    def units(self) -> Sequence[Unit]:
        """The units of its handshake in their order. The admission puts one of its own before them."""

    def error(self, reason: str) -> bytes:
        """The frame that tells a peer why it is refused."""
