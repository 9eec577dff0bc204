"""Admission: from accept to an authenticated applicant, with no task, no buffer and no secret for a connection.

The operating system keeps the octets (MSG_PEEK, SO_RCVLOWAT), the client keeps the secrets (the cookie), and the queue
of the half-open keeps the deadlines.
"""

import socket
from collections.abc import Callable, Sequence

import trio

from curveproxy.policy.metadata import Said, is_safe_identity
from curveproxy.policy.sources import SourceLimits
from curveproxy.proxy.accept.application import Application, Refuser
from curveproxy.proxy.accept.half_open import Authenticated, Gate, HalfOpen, Mechanism, Unit
from curveproxy.proxy.accept.parking import Parking
from curveproxy.proxy.accept.units import BALANCER, FIRST, UnitTable
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.deadlines import DeadlineQueue
from curveproxy.proxy.net.linger import LingeringCloses
from curveproxy.proxy.net.reactor import Reactor
from curveproxy.proxy.settings import UID
from curveproxy.reasons import Outcome
from curveproxy.wire import proxy_protocol
from curveproxy.wire.spec import Octets

# How many that are late are refused at a time: those who fell silent together are not to hold others up together.
LATE_IN_A_TURN = 4

# Failures of the peer's own; the others are ours, or nobody's.
OWN_FAULT = frozenset(Outcome) - {
    Outcome.ADMITTED,
    Outcome.IDENTITY_IN_USE,
    Outcome.BACKEND_UNAVAILABLE,
    Outcome.SOURCE_LIMIT,
    Outcome.SESSIONS_LIMIT,
    Outcome.CLIENT_SESSIONS_LIMIT,
    Outcome.SERVICE_BUSY,
    Outcome.EVICTED,
    Outcome.CERTIFICATE_ASKED,
    Outcome.PROBE,
    Outcome.SHUTDOWN,
    Outcome.INTERNAL,
}


