"""Dialling the service behind the proxy, and greeting it. Only ever for a client that is allowed."""

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Protocol

import trio

from curveproxy.policy.circuit_breaker import CircuitBreaker
from curveproxy.policy.limits import OnInvalid
from curveproxy.policy.metadata import is_safe_identity
from curveproxy.policy.socket_types import (
    DROPPING_HINT,
    HARMED_BY_DROPPING,
    PAIR,
    XPUB,
    ZMTP1_COUNTERPARTS,
    fits,
    known,
)
from curveproxy.proxy.connect.failures import FAILURES
from curveproxy.proxy.connect.reach import listens
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.deadlines import Count, Deadline, DeadlineQueue
from curveproxy.proxy.net.endpoint import Endpoint, is_local
from curveproxy.proxy.net.reactor import READ, WRITE, FailsAlone, Reactor
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, Outcome
from curveproxy.wire import spec
from curveproxy.wire.errors import PeerError
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.greeting import MAJOR_END
from curveproxy.wire.zmtp.metadata import find
from curveproxy.wire.zmtp.negotiation import PlainInitiator
from curveproxy.wire.zmtp.null import Pacing

# A Unix socket whose backlog is full tells nobody when there is room again.
BACKLOG_RETRY_SECONDS = 0.02

# A PAIR of libzmq 2.x has lost its connection only when its own thread has read what had come by it.
PAIR_REST_SECONDS = 1.0
OLD_SERVICE_HINT = "libzmq 2.x aborts where later ones return an error: SECURITY.md tells what can not be kept from it"
XPUB_MESSAGES_HINT = "it may be libzmq 4.3.0 to 4.3.2, which dies of one: replace it, or take xpub_messages out"

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)

_FAILURES = {
    errno.ECONNREFUSED: BackendFailure.REFUSED,
    errno.ENOENT: BackendFailure.REFUSED,  # the path of a Unix socket: its service has not started
    errno.ECONNRESET: BackendFailure.CLOSED,
    errno.EPIPE: BackendFailure.CLOSED,
    errno.ETIMEDOUT: BackendFailure.TIMEOUT,
}


# After these it is enough to look whether something listens; after the others only a client's dial can tell.
_NOBODY_LISTENS = (BackendFailure.REFUSED, BackendFailure.UNREACHABLE)

REMOTE = "is not loopback and allow_remote_backend is not set"

# A known backend is not looked at for its signature alone, which libzmq sends first; what is no ZMTP 3 is told by here.
LEAST_ANSWER = MAJOR_END + 1

# Of the failures of several addresses, the first of these is told as the reason: it is the nearest to an answer.
_NEAREST = (BackendFailure.TIMEOUT, BackendFailure.REFUSED, BackendFailure.CLOSED, BackendFailure.UNREACHABLE)

# The family, and what connect takes: of IPv6 with its scope, of a Unix socket the path.
Address = tuple[int, Any]


class DialHandler(Protocol):
    """Who wants a backend. One of the three is called, once. dial: the one for it, from its beginning."""

    dial: "DialAttempt"

    def connected(self, connection: "Established") -> None:
        """Here it is."""

    def refused(self, error: RefusedError | DialError) -> None:
        """It can not be had: a BackendFailure, or an Outcome where that is no fault of the backend's."""

    def failed(self, error: Exception) -> None:
        """It can not be had, for an error of ours."""


