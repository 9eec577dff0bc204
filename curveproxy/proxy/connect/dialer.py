"""Dials one service for its clients, and remembers what it has learned of it."""

import errno
import socket
from collections.abc import Callable, Mapping
from functools import partial

import trio

from curveproxy.policy.socket_types import PAIR, known
from curveproxy.proxy.connect.address import Address, fixed_address, is_allowed, resolve
from curveproxy.proxy.connect.attempt import DialAttempt
from curveproxy.proxy.connect.connections import Connections
from curveproxy.proxy.connect.dial_request import DialHandler, DialRequest
from curveproxy.proxy.connect.failures import nearest
from curveproxy.proxy.connect.recovery import Recovery
from curveproxy.proxy.connect.service_type import ServiceType
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.deadlines import DeadlineQueue
from curveproxy.proxy.net.reactor import Reactor, Spawn
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, Outcome
from curveproxy.wire.security import Negotiated
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.metadata import find
from curveproxy.wire.zmtp.negotiation import PlainInitiator
from curveproxy.wire.zmtp.null import Pacing

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
REMOTE = "is not loopback and allow_remote_backend is not set"


class Dialer:
    """The dialer of one service.

    recovery: is told how the dials end.
    spawn: starts a task whose errors end its owner alone.
    make_room: frees a descriptor when there is none; False when it can not.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        observer: Observer,
        reactor: Reactor,
        spawn: Spawn,
        make_room: Callable[[], bool],
        recovery: Recovery,
    ) -> None:
        self.spawn = spawn
        self._observer, self._reactor, self._make_room = observer, reactor, make_room
        self._recovery = recovery
        self._dials: DeadlineQueue[DialRequest] = DeadlineQueue()
        self._connections = Connections(reactor, partial(spawn, self), self.failed)
        self._type = ServiceType(settings, observer)
        self._dialect: Dialect | None = None  # what the service spoke the last time
        self._served: set[str] = set()  # the socket types of clients that have fitted it
        self._answered: Address | None = None
        self._configure(settings)

    def configure(self, settings: ServiceSettings) -> None:
        """Use other settings from the next dial on."""
        if settings.backend != self._settings.backend:
            self._dialect = None
            self._recovery.forget()
            self._served.clear()
        self._type.configure(settings)
        self._configure(settings)

    def _configure(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._fixed = fixed_address(settings.backend, allow_remote=settings.allow_remote_backend)

    # --- dialling

    def dial(self, handler: DialHandler, metadata: Mapping[str, bytes]) -> DialRequest | None:
        """Connect and greet, with a client's metadata, within ``backend_connect_seconds``.

        Returns what can be ended by ``refuse``; None when the handler was called already.
        """
        if (refusal := self._objection(metadata)) is not None:
            if isinstance(refusal, DialError):
                self._observer.backend_failed(refusal.failure, refusal.detail)
                refusal = self._final(metadata, refusal)
            handler.refused(refusal)
            return None
        pacing = Pacing.PIPELINED if self._dialect == Dialect.V3 else Pacing.STEPWISE
        dial = DialRequest(self, handler, metadata, pacing)
        dial.began = trio.current_time()
        dial.deadline = dial.began + self._settings.admission.backend_connect_seconds
        self._recovery.dialled(dial.began)
        self._dials.append(dial)
        try:
            if self._fixed is None:
                self.spawn(dial, partial(self._resolve, dial))
            else:
                dial.begin([self._fixed])
        except Exception as error:  # the boundary: the caller has handed the request over
            dial.failed(error)
        return dial

    def _objection(self, metadata: Mapping[str, bytes]) -> DialError | RefusedError | None:
        """Why a client can not be served; None when nothing is known against it before the dial."""
        if self._dialect == Dialect.V1 and self._settings.backend_socket_type:
            # Judged before the greeting: a PUSH of that version deals its messages to whoever greets it.
            judged = self._type.judge(metadata, Dialect.V1)
            if isinstance(judged, DialError):
                return judged
        if PAIR in (find(metadata, "Socket-Type"), self._settings.backend_socket_type.encode()):
            # libzmq 2.x aborts when its PAIR gets a second connection. An unknown service may be one.
            self._connections.allow_one(self._dialect in (None, Dialect.V1))
        if self._connections.one_at_a_time and (self._dials or not self._connections.are_none):
            return RefusedError(Outcome.SERVICE_BUSY)
        return None

    async def _resolve(self, dial: DialRequest) -> None:
        endpoint = self._settings.backend
        addresses = await resolve(endpoint)
        if dial not in self._dials:
            return  # it took too long
        # Checked for the addresses themselves, because a name may mean others tomorrow.
        allowed = [each for each in addresses if is_allowed(each, allow_remote=self._settings.allow_remote_backend)]
        allowed.sort(key=lambda each: each != self._answered)  # others may not answer at all for a while
        dial.rule_out([each for each in addresses if each not in allowed], REMOTE)
        if allowed:
            dial.begin(allowed, of_a_name=True)
        elif addresses:
            self.dial_failed(dial, nearest(dial.failures))
        else:
            self.dial_failed(dial, DialError(BackendFailure.UNREACHABLE, f"{endpoint.host} does not resolve"))

    def expire(self, now: float) -> None:
        """Give up dials that take too long."""
        while (late := self._dials.due(now)) is not None:
            late.give_up()

    def take_back(self, sock: socket.socket) -> None:
        """Close a connection that was handed over."""
        self._connections.take_back(sock)

    def failed(self, error: Exception) -> None:
        """Report an error of ours in a task of the dialer."""
        self._observer.unexpected(error)

    # --- as the owner of its dials

    def new_attempt(self, dial: DialRequest, pacing: Pacing) -> DialAttempt:
        identity = find(dial.metadata, "Identity") if self._settings.zmtp1_identities else b""
        initiator = PlainInitiator(dial.metadata, pacing, identity=identity or b"")
        return DialAttempt(initiator, self._reactor, self._new_socket, dial)

    def _new_socket(self, family: int) -> socket.socket:
        """Make a socket; when no descriptor is left, a half-open connection has to end. Raises OSError."""
        while True:
            try:
                return sockets.prepare_backend(family)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not self._make_room():
                    raise

    def close(self, sock: socket.socket) -> None:
        self._connections.close(sock)

    def is_under_way(self, dial: DialRequest) -> bool:
        return dial in self._dials

    def type_of(self, dial: DialRequest, negotiated: Negotiated) -> bytes | DialError | None:
        return self._type.judge(dial.metadata, negotiated.version.dialect, find(negotiated.metadata, "Socket-Type"))

    def dial_succeeded(self, dial: DialRequest, peer: Established) -> None:
        self._dials.remove(dial)
        self._connections.lend()
        if peer.version.dialect != Dialect.V1:
            self._connections.allow_one(False)
        self._dialect, self._answered = peer.version.dialect, dial.address
        self._served.add(_type_of(dial.metadata))
        self._type.connected(peer.socket_type, peer.version)
        self._recovery.succeeded()
        self._observer.backend_up(trio.current_time() - dial.began)
        dial.handler.connected(peer)

    def dial_failed(self, dial: DialRequest, error: DialError) -> None:
        self._dials.remove(dial)
        self._observer.backend_failed(error.failure, error.detail)
        if error.failure == BackendFailure.SOCKET_TYPE:  # the service is up, and the client meant another one
            self._recovery.succeeded()
            dial.handler.refused(self._final(dial.metadata, error))
            return
        self._dialect = None
        self._recovery.dial_failed(error.failure)
        dial.handler.refused(error)

    def _final(self, metadata: Mapping[str, bytes], error: DialError) -> DialError | RefusedError:
        """RefusedError when a socket type that does not fit is the client's fault.

        It is not when such a client has fitted before: another program listens there now, and that may pass.
        """
        if _type_of(metadata) in self._served:
            return error
        return RefusedError(Outcome.SOCKET_TYPE, error.detail)

    def dial_refused(self, dial: DialRequest, error: RefusedError) -> None:
        self._dials.remove(dial)
        dial.handler.refused(error)

    def dial_broke(self, dial: DialRequest, error: Exception) -> None:
        if dial in self._dials:
            self._dials.remove(dial)
            dial.handler.failed(error)
        else:  # its handler knows already
            self._observer.unexpected(error)


def _type_of(client: Mapping[str, bytes]) -> str:
    """A client's socket type, of those that are known."""
    return known(find(client, "Socket-Type"))