class Admission:
    """The half-open connections of one listener.

    gates: the services behind it, at least one. What comes before HELLO counts to the first, and its limits hold.
    capacity: of descriptors; make_room: ends a half-open connection of any listener when they are short.
    """

    def __init__(
        self,
        gates: Sequence[Gate],
        mechanism: Mechanism,
        reactor: Reactor,
        lingering: LingeringCloses,
        capacity: Capacity,
        make_room: Callable[[], bool],
    ) -> None:
        self._reactor, self._capacity, self._make_room = reactor, capacity, make_room
        self._half_open: DeadlineQueue[HalfOpen] = DeadlineQueue(capacity.half_open)
        self._settings = limits = gates[0].settings.admission
        self._sources = SourceLimits[HalfOpen](limits.max_half_open_per_source, limits.handshakes_per_second_per_source)
        self._refuser = Refuser(lingering, mechanism.error)
        self._parking = Parking(reactor)
        balancer = Unit(proxy_protocol.MOST, _measure_balancer, self._take_balancer)
        self._units = UnitTable(balancer, mechanism, self._parking)
        self.configure(gates)

    def configure(self, gates: Sequence[Gate]) -> None:
        """Take other services, and their settings as they are now, for connections that are half-open too."""
        self._gates = gates
        later = gates[0].settings.admission.handshake_seconds - self._settings.handshake_seconds
        self._half_open.defer(later)
        self._settings, self._egress = gates[0].settings.admission, gates[0].settings.egress
        self._sources.configure(
            self._settings.max_half_open_per_source, self._settings.handshakes_per_second_per_source
        )
        self._balancers = gates[0].settings.proxy_protocol_from
        self._units.configure(gates)
        self._receive_buffer = max(sockets.HALF_OPEN_RECEIVE_BUFFER, 2 * self._units.largest)
        self._parking.configure(gates)

    # --- coming and going

    @property
    def half_open(self) -> int:
        """How many connections have no outcome yet."""
        return len(self._half_open)

    def enter(self, sock: socket.SocketType, address: object) -> None:
        """Take a connection from the listener: greet it and let it wait, or close it."""
        gate, now = self._gates[0], trio.current_time()
        gate.observer.accepted()
        source = None if (is_balancer := self._is_balancer(address)) else self._source_of(address)
        if (objection := self._check_user(sock)) is not None:
            gate.observer.refused(Outcome.CLIENT_UNKNOWN, sockets.peer_text(sock), objection)
            sock.close()
            return
        if source is not None and (objection := self._sources.check_rate(source, now)):
            gate.observer.refused(Outcome.SOURCE_LIMIT, sockets.peer_text(sock, source), objection)
            sock.close()
            return
        while len(self._half_open) >= self._settings.max_half_open and self.evict_oldest():
            pass
        while self._capacity.are_short and self._make_room():
            pass
        unit = BALANCER if is_balancer else FIRST
        half = HalfOpen(self, sock, gate, unit, now + self._settings.handshake_seconds)
        self._half_open.append(half)
        if source is not None:
            self._count_to(source, half)
        try:
            sockets.prepare_half_open(sock, self._receive_buffer)
            self._reactor.register(sock.fileno(), half)
        except OSError as error:
            if error.errno in sockets.EXHAUSTED:
                self._refuse(half, Outcome.SESSIONS_LIMIT, sockets.EXHAUSTED[error.errno])
            else:
                self.failed(half, error)
            return
        self.advance(half, gone=False)  # many have sent their greeting by now, and get ours in one piece

    def _is_balancer(self, address: object) -> bool:
        """Whether connections from there begin with a header that tells whose they are. It is no source itself."""
        return isinstance(address, tuple) and any(address[0] in network for network in self._balancers)

    def _source_of(self, address: object) -> int | None:
        """What a connection counts to. At an egress the clients of this host have one address, and no limits by it."""
        source = sockets.source_of(address)
        return None if self._egress is not None and sockets.is_loopback(source) else source

    def _check_user(self, sock: socket.SocketType) -> str | None:
        """Why the user whose process has connected must not; None when it may."""
        if self._egress is None or not self._egress.allow_uids:
            return None
        return None if sockets.uid_of(sock) in self._egress.allow_uids else _user(sock) or f"{UID}unknown"

    def _count_to(self, source: int, half: HalfOpen) -> None:
        """Count a connection to its source, whose oldest is refused when they are too many."""
        half.count_to(source)
        if (oldest := self._sources.acquire(source, half)) is not None:
            self._refuse(oldest, Outcome.SOURCE_LIMIT, "the oldest of its source: max_half_open_per_source")

    def evict_oldest(self) -> bool:
        """End the oldest to make room; False when there is none.

        An honest client needs a few round trips, an attacker waits.
        """
        oldest = self._half_open.oldest
        if oldest is None:
            return False
        self._refuse(oldest, Outcome.EVICTED)
        return True

    def _refuse(self, half: HalfOpen, outcome: Outcome, detail: str = "", applicant: Applicant | None = None) -> None:
        """End a handshake. applicant: who it is, once that is proved."""
        self._forget(half)
        if half.source is not None and outcome in OWN_FAULT:
            self._sources.record_failure(half.source, trio.current_time())
        client = half.gate.name_of(applicant) if applicant is not None else ""
        half.gate.observer.refused(outcome, _address(half), detail, client)
        self._refuser.refuse(half.socket, half.gate, outcome, applicant)

    def failed(self, half: HalfOpen, error: Exception) -> None:
        """An error of ours ends one connection."""
        half.gate.observer.unexpected(error)
        if half in self._half_open:
            self._refuse(half, Outcome.INTERNAL)

    def close(self) -> None:
        """Refuse everybody: the listener is closed."""
        while (oldest := self._half_open.oldest) is not None:
            self._refuse(oldest, Outcome.SHUTDOWN)

    def _forget(self, half: HalfOpen) -> None:
        """All but the socket itself."""
        self._reactor.unregister(half.socket.fileno())
        self._half_open.remove(half)
        if half.source is not None:
            self._sources.release(half.source, half)
        self._parking.forget(half)

    def expire(self, now: float) -> bool:
        """Refuse a few connections that are late. Whether there may be more."""
        for _ in range(LATE_IN_A_TURN):
            if (late := self._half_open.due(now)) is None:
                return False
            self._refuse(late, Outcome.BACKEND_UNAVAILABLE if late in self._parking else Outcome.TIMEOUT)
        return True

    def tick(self, now: float) -> None:
        """See whether those that wait for a service may go on."""
        self._parking.tick(now)

    # --- the handshake

    def advance(self, half: HalfOpen, *, gone: bool) -> None:
        """Go as far as the octets reach that have come. gone: the peer has closed."""
        if half not in self._half_open:
            return
        result = self._units.advance(half, gone)
        if isinstance(result, RefusedError):
            self._refuse(half, result.outcome, result.detail)
        elif result is not None:
            self._apply(half, result)

    def _take_balancer(self, half: HalfOpen, header: bytes) -> None:
        """A balancer has told whose connection it is: that is the source which it counts to."""
        address = proxy_protocol.read_header_untrusted(header)
        half.forwarded_for(address)
        source = sockets.source_of(address)
        if source is not None:
            if objection := self._sources.check_rate(source, trio.current_time()):
                raise RefusedError(Outcome.SOURCE_LIMIT, objection)
            self._count_to(source, half)

    def _apply(self, half: HalfOpen, authenticated: Authenticated) -> None:
        """Hand an authenticated client over to its service, if that has no objection."""
        accepted_at, address = half.deadline - self._settings.handshake_seconds, _address(half)
        applicant = Applicant(
            address,
            accepted_at,
            authenticated.key,
            authenticated.server_key,
            Said.of(authenticated.metadata),
            _user(half.socket) if address == sockets.UNIX_PEER else "",
            authenticated.has_records,
        )
        if not is_safe_identity(applicant.said.identity):
            self._refuse(half, Outcome.METADATA, "the identity is too long or begins with a zero octet")
            return
        if isinstance(grant := half.gate.judge(applicant), RefusedError):
            self._refuse(half, grant.outcome, grant.detail, applicant)
            return
        if half.source is not None:
            self._sources.record_success(half.source)
        half.expect_any()
        self._forget(half)
        half.gate.apply(Application(half.socket, applicant, grant, authenticated, half.gate, self._refuser))


def _measure_balancer(seen: Octets) -> tuple[int, int, int]:
    mark = proxy_protocol.header_mark_untrusted(seen)
    return mark, 0, mark


def _user(sock: socket.SocketType) -> str:
    uid = sockets.uid_of(sock)
    return "" if uid is None else f"{UID}{uid}"


def _address(half: HalfOpen) -> str:
    return sockets.peer_text(half.socket, half.source, half.claimed_address)
