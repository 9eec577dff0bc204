"""Dialling the service behind the proxy, and greeting it. Only ever for a client that is allowed."""

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from typing import Protocol

import trio
from attrs import frozen

from curveproxy.policy.properties import identity_is_sane
from curveproxy.policy.sockettypes import DROPPING_HINT, HARMED_BY_DROPPING, known
from curveproxy.policy.trial import Trial
from curveproxy.proxy import sockets
from curveproxy.proxy.endpoint import is_local
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.queue import Queue, Queued
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.proxy.waiting_room import READ, WRITE, WaitingRoom
from curveproxy.reasons import BackendFailure, Outcome
from curveproxy.wire import spec
from curveproxy.wire.errors import PeerError
from curveproxy.wire.greeting import MAJOR_END
from curveproxy.wire.metadata import find
from curveproxy.wire.null import Manner, NullPeer

# A Unix socket whose backlog is full tells nobody when there is room again.
BACKLOG_RETRY_SECONDS = 0.02

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)

_FAILURES = {
    errno.ECONNREFUSED: BackendFailure.REFUSED,
    errno.ENOENT: BackendFailure.REFUSED,  # the path of a Unix socket: its service has not started
    errno.ECONNRESET: BackendFailure.CLOSED,
    errno.EPIPE: BackendFailure.CLOSED,
    errno.ETIMEDOUT: BackendFailure.TIMEOUT,
}


# A known backend is not looked at for its signature alone, which libzmq sends first; what is no ZMTP 3 is told by here.
LEAST_ANSWER = MAJOR_END + 1

Address = tuple[int, tuple[str, int] | str]


class Dialler(Protocol):
    """Who wants a backend. One of the three is called, once."""

    def connected(self, connection: "Connection") -> None:
        """Here it is."""

    def refused(self, error: PeerError) -> None:
        """It can not be had: a BackendFailure, or an Outcome where that is no fault of the backend's."""

    def fail(self, error: Exception) -> None:
        """It can not be had, for an error of ours."""


@frozen
class Connection:
    """A backend that has been greeted. rest: what it sent behind its READY.

    Its socket is in the sessions' waiting room already, and whoever takes it over replaces the guest there.
    """

    socket: socket.socket
    properties: dict[str, bytes]
    minor: int
    rest: bytes