class DialAttempt(Deadline):
    """One client's way to the backend: connect and greet, in another manner when it leaves without its READY.

    Of several addresses the next is tried where one can not be connected to.

    failures: of those that were tried.
    """

    __slots__ = (
        "_addresses",
        "_backend",
        "_connecting",
        "_manner",
        "_patience",
        "_peer",
        "_seen",
        "_socket",
        "began",
        "dialler",
        "failures",
        "properties",
    )

    def __init__(self, backend: "Dialer", dialler: DialHandler, properties: Mapping[str, bytes]) -> None:
        super().__init__(inf)
        self.dialler, self.began = dialler, inf
        dialler.dial = self
        self._addresses: list[Address] = []
        self.failures: list[tuple[Address, DialError]] = []
        self._patience = inf
        self._backend, self.properties = backend, properties
        self._manner = Pacing.PIPELINED if backend.dialect == Dialect.V3 else Pacing.STEPWISE
        self._peer = backend.peer_for(properties, self._manner)
        self._socket: socket.socket | None = None
        self._connecting = False
        self._seen = 0

    @property
    def address(self) -> Address:
        """The one that is tried."""
        return self._addresses[0]

    def begin(self, addresses: Sequence[Address]) -> None:
        """Begin, now that the addresses are known. Each has the same part of the time to take the connection."""
        self._addresses = list(addresses)
        self._patience = (self.deadline - trio.current_time()) / len(addresses)
        self._connect_or_fail()

    def _connect_or_fail(self) -> None:
        try:
            self._connect(*self.address)
        except OSError as error:
            self._failed(error)
            return
        if self._connecting and len(self._addresses) > 1:
            self._backend.spawn(self, partial(self._hurry, self.address))

    async def _hurry(self, address: Address) -> None:
        """Leave an address that does not answer for the next one, while there is time."""
        await trio.sleep(self._patience)
        if self in self._backend.dials and self._connecting and self.address is address:
            self._failed(DialError(BackendFailure.TIMEOUT, "no answer"))

    def _connect(self, family: int, address: Any) -> None:
        self._seen, self._connecting = 0, True
        sock = self._socket = self._backend.new_socket(family)
        try:
            sock.connect(address)
        except BlockingIOError as error:
            if error.errno == errno.EAGAIN:
                self._drop_socket()
                self._backend.spawn(self, self._try_again)
                return
        with suppress(BlockingIOError):
            self._greet(sock)  # on loopback the connection stands by now, whatever connect said
        self._backend.reactor.register(sock.fileno(), self, READ | WRITE)

    async def _try_again(self) -> None:
        await trio.sleep(BACKLOG_RETRY_SECONDS)
        if self in self._backend.dials:
            self._connect_or_fail()

    def ready(self, _events: int) -> None:
        """Connected, or an answer has come."""
        sock = self._socket
        assert sock is not None
        try:
            if self._connecting:
                self._connected(sock)
            connection = self._listen(sock)  # its greeting may have come in the same event
        except BlockingIOError:
            return
        except PeerError as error:
            self._failed(DialError(FAILURES[error.fault], error.detail))
            return
        except (DialError, OSError) as error:
            self._failed(error)
            return
        # Outside: what goes wrong with the session that is born by this is none of the backend's faults.
        self._socket = None
        self._backend.succeeded(self, connection)

    def _connected(self, sock: socket.socket) -> None:
        if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(failed, os.strerror(failed))
        self._greet(sock)

    def _greet(self, sock: socket.socket) -> None:
        opening = self._peer.start()
        sock.send(opening)  # a fresh socket takes it whole
        self._connecting = False
        if len(opening) > spec.GREETING_SIZE:  # with READY behind it, which is all that we shall say
            sockets.set_mark(sock, LEAST_ANSWER)

    def _listen(self, sock: socket.socket) -> Established:
        """Go through the handshake. Raises BlockingIOError while more is to come, PeerError, DialError, OSError."""
        while not self._peer.done:
            octets = sock.recv(spec.BACKEND_HANDSHAKE_MAX)
            if not octets:
                raise DialError(BackendFailure.CLOSED)
            self._seen += len(octets)
            if answer := self._peer.receive_untrusted(octets):
                sock.send(answer)
            sockets.set_mark(sock, 1)
            if not self._peer.done and self._seen > spec.BACKEND_HANDSHAKE_MAX:
                raise DialError(BackendFailure.HANDSHAKE, "too long")
        negotiated = self._peer.negotiated
        if not is_safe_identity(find(negotiated.metadata, "Identity")):
            raise DialError(BackendFailure.HANDSHAKE, "its identity is too long or begins with a zero octet")
        told = find(negotiated.metadata, "Socket-Type")
        if told and len(told) > spec.SOCKET_TYPE_MAX:
            raise DialError(BackendFailure.HANDSHAKE, "its socket type is too long")
        socket_type = self._backend.type_behind(self.properties, negotiated.version.dialect, told)
        metadata = negotiated.metadata
        if socket_type and not told:
            metadata = {"Socket-Type": socket_type, **metadata}
        return Established(sock, metadata, negotiated.version, negotiated.security, negotiated.leftover)

    def _failed(self, error: DialError | OSError) -> None:
        if isinstance(error, OSError) and error.errno in sockets.EXHAUSTED:
            self.cancel(RefusedError(Outcome.SESSIONS_LIMIT, sockets.EXHAUSTED[error.errno]))
            return
        if isinstance(error, OSError):
            reason = _FAILURES.get(error.errno or 0, BackendFailure.UNREACHABLE)
            error = DialError(reason, (error.strerror or "").lower())
        self._drop_socket()
        if self._connecting and error.failure != BackendFailure.CLOSED:
            self._try_next(error)
        elif self._manner == Pacing.PIPELINED and error.failure in (BackendFailure.GREETING, BackendFailure.CLOSED):
            self._ask_again(Pacing.STEPWISE)  # it may have been replaced under us
        elif (
            self._manner == Pacing.STEPWISE
            and error.failure == BackendFailure.CLOSED
            and self._peer.dialect is not None
        ):
            self._ask_again(Pacing.PEER_FIRST)  # so does libzmq at a socket type that does not fit
        else:
            self._backend.dial_failed(self, error)

    def _try_next(self, error: DialError) -> None:
        self.failures.append((self._addresses.pop(0), error))
        if self._addresses:
            self._connect_or_fail()
        else:
            self._backend.dial_failed(self, error if self._backend.is_fixed else _all_in_one(self.failures))

    def _ask_again(self, manner: Pacing) -> None:
        self._manner, self._peer = manner, self._backend.peer_for(self.properties, manner)
        self._connect_or_fail()

    def give_up(self) -> None:
        """It takes too long."""
        self._drop_socket()
        if self.failures and self._addresses:
            self.failures.append((self.address, DialError(BackendFailure.TIMEOUT, "no answer")))
        self._backend.dial_failed(
            self, _all_in_one(self.failures) if self.failures else DialError(BackendFailure.TIMEOUT)
        )

    def cancel(self, reason: RefusedError) -> None:
        """It ends by no fault of the backend's."""
        self._drop_socket()
        self._backend.forget(self)
        self.dialler.refused(reason)

    def failed(self, error: Exception) -> None:
        self._drop_socket()
        if self._backend.forget(self):
            self.dialler.failed(error)
        else:  # it has been told what became of it
            self._backend.observer.unexpected(error)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._backend.close(self._socket)
            self._socket = None


