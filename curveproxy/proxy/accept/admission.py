"""Admission: from accept to a vouched and allowed client, with no task, no buffer and no secret for a stranger.

The operating system keeps the octets (MSG_PEEK, SO_RCVLOWAT), the client keeps the secrets (the cookie), and the
queue of the half-open keeps the deadlines. What is left to us is a ``HalfOpen``: a dozen words.
"""

import random
import socket
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

import trio

from curveproxy.policy.metadata import is_probe, is_safe_identity
from curveproxy.policy.sources import SourceLimits
from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.outcomes import OUTCOMES
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.deadlines import Deadline, DeadlineQueue
from curveproxy.proxy.net.reactor import GONE, Reactor
from curveproxy.proxy.settings import RefusalMode
from curveproxy.reasons import Outcome
from curveproxy.wire import proxy_protocol, spec
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import PeerError
from curveproxy.wire.proxy_protocol import Address
from curveproxy.wire.sodium import randombytes
from curveproxy.wire.zmtp.greeting import MAJOR_END, MINOR_AT, check_client_untrusted
from curveproxy.wire.zmtp.metadata import find

if TYPE_CHECKING:
    from curveproxy.proxy.accept.listener import Listener
    from curveproxy.proxy.service import Service

# What is said at accept. Our mechanism comes only after the client's: libzmq leaves without a word when it sees one
# that is not its own, and nobody would ever know that this client has no CURVE. Two libzmq do no better in round trips.
OPENING = curve_server.GREETING[:MAJOR_END]

# A client that was told ERROR may read it before we close; so many at once, then the oldest closes early, and so it
# does for want of a descriptor: in the account they stand with the strangers.
FAREWELL_SECONDS = 1.0
FAREWELLS = 256

# What waiting does not change is told to the client, and libzmq then gives up for ever; after anything else it may come
# again: whoever has its identity may leave, a limit or a shutdown passes.
FINAL = frozenset({Outcome.CLIENT_UNKNOWN, Outcome.METADATA, Outcome.SOCKET_TYPE})

# The others are ours, or nobody's.
OWN_FAULT = frozenset(Outcome) - {
    Outcome.ADMITTED,
    Outcome.IDENTITY_IN_USE,
    Outcome.BACKEND_UNAVAILABLE,
    Outcome.SOURCE_LIMIT,
    Outcome.SESSIONS_LIMIT,
    Outcome.CLIENT_SESSIONS_LIMIT,
    Outcome.SERVICE_BUSY,
    Outcome.EVICTED,
    Outcome.PROBE,
    Outcome.SHUTDOWN,
    Outcome.INTERNAL,
}

# What the largest header of a frame adds to the largest INITIATE.
_UNIT_ROOM = spec.LONG_HEADER


class Stage(IntEnum):
    """What a stranger owes us."""

    BALANCER = 0  # the header by which a load balancer tells whose connection it is
    GREETING = 1
    HELLO = 2
    HELD = 3  # nothing: its HELLO is here, and waits for a backend that is down
    CHOSEN = 4  # nothing: it was held, and goes on to find out whether the backend is up again
    INITIATE = 5


class HalfOpen(Deadline):
    """A half-open connection: all that we know of it.

    mark: SO_RCVLOWAT as it stands; 0 at accept, before anything has been said.
    service: whose it is: the door's first, until HELLO tells.
    hello_nonce, server, minor: told by greeting and HELLO, needed at INITIATE.
    binding: what binds its cookie where the system has no number for a socket.
    told: whose connection it is, as a load balancer says.
    """

    __slots__ = (
        "admission",
        "binding",
        "hello_nonce",
        "mark",
        "minor",
        "server",
        "service",
        "socket",
        "source",
        "stage",
        "told",
    )
    server: KeyPair
    hello_nonce: bytes

    def __init__(self, admission: "Admission", sock: socket.socket, deadline: float) -> None:
        super().__init__(deadline)
        self.admission, self.socket = admission, sock
        self.source: int | None = None
        self.service = admission.door.first
        self.stage, self.mark, self.minor = Stage.GREETING, 0, 0
        self.binding: bytes | None = None
        self.told: Address | None = None

    def ready(self, events: int) -> None:
        if self in self.admission.half_open:
            self.admission.look(self, gone=bool(events & GONE))

    def resume(self) -> None:
        self.ready(0)

    def failed(self, error: Exception) -> None:
        self.admission.failed(self, error)