class Dial(Queued):
    """One client's way to the backend: connect and greet, in another manner when it leaves without its READY."""

    __slots__ = (
        "_backend",
        "_connecting",
        "_manner",
        "_peer",
        "_properties",
        "_seen",
        "_socket",
        "address",
        "began",
        "dialler",
    )

    def __init__(
        self, backend: "Backend", dialler: Dialler, properties: Mapping[str, bytes], now: float, deadline: float
    ) -> None:
        super().__init__(deadline)
        self.dialler, self.began = dialler, now
        self.address: Address
        self._backend, self._properties = backend, properties
        self._manner = Manner.AT_ONCE if backend.speaks_zmtp3 else Manner.STEPWISE
        self._peer = NullPeer(properties, self._manner)
        self._socket: socket.socket | None = None
        self._connecting = False
        self._seen = 0

    def connect(self) -> None:
        """Begin, now that the address is known."""
        try:
            self._connect(*self.address)
        except (PeerError, OSError) as error:
            self._failed(error)

    def _connect(self, family: int, address: tuple[str, int] | str) -> None:
        sock = self._socket = self._backend.new_socket(family)
        self._seen, self._connecting = 0, False
        try:
            sock.connect(address)
        except BlockingIOError as error:
            if error.errno == errno.EAGAIN:
                self._drop_socket()
                self._backend.spawn(self._try_again)
                return
        try:
            self._greet(sock)  # on loopback the connection stands by now, whatever connect said
        except BlockingIOError:
            self._connecting = True
        self._backend.room.enter(sock.fileno(), self, READ | WRITE)

    async def _try_again(self) -> None:
        await trio.sleep(BACKLOG_RETRY_SECONDS)
        if self in self._backend.dials:
            self.connect()

    def wake(self, events: int) -> None:  # noqa: ARG002  what has happened is seen by trying
        """Connected, or an answer has come."""
        sock = self._socket
        assert sock is not None
        try:
            if self._connecting:
                self._connected(sock)
            self._listen(sock)  # its greeting may have come in the same event
        except BlockingIOError:
            pass
        except (PeerError, OSError) as error:
            self._failed(error)

    def _connected(self, sock: socket.socket) -> None:
        if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(failed, os.strerror(failed))
        self._connecting = False
        self._greet(sock)

    def _greet(self, sock: socket.socket) -> None:
        opening = self._peer.opening()
        sock.send(opening)  # a fresh socket takes it whole
        if len(opening) > spec.GREETING_SIZE:  # with READY behind it, which is all that we shall say
            sockets.set_mark(sock, LEAST_ANSWER)

    def _listen(self, sock: socket.socket) -> None:
        while not self._peer.done:
            octets = sock.recv(spec.BACKEND_HANDSHAKE_MAX)
            if not octets:
                raise PeerError(BackendFailure.CLOSED)
            self._seen += len(octets)
            if answer := self._peer.receive_untrusted(octets):
                sock.send(answer)
            sockets.set_mark(sock, 1)
            if not self._peer.done and self._seen > spec.BACKEND_HANDSHAKE_MAX:
                raise PeerError(BackendFailure.HANDSHAKE, "too long")
        if not identity_is_sane(find(self._peer.properties, "Identity")):
            raise PeerError(BackendFailure.HANDSHAKE, "its identity is too long or begins with a zero octet")
        self._socket = None
        self._backend.succeeded(self, Connection(sock, self._peer.properties, self._peer.minor, self._peer.rest))

    def _failed(self, error: PeerError | OSError) -> None:
        if isinstance(error, OSError) and error.errno in NO_DESCRIPTOR:
            self.cancel(PeerError(Outcome.SESSIONS_LIMIT, "no descriptor is left for the service"))
            return
        if isinstance(error, OSError):
            reason = _FAILURES.get(error.errno or 0, BackendFailure.UNREACHABLE)
            error = PeerError(reason, (error.strerror or "").lower())
        self._drop_socket()
        if self._manner == Manner.AT_ONCE and error.reason in (BackendFailure.GREETING, BackendFailure.CLOSED):
            self._ask_again(Manner.STEPWISE)  # it may have been replaced under us
        elif self._manner == Manner.STEPWISE and error.reason == BackendFailure.CLOSED and self._peer.greeted:
            self._ask_again(Manner.LISTENING)  # so does libzmq at a socket type that does not fit
        else:
            self._backend.failed(self, error)

    def _ask_again(self, manner: Manner) -> None:
        self._manner, self._peer = manner, NullPeer(self._properties, manner)
        self.connect()

    def give_up(self) -> None:
        """It takes too long."""
        self._drop_socket()
        self._backend.failed(self, PeerError(BackendFailure.TIMEOUT))

    def cancel(self, reason: PeerError) -> None:
        """It ends by no fault of the backend's."""
        self._drop_socket()
        self._backend.dials.remove(self)
        self.dialler.refused(reason)

    def fail(self, error: Exception) -> None:
        self._drop_socket()
        self._backend.dials.remove(self)
        self.dialler.fail(error)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._backend.room.leave(self._socket.fileno())
            self._socket.close()
            self._socket = None