class FinishingConnection:
    """A connection on its way out, of a service that must not have another before this one has ended."""

    def __init__(self, sock: socket.socket, reactor: Reactor, ended: Callable[[], None]) -> None:
        self._socket, self._reactor, self._ended = sock, reactor, ended

    def begin(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._reactor.register(self._socket.fileno(), self)

    def ready(self, _events: int) -> None:
        self.resume()

    def resume(self) -> None:
        """Read away what comes, up to the end."""
        try:
            if self._socket.recv(spec.BACKEND_HANDSHAKE_MAX):
                self._reactor.schedule(self)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._reactor.unregister(self._socket.fileno())
        self._socket.close()
        self._ended()

    def failed(self, error: Exception) -> None:
        raise error  # it raises nothing


class Dialer:
    """One service's backend: how it is dialled, and what is remembered of it from dial to dial.

    up: whether the last dial worked; None before the first.
    dialect: what it spoke the last time; ZMTP 3 is then greeted in one piece.
    dials: those under way; waiting: those to come, before which something must be over.
    served: the socket types of clients that have fitted it, as the log names them.
    make_room: frees a descriptor when there is none; False when it can not.
    count: of those who have two descriptors or will have: each dial is one.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        observer: Observer,
        reactor: Reactor,
        spawn: Callable[[FailsAlone, Callable[[], Awaitable[None]]], None],
        make_room: Callable[[], bool],
        count: Count,
    ) -> None:
        self.up: bool | None = None
        self.breaker = CircuitBreaker()
        self.dialect: Dialect | None = None
        self.dials: DeadlineQueue[DialAttempt] = DeadlineQueue(count)
        self.waiting: set[DialAttempt] = set()
        self._count = count
        self.served: set[str] = set()
        self.reactor, self.spawn = reactor, spawn
        self.observer, self._make_room = observer, make_room
        self._noticed: set[str] = set()
        self._lent = self._parting = 0  # connections that sessions have, and that are on their way out
        self._takes_one = False  # the service is, or may be, one that must not have two
        self._settings, self._fixed = settings, _fixed_address(settings)
        self._answered: Address | None = None

    def configure(self, settings: ServiceSettings) -> None:
        """Other settings for the dials to come."""
        if settings.backend != self._settings.backend:
            self.up, self.dialect, self.breaker = None, None, CircuitBreaker()
            self.served.clear()
        self._settings, self._fixed = settings, _fixed_address(settings)

    def dial(
        self, dialler: DialHandler, properties: Mapping[str, bytes], clear: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Connect and greet, with a client's properties, within ``backend_connect_seconds``.

        clear: what has to be over before, and has its own bound in time; raises RefusedError.
        """
        if self.dialect == Dialect.V1 and self._settings.backend_socket_type:
            try:  # before it is greeted: a PUSH of that age deals its jobs to whoever greets it
                self.type_behind(properties, Dialect.V1)
            except DialError as error:
                self._refuse(dialler, error)
                return
        if PAIR in (find(properties, "Socket-Type"), self._settings.backend_socket_type.encode()):
            # libzmq 2.x asserts that its PAIR has no pipe when another comes; what does not yet speak may be that.
            self._takes_one = self.dialect in (None, Dialect.V1)
        if self._takes_one and (self.coming or self._lent or self._parting):
            dialler.refused(RefusedError(Outcome.SERVICE_BUSY))
            return
        dial = DialAttempt(self, dialler, properties)
        if clear is not None:
            self.waiting.add(dial)
            self._count.number += 1
            self.spawn(dial, partial(self._begin_when_clear, dial, clear))
            return
        try:
            self._begin(dial)
        except Exception as error:  # the boundary, as in the reactor: whoever has called has handed it over
            dial.failed(error)

    async def _begin_when_clear(self, dial: DialAttempt, clear: Callable[[], Awaitable[None]]) -> None:
        error = None
        if dial in self.waiting:
            try:
                await clear()
            except RefusedError as found:
                error = found
        if dial not in self.waiting:
            return  # nobody wants it any more
        if error is not None:
            dial.cancel(error)
        else:
            self._stop_waiting(dial)
            self._begin(dial)

    def _begin(self, dial: DialAttempt) -> None:
        dial.began = trio.current_time()
        self.breaker.record_dial(dial.began)
        dial.deadline = dial.began + self._settings.admission.backend_connect_seconds
        self.dials.append(dial)
        if self._fixed is None:
            self.spawn(dial, partial(self._resolve, dial))
        else:
            dial.begin([self._fixed])

    def peer_for(self, client: Mapping[str, bytes], manner: Pacing) -> PlainInitiator:
        """What greets the service with a client's properties."""
        identity = find(client, "Identity") if self._settings.zmtp1_identities else b""
        return PlainInitiator(client, manner, identity=identity or b"")

    def expire(self, now: float) -> None:
        """Give up what takes too long."""
        while (late := self.dials.due(now)) is not None:
            late.give_up()

    def look(self, now: float, then: Callable[[], None]) -> None:
        """Look whether a service listens again, if it is time to; ``then`` is called when one does."""
        if self.breaker.allow_check(now):
            self.spawn(self, partial(self._look, self.breaker, then))

    async def _look(self, breaker: CircuitBreaker, then: Callable[[], None]) -> None:
        if await listens(self._settings.backend, allow_remote=self._settings.allow_remote_backend):
            breaker.record_listener()
            then()

    def cancel(self) -> None:
        """Nobody wants it any more."""
        for waiting in list(self.waiting):
            waiting.cancel(RefusedError(Outcome.SHUTDOWN))
        while (dial := self.dials.oldest) is not None:
            dial.cancel(RefusedError(Outcome.SHUTDOWN))

    def close(self, sock: socket.socket) -> None:
        """Close a connection to the service, at once or when the service has seen its end."""
        self.reactor.unregister(sock.fileno())
        if not self._takes_one:
            sock.close()
            return
        self._parting += 1
        FinishingConnection(sock, self.reactor, partial(self.spawn, self, self._let_it_notice)).begin()

    async def _let_it_notice(self) -> None:
        await trio.sleep(PAIR_REST_SECONDS)
        self._parting -= 1

    def take_back(self, sock: socket.socket) -> None:
        """Close a connection that was handed over to who wanted it."""
        self._lent -= 1
        self.close(sock)

    def failed(self, error: Exception) -> None:
        """A task of the backend's own has raised what it should not have."""
        self.observer.unexpected(error)

    @property
    def is_fixed(self) -> bool:
        """Whether it is one address, and no name."""
        return self._fixed is not None

    @property
    def coming(self) -> int:
        """How many clients wait for it."""
        return len(self.dials) + len(self.waiting)

    def forget(self, dial: DialAttempt) -> bool:
        """It has ended; whether it had not before."""
        was_here = dial in self.dials or dial in self.waiting
        self.dials.remove(dial)
        self._stop_waiting(dial)
        return was_here

    def _stop_waiting(self, dial: DialAttempt) -> None:
        if dial in self.waiting:
            self.waiting.remove(dial)
            self._count.number -= 1

    def succeeded(self, dial: DialAttempt, connection: Established) -> None:
        self.dials.remove(dial)
        self._lent += 1
        self.up, self.dialect = True, connection.version.dialect
        self.served.add(known(find(dial.properties, "Socket-Type")))
        self._answered = dial.address
        self._takes_one &= connection.version.dialect == Dialect.V1
        if connection.version.dialect == Dialect.V1:
            self._notice("the service speaks ZMTP 1.0", hint=OLD_SERVICE_HINT)
        if self._settings.xpub_messages and connection.socket_type == XPUB and connection.version.minor < 1:
            self._notice("xpub_messages does not suit the service", service_says="XPUB", hint=XPUB_MESSAGES_HINT)
        self.breaker.record_success()
        self.observer.backend_up(trio.current_time() - dial.began)
        dial.dialler.connected(connection)

    def dial_failed(self, dial: DialAttempt, error: DialError) -> None:
        self.dials.remove(dial)
        if error.failure == BackendFailure.SOCKET_TYPE:  # it is well, and the client another's
            self.up = True
            self.breaker.record_success()
        else:
            self.up, self.dialect = False, None
            self.breaker.record_failure(trio.current_time(), nobody_listens=error.failure in _NOBODY_LISTENS)
        self._refuse(dial.dialler, error)

    def _refuse(self, dialler: DialHandler, error: DialError) -> None:
        self.observer.backend_failed(error.failure, error.detail)
        dialler.refused(error)

    def new_socket(self, family: int) -> socket.socket:
        """A socket to dial with, if need be in a stranger's place. Raises OSError."""
        while True:
            try:
                return sockets.prepare_backend(family)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not self._make_room():
                    raise

    async def _resolve(self, dial: DialAttempt) -> None:
        host, port = self._settings.backend.host, self._settings.backend.port
        found: list[Any] = []
        with suppress(OSError):
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if dial not in self.dials:
            return  # it took too long
        # Asked of the addresses that are dialled, for a name may mean other ones tomorrow.
        addresses = [(family, address) for family, _, _, _, address in found]
        allowed = [each for each in addresses if self._settings.allow_remote_backend or is_local(each[1][0])]
        allowed.sort(key=lambda each: each != self._answered)  # the others may not answer at all, for a while
        dial.failures += [
            (each, DialError(BackendFailure.UNREACHABLE, REMOTE)) for each in addresses if each not in allowed
        ]
        if allowed:
            dial.begin(allowed)
        elif addresses:
            self.dial_failed(dial, _all_in_one(dial.failures))
        else:
            self.dial_failed(dial, DialError(BackendFailure.UNREACHABLE, f"{host} does not resolve"))

    def type_behind(self, client: Mapping[str, bytes], dialect: Dialect, told: bytes | None = None) -> bytes | None:
        """The service's socket type: as told, else as configured, else what such a client most likely faces.

        None where it may be any. Raises DialError, socket_type, when it does not fit the client's.
        """
        near, configured = find(client, "Socket-Type"), self._settings.backend_socket_type.encode()
        if told and configured and told != configured:  # the wire wins
            self._notice("backend_socket_type is not what the service says", service_says=known(told))
        far = told or configured or None
        if far is None and dialect == Dialect.V1:
            far = ZMTP1_COUNTERPARTS.get(near or b"")
            if far is None:
                raise DialError(BackendFailure.SOCKET_TYPE, f"client {known(near)}, service of ZMTP 1.0")
            event = "the service speaks ZMTP 1.0, which does not tell its socket type"
            self._notice(event, taken_for=known(far), hint="set backend_socket_type")
        if self._settings.messages.on_invalid == OnInvalid.DROP and far in HARMED_BY_DROPPING:
            self._notice("dropping does not suit the service", service_says=known(far), hint=DROPPING_HINT)
        if not fits(near, far):
            raise DialError(BackendFailure.SOCKET_TYPE, f"client {known(near)}, service {known(far)}")
        return far

    def _notice(self, event: str, **facts: str) -> None:
        """What the operator should know of the service, once."""
        if event not in self._noticed:
            self._noticed.add(event)
            self.observer.notice(event, **facts)


def _fixed_address(settings: ServiceSettings) -> Address | None:
    """Where to dial, when no name has to be resolved for it and it is allowed."""
    endpoint = settings.backend
    if endpoint.transport == "ipc":
        return socket.AF_UNIX, endpoint.unix_address
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None  # a name, or the zone of an interface that is not there now
    family, _, _, _, address = found[0]
    return (family, address) if settings.allow_remote_backend or is_local(str(address[0])) else None


def _all_in_one(failures: Sequence[tuple[Address, DialError]]) -> DialError:
    """Why none of a name's addresses could be connected to."""
    reason = min((error.failure for _, error in failures), key=_NEAREST.index)
    told = (f"{Endpoint('tcp', *where[:2]).address}: {error.detail}" for (_, where), error in failures)
    return DialError(reason, "; ".join(told))
