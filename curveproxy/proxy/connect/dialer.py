"""Dials what lies behind one service for its clients, and remembers what it has learned of it."""

import errno
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial

import trio
from attrs import frozen

from curveproxy.policy.metadata import says_more
from curveproxy.policy.socket_types import known
from curveproxy.proxy.connect.approach import Destination
from curveproxy.proxy.connect.attempt import AttemptOwner, DialAttempt
from curveproxy.proxy.connect.backend import Backend
from curveproxy.proxy.connect.connections import Connections
from curveproxy.proxy.connect.dial_request import DialHandler, DialRequest
from curveproxy.proxy.connect.failures import UNWANTED, furthest
from curveproxy.proxy.connect.recovery import Recovery
from curveproxy.proxy.connect.remotes.remotes import Remotes
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.deadlines import DeadlineQueue
from curveproxy.proxy.net.reactor import Reactor, Spawn
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, ClientFailure, Outcome
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.metadata import find


@frozen
class DialEnv:
    """What the dialers of a process share.

    spawn: starts a task whose errors end its owner alone.
    make_room: frees a descriptor when there is none; False when it can not.
    wall_clock: Unix seconds, by which certificates are judged.
    """

    reactor: Reactor
    spawn: Spawn
    make_room: Callable[[], bool]
    wall_clock: Callable[[], float] = time.time


NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class Dialer:
    """The dialer of one service.

    recovery: is told how the dials end.
    """

    def __init__(self, settings: ServiceSettings, observer: Observer, env: DialEnv, recovery: Recovery) -> None:
        self.spawn = env.spawn
        self._observer, self._reactor, self._make_room = observer, env.reactor, env.make_room
        self._wall_clock, self._recovery = env.wall_clock, recovery
        self._dials: DeadlineQueue[DialRequest] = DeadlineQueue()
        self._connections = Connections(env.reactor, partial(env.spawn, self), self.failed)
        self._served: set[str] = set()  # the socket types of clients that have fitted it
        self._settings, self._destination = settings, self._destination_of(settings)

    def _destination_of(self, settings: ServiceSettings) -> Destination:
        if settings.egress is None:
            return Backend(settings, self._observer)
        return Remotes(settings, self._observer, self, self._wall_clock)

    def configure(self, settings: ServiceSettings) -> None:
        """Use other settings from the next dial on."""
        if settings.kind != self._settings.kind:
            self._destination, is_other = self._destination_of(settings), True
        else:
            is_other = self._destination.configure(settings)
        if is_other:
            self._recovery.forget()
            self._served.clear()
        self._settings = settings

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
        seconds = self._settings.admission.backend_connect_seconds
        dial = DialRequest(self, handler, metadata, self._destination.approaches(metadata), seconds)
        self._recovery.dialled(dial.began)
        self._dials.append(dial)
        try:
            dial.begin()
        except Exception as error:  # the boundary: the caller has handed the request over
            dial.failed(error)
        return dial

    def _objection(self, metadata: Mapping[str, bytes]) -> DialError | RefusedError | None:
        """Why a client can not be served; None when nothing is known against it before the dial."""
        if (misfit := self._destination.misfit(metadata)) is not None:
            return misfit
        if (takes_one := self._destination.takes_one(metadata)) is not None:
            self._connections.allow_one(takes_one)
        if self._connections.one_at_a_time and (self._dials or not self._connections.are_none):
            return RefusedError(Outcome.SERVICE_BUSY)
        return None

    def expire(self, now: float) -> None:
        """Give up dials that take too long."""
        while (late := self._dials.due(now)) is not None:
            late.give_up()

    def take_back(self, sock: socket.SocketType) -> None:
        """Close a connection that was handed over."""
        self._connections.take_back(sock)

    def failed(self, error: Exception) -> None:
        """Report an error of ours that ends no dial."""
        self._observer.unexpected(error)

    # --- as the owner of its dials, and for remotes

    def new_attempt(self, owner: AttemptOwner, initiator: Initiator, /) -> DialAttempt:
        return DialAttempt(initiator, self._reactor, self._new_socket, owner)

    def _new_socket(self, family: int) -> socket.SocketType:
        """Make a socket; when no descriptor is left, a half-open connection has to end. Raises OSError."""
        is_far = self._settings.egress is not None or self._settings.allow_remote_backend
        prepare = sockets.prepare_remote if is_far else sockets.prepare_backend
        while True:
            try:
                return prepare(family)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not self._make_room():
                    raise

    def close(self, sock: socket.SocketType, /) -> None:
        self._connections.close(sock)

    def is_under_way(self, dial: DialRequest) -> bool:
        return dial in self._dials

    def renewed(self, dial: DialRequest) -> None:
        self._dials.remove(dial)
        self._dials.append(dial)

    def target_failed(self, dial: DialRequest, error: DialError) -> None:
        self._observer.backend_failed(error.failure, _named(dial, error))
        dial.approach.failed()

    def dial_succeeded(self, dial: DialRequest, peer: Established) -> None:
        self._dials.remove(dial)
        self._connections.lend()
        if peer.version.dialect != Dialect.V1:
            self._connections.allow_one(False)
        self._served.add(_type_of(dial.metadata))
        dial.approach.succeeded(peer)
        self._recovery.succeeded()
        self._observer.backend_up(trio.current_time() - dial.began)
        dial.handler.connected(peer)

    def dial_failed(self, dial: DialRequest, error: DialError) -> None:
        self._dials.remove(dial)
        self._observer.backend_failed(error.failure, _named(dial, error))
        if error.failure == BackendFailure.SOCKET_TYPE:  # the service is up, and the client meant another one
            self._recovery.succeeded()
            dial.handler.refused(self._final(dial.metadata, error))
            return
        if self._may_be_the_clients(dial, error) and self._recovery.excuses():
            dial.handler.refused(error)
            return
        dial.approach.failed()
        self._recovery.dial_failed(*(each.failure for each in dial.left), error.failure)
        dial.handler.refused(furthest([*dial.left, error]) if dial.left else error)

    def _may_be_the_clients(self, dial: DialRequest, error: DialError) -> bool:
        """Whether a remote that serves others may not want what this client is, and does not say so.

        That is its socket type, if no client of that type was served; its identity, which another may have; what else
        it says of itself. Who says no more than those who are served is refused for the key, as they would be now.
        """
        if not isinstance(error.failure, ClientFailure) or error.failure not in UNWANTED or not self._served:
            return False
        return _type_of(dial.metadata) not in self._served or says_more(dial.metadata)

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


def _named(dial: DialRequest, error: DialError) -> str:
    """The detail of a failure, with the target where there are several."""
    endpoint = dial.approach.endpoint
    return f"{endpoint}: {error.detail}".removesuffix(": ") if dial.has_several else error.detail


def _type_of(client: Mapping[str, bytes]) -> str:
    """A client's socket type, of those that are known."""
    return known(find(client, "Socket-Type"))