class Backend:
    """One service's backend: how it is dialled, and what is remembered of it from dial to dial.

    up: whether the last dial worked; None before the first.
    speaks_zmtp3: so it did the last time, and is greeted in one piece.
    make_room: frees a descriptor when there is none; False when it can not.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        observer: Observer,
        room: WaitingRoom,
        spawn: Callable[..., None],
        make_room: Callable[[], bool],
    ) -> None:
        self.up: bool | None = None
        self.trial = Trial()
        self.speaks_zmtp3 = False
        self.dials: Queue[Dial] = Queue()
        self.room, self.spawn = room, spawn
        self._settings, self._observer, self._make_room = settings, observer, make_room
        self._fixed = _fixed_address(settings)
        self._warned = False

    def dial(self, dialler: Dialler, properties: Mapping[str, bytes]) -> None:
        """Connect and greet, with a client's properties, within ``backend_connect_seconds``."""
        now = trio.current_time()
        dial = Dial(self, dialler, properties, now, now + self._settings.admission.backend_connect_seconds)
        self.dials.append(dial)
        if self._fixed is None:
            self.spawn(self._resolve, dial)
        else:
            dial.address = self._fixed
            dial.connect()

    def expire(self, now: float) -> None:
        """Give up what takes too long."""
        while (late := self.dials.due(now)) is not None:
            late.give_up()

    def cancel(self) -> None:
        """Nobody wants it any more."""
        while (dial := self.dials.oldest) is not None:
            dial.cancel(PeerError(Outcome.SHUTDOWN))

    def succeeded(self, dial: Dial, connection: Connection) -> None:
        self.dials.remove(dial)
        self.up = self.speaks_zmtp3 = True
        self.trial.succeeded()
        self._observer.backend_up(trio.current_time() - dial.began)
        self._look_at_type(connection)
        dial.dialler.connected(connection)

    def failed(self, dial: Dial, error: PeerError) -> None:
        self.dials.remove(dial)
        self.up = self.speaks_zmtp3 = False
        self.trial.failed(trio.current_time())
        self._observer.backend_failed(BackendFailure(error.reason), error.detail)
        dial.dialler.refused(error)

    def new_socket(self, family: int) -> socket.socket:
        """A socket to dial with, if need be in a stranger's place. Raises OSError."""
        while True:
            try:
                return sockets.prepare_backend(family)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not self._make_room():
                    raise

    async def _resolve(self, dial: Dial) -> None:
        host, port = self._settings.backend.host, self._settings.backend.port
        error = None
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            error = PeerError(BackendFailure.UNREACHABLE, f"{host} does not resolve")
        else:
            dial.address = found[0][0], found[0][4]  # type: ignore[assignment]
            if not self._settings.allow_remote_backend and not is_local(str(found[0][4][0])):
                # Asked of the address that is dialled, for a name may mean another one tomorrow.
                detail = f"{found[0][4][0]} is not loopback and allow_remote_backend is not set"
                error = PeerError(BackendFailure.UNREACHABLE, detail)
        if dial not in self.dials:
            return  # it took too long
        if error is not None:
            self.failed(dial, error)
        else:
            dial.connect()

    def _look_at_type(self, connection: Connection) -> None:
        """What the operator should know of the service's type, once."""
        told = find(connection.properties, "Socket-Type")
        if self._warned or not told:
            return
        configured = self._settings.backend_socket_type
        if configured and told != configured.encode():  # the wire wins
            self._warned = True
            self._observer.notice("backend_socket_type is not what the service says", service_says=known(told))
        if self._settings.messages.on_invalid == "drop" and told in HARMED_BY_DROPPING:
            self._warned = True
            self._observer.notice("dropping does not suit the service", service_says=known(told), hint=DROPPING_HINT)


def _fixed_address(settings: ServiceSettings) -> Address | None:
    """Where to dial, when no name has to be resolved for it and it is allowed."""
    endpoint = settings.backend
    if endpoint.transport == "ipc":
        return socket.AF_UNIX, endpoint.unix_address
    try:
        parsed = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return None
    if not settings.allow_remote_backend and not is_local(endpoint.host):
        return None
    return (socket.AF_INET if parsed.version == 4 else socket.AF_INET6), (endpoint.host, endpoint.port)