class LingeringClose(Deadline):
    """A socket that was told ERROR and half-closed: read away until its peer closes too, else ERROR may be lost."""

    __slots__ = ("_admission", "socket")

    def __init__(self, admission: "Admission", sock: socket.socket, deadline: float) -> None:
        super().__init__(deadline)
        self._admission, self.socket = admission, sock

    def ready(self, events: int) -> None:
        if events & GONE or not self._read_away():
            self._admission.part(self)

    def _read_away(self) -> bool:
        try:
            return bool(self.socket.recv(spec.SHORT_BODY_MAX << 8))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def failed(self, error: Exception) -> None:
        self._admission.part(self)
        self._admission.door.first.observer.unexpected(error)


class Admission:
    """The half-open connections of one door.

    make_room: ends one of the strangers of all doors, when it is descriptors that are short.
    """

    def __init__(
        self,
        door: "Listener",
        reactor: Reactor,
        cookies: CookieKeys,
        transient_keys: TransientKeys,
        descriptors: Capacity,
        make_room: Callable[[], bool],
    ) -> None:
        self.door = door
        self._descriptors, self._make_room = descriptors, make_room
        self.half_open: DeadlineQueue[HalfOpen] = DeadlineQueue(descriptors.strangers)
        self._reactor, self._cookies, self._transient_keys = reactor, cookies, transient_keys
        limits = door.first.settings.admission
        self._sources = SourceLimits[HalfOpen](limits.max_half_open_per_source, limits.handshakes_per_second_per_source)
        self.configure()
        self._held: dict[HalfOpen, None] = {}
        self._farewells: DeadlineQueue[LingeringClose] = DeadlineQueue(descriptors.strangers)

    def configure(self) -> None:
        """Take the settings of the door's first service, for all who stand here too."""
        self._settings = self.door.first.settings.admission
        self._sources.configure(
            self._settings.max_half_open_per_source, self._settings.handshakes_per_second_per_source
        )
        self._balancers = self.door.first.settings.proxy_protocol_from
        self._largest = max(self._settings.max_initiate_bytes + _UNIT_ROOM, proxy_protocol.MOST)
        self._receive_buffer = max(sockets.STRANGER_RECEIVE_BUFFER, 2 * self._largest)
        self._view = memoryview(bytearray(self._largest))

    # --- coming and going

    def enter(self, sock: socket.socket, address: object) -> None:
        """Take a connection in from the listener: greet it and let it wait, or close it."""
        observer, now = self.door.first.observer, trio.current_time()
        observer.accepted()
        source = None if (is_balancer := self._is_balancer(address)) else sockets.source_of(sock, address)
        if source is not None and (objection := self._sources.check_rate(source, now)):
            observer.refused(Outcome.SOURCE_LIMIT, sockets.peer_text(sock, source), objection)
            sock.close()
            return
        while len(self.half_open) >= self._settings.max_half_open and self._evict_oldest():
            pass
        while self._descriptors.are_short and self._make_room():
            pass
        stranger = HalfOpen(self, sock, now + self._settings.handshake_seconds)
        stranger.stage = Stage.BALANCER if is_balancer else Stage.GREETING
        self.half_open.append(stranger)
        if source is not None:
            self._count_to(source, stranger)
        try:
            sockets.prepare_stranger(sock, self._receive_buffer)
            self._reactor.register(sock.fileno(), stranger)
        except OSError as error:
            if error.errno in sockets.EXHAUSTED:
                self.refuse(stranger, Outcome.SESSIONS_LIMIT, sockets.EXHAUSTED[error.errno])
            else:
                self.failed(stranger, error)
            return
        self.look(stranger, gone=False)  # many have sent their greeting by now, and have ours in one piece

    def _is_balancer(self, address: object) -> bool:
        """Whether whoever comes from there tells first whose connection it is. It is no source itself."""
        return isinstance(address, tuple) and any(address[0] in network for network in self._balancers)

    def _count_to(self, source: int, stranger: HalfOpen) -> None:
        """It is one of this source's from now on, whose oldest goes if they are too many."""
        stranger.source = source
        if (oldest := self._sources.acquire(source, stranger)) is not None:
            self.refuse(oldest, Outcome.SOURCE_LIMIT, "the oldest of its source: max_half_open_per_source")

    @property
    def held(self) -> int:
        """How many descriptors its strangers hold, those included who were told ERROR."""
        return len(self.half_open) + len(self._farewells)

    def evict(self) -> bool:
        """Free a descriptor: of who has its ERROR already, else of the oldest stranger. False when there is none."""
        if (farewell := self._farewells.oldest) is not None:
            self.part(farewell)
            return True
        return self._evict_oldest()

    def _evict_oldest(self) -> bool:
        """Let the oldest go to make room. An honest client needs a few round trips, an attacker waits."""
        oldest = self.half_open.oldest
        if oldest is None:
            return False
        self.refuse(oldest, Outcome.EVICTED)
        return True

    def refuse(
        self, stranger: HalfOpen, outcome: Outcome, detail: str = "", initiate: curve_server.Initiate | None = None
    ) -> None:
        """End a handshake. initiate: what it has said, and proved its key by."""
        sock = self._forget(stranger)
        if stranger.source is not None and outcome in OWN_FAULT:
            self._sources.record_failure(stranger.source, trio.current_time())
        peer = sockets.peer_text(sock, stranger.source, stranger.told)
        self.turn_away(stranger.service, sock, peer, outcome, detail, initiate)

    def turn_away(
        self,
        service: "Service",
        sock: socket.socket,
        peer: str,
        outcome: Outcome,
        detail: str,
        initiate: curve_server.Initiate | None,
    ) -> None:
        """Tell the observer, tell the client if it is to know, and close.

        A probe, which has proved its key, is told why; one whose key is not on the list hears no more than others.
        """
        service.observer.refused(outcome, peer, detail, service.name_of(initiate.client) if initiate else "")
        if initiate is not None and is_probe(initiate.properties) and outcome != Outcome.CLIENT_UNKNOWN:
            self._bid_farewell(sock, outcome)
        elif outcome in FINAL and service.settings.refusal == RefusalMode.ERROR:
            self._bid_farewell(sock, "400")
        else:
            sock.close()

    def failed(self, stranger: HalfOpen, error: Exception) -> None:
        stranger.service.observer.unexpected(error)
        if stranger in self.half_open:
            self.refuse(stranger, Outcome.INTERNAL)

    def close(self) -> None:
        """Nobody else is taken in: the door is closed."""
        while (oldest := self.half_open.oldest) is not None:
            self.refuse(oldest, Outcome.SHUTDOWN)
        while (farewell := self._farewells.oldest) is not None:
            self.part(farewell)

    def _forget(self, stranger: HalfOpen) -> socket.socket:
        """Everything but the socket itself."""
        self._reactor.unregister(stranger.socket.fileno())
        self.half_open.remove(stranger)
        if stranger.source is not None:
            self._sources.release(stranger.source, stranger)
        self._held.pop(stranger, None)
        return stranger.socket

    def _bid_farewell(self, sock: socket.socket, reason: str) -> None:
        try:
            sock.send(curve_server.error(reason))
            sock.shutdown(socket.SHUT_WR)
            sockets.set_mark(sock, 1)
            farewell = LingeringClose(self, sock, trio.current_time() + FAREWELL_SECONDS)
            self._reactor.register(sock.fileno(), farewell)
        except OSError:  # it has gone, or the system can watch no more descriptors: it was refused all the same
            sock.close()
            return
        if len(self._farewells) == FAREWELLS and (oldest := self._farewells.oldest) is not None:
            self.part(oldest)
        self._farewells.append(farewell)

    def part(self, farewell: LingeringClose) -> None:
        self._farewells.remove(farewell)
        self._reactor.unregister(farewell.socket.fileno())
        farewell.socket.close()

    def expire(self, now: float) -> None:
        """Refuse who is late; see whether those who wait for a backend may go on."""
        while (late := self.half_open.due(now)) is not None:
            held = late.stage == Stage.HELD
            self.refuse(late, Outcome.BACKEND_UNAVAILABLE if held else Outcome.TIMEOUT)
        while (farewell := self._farewells.due(now)) is not None:
            self.part(farewell)
        if self._held:
            self._try_backends(now)

    # --- the handshake

    def look(self, stranger: HalfOpen, gone: bool) -> None:
        """See what is there, and go as far as it reaches.

        The order of what is checked is the defence: size and words before anything is read, one curve operation
        before anything is promised, and a proof of who it is before anything is dialled.
        """
        try:
            while self._step(stranger, gone):
                pass
        except PeerError as error:
            self.refuse(stranger, OUTCOMES[error.fault], error.detail)
        except RefusedError as error:
            self.refuse(stranger, error.outcome, error.detail)
        except OSError:
            self._peer_gone(stranger)

    def _step(self, stranger: HalfOpen, gone: bool) -> bool:
        """Take one unit of the handshake if it is whole. False when the stranger is no longer, or must wait."""
        if stranger.stage == Stage.HELD:
            if gone:
                self.refuse(stranger, Outcome.PEER_CLOSED)
            return False
        largest = self._largest if stranger.stage == Stage.INITIATE else spec.HELLO_SIZE + _UNIT_ROOM + 1
        if stranger.stage == Stage.BALANCER:
            largest = proxy_protocol.MOST
        elif stranger.stage == Stage.GREETING:
            largest = spec.GREETING_SIZE
        try:
            have = stranger.socket.recv_into(self._view, largest, socket.MSG_PEEK)
        except BlockingIOError:
            have = 0
        else:
            gone = gone or not have
        seen = self._view[:have]
        begin, end = 0, spec.GREETING_SIZE
        if stranger.stage == Stage.BALANCER:
            mark = end = proxy_protocol.header_mark_untrusted(seen)
        elif stranger.stage == Stage.GREETING:
            mark = check_client_untrusted(seen)
        elif stranger.stage == Stage.INITIATE:
            mark, begin, end = curve_server.initiate_mark_untrusted(seen, self._settings.max_initiate_bytes)
        else:
            mark, begin, end = curve_server.hello_mark_untrusted(seen)
            if have > end >= mark:  # nobody can say INITIATE yet: this one fills the kernel's memory
                raise RefusedError(Outcome.COMMAND, "more than HELLO has come, before WELCOME")
        if have < mark:
            if gone:
                self._peer_gone(stranger, have)
            else:
                if stranger.stage == Stage.GREETING and not stranger.mark:
                    stranger.socket.send(OPENING)  # a fresh socket takes it whole
                if mark != max(stranger.mark, 1):
                    sockets.set_mark(stranger.socket, mark)
                stranger.mark = mark
            return False
        if stranger.stage == Stage.HELLO and self._all_are_down:
            if gone:
                self._peer_gone(stranger, have)
                return False
            stranger.stage = Stage.HELD
            self._held[stranger] = None
            return False
        body = bytes(seen[begin:end])
        stranger.socket.recv_into(self._view, end)
        if stranger.stage == Stage.BALANCER:
            self._forwarded(stranger, body)
        elif stranger.stage == Stage.GREETING:
            stranger.minor = body[MINOR_AT]
            stranger.stage = Stage.HELLO
            stranger.socket.send(curve_server.GREETING[MAJOR_END:] if stranger.mark else curve_server.GREETING)
        elif stranger.stage == Stage.INITIATE:
            self._initiate(stranger, body)
            return False
        else:
            self._hello(stranger, body)
        return True

    def _forwarded(self, stranger: HalfOpen, header: bytes) -> None:
        """A balancer has told whose connection it is: that is the source which it counts to."""
        sock, stranger.told = stranger.socket, proxy_protocol.read_header_untrusted(header)
        if stranger.told is not None:
            source = sockets.source_of(sock, stranger.told)
            if source is not None:
                if objection := self._sources.check_rate(source, trio.current_time()):
                    raise RefusedError(Outcome.SOURCE_LIMIT, objection)
                self._count_to(source, stranger)
        sockets.set_mark(sock, 1)
        stranger.stage, stranger.mark = Stage.GREETING, 0

    def _hello(self, stranger: HalfOpen, body: bytes) -> None:
        hello = curve_server.read_hello_untrusted(body, self.door.keys)
        key = self._cookies.current(self._binding(stranger))
        chance = randombytes(2 * spec.LONG_NONCE)
        welcome = curve_server.welcome(
            hello, self._transient_keys.take(), key, chance[: spec.LONG_NONCE], chance[spec.LONG_NONCE :]
        )
        stranger.service = self.door.keys[hello.server]
        stranger.server, stranger.hello_nonce = hello.server, hello.nonce
        stranger.stage = Stage.INITIATE
        stranger.socket.send(welcome)  # 170 octets behind a greeting of 64: it always fits

    def _initiate(self, stranger: HalfOpen, body: bytes) -> None:
        keys = self._cookies.good(self._binding(stranger))
        initiate = curve_server.read_initiate_untrusted(body, stranger.server, keys, stranger.hello_nonce)
        if not is_safe_identity(find(initiate.properties, "Identity")):
            raise RefusedError(Outcome.METADATA, "the identity is too long or begins with a zero octet")
        try:
            stranger.service.check(initiate)
            stranger.service.check_room()
        except RefusedError as error:
            self.refuse(stranger, error.outcome, error.detail, initiate)
            return
        if stranger.source is not None:
            self._sources.record_success(stranger.source)
        accepted_at = stranger.deadline - self._settings.handshake_seconds
        peer = sockets.peer_text(stranger.socket, stranger.source, stranger.told)
        stranger.service.dial(self._forget(stranger), peer, initiate, stranger.server, stranger.minor, accepted_at)

    def _binding(self, stranger: HalfOpen) -> bytes:
        number = sockets.number_of(stranger.socket)
        if number is None:
            number = stranger.binding = stranger.binding or randombytes(16)
        return number

    def _peer_gone(self, stranger: HalfOpen, have: int = 0) -> None:
        silent = stranger.stage <= Stage.GREETING and not have and stranger.mark <= 1
        self.refuse(stranger, Outcome.PROBE if silent else Outcome.PEER_CLOSED)

    # --- a backend that is down

    @property
    def _all_are_down(self) -> bool:
        """Which backend a stranger wants is not known yet: one that is well is reason enough to go on."""
        return all(service.backend.breaker.is_open for service in self.door.services)

    def backend_is_up(self) -> None:
        """Those who waited for a backend go on, in the turns of the reactor."""
        for stranger in self._held:
            self._let_go_on(stranger, Stage.HELLO)
        self._held.clear()

    def _try_backends(self, now: float) -> None:
        """Look for a service, or let some of those who wait go on, drawn by lot so that none can hog the trials."""
        if not self._all_are_down:  # it is another service by now, which nobody has dialled
            self.backend_is_up()
        for service in self.door.services:
            service.backend.look(now, self.backend_is_up)
        if many := max(service.backend.breaker.allow_probes(now) for service in self.door.services):
            for stranger in random.sample(list(self._held), min(many, len(self._held))):
                del self._held[stranger]
                self._let_go_on(stranger, Stage.CHOSEN)

    def _let_go_on(self, stranger: HalfOpen, stage: Stage) -> None:
        """Open its HELLO in its turn: each costs two curve operations."""
        stranger.stage = stage
        self._reactor.schedule(stranger)
