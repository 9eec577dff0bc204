"""A service: where its clients come in, what lies behind, and everybody between."""

import errno
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio
from attrs import define

from curveproxy.policy.clients import ClientList
from curveproxy.policy.limits import half_open_in_force, sessions_in_force
from curveproxy.policy.properties import droppable, for_service
from curveproxy.policy.sockettypes import known
from curveproxy.proxy import sockets
from curveproxy.proxy.admission import FAREWELL_SECONDS, Admission
from curveproxy.proxy.backend import Backend, Connection
from curveproxy.proxy.commands import Side
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.pump import Peer
from curveproxy.proxy.session import Session
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, Closed, Outcome
from curveproxy.wire import curve_server, metadata, spec, z85
from curveproxy.wire.curve_server import Initiate
from curveproxy.wire.errors import PeerError
from curveproxy.wire.metadata import find

if TYPE_CHECKING:
    from curveproxy.proxy.proxy import Proxy

# So many are accepted before others have their turn.
ACCEPTS = 16
# How long a listener rests when there is no descriptor left, and nobody to evict.
REST_SECONDS = 0.1

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@define
class Traffic:
    """What was relayed since the start: whole messages and plain octets. ``in`` is from client to service."""

    messages_in: int = 0
    octets_in: int = 0
    messages_out: int = 0
    octets_out: int = 0


class Service:
    """One ``[[service]]`` at work.

    clients: who may come in; assign a new list at any time.
    bound: where it listens, with the port that the system chose; after ``bind``.
    """

    def __init__(self, proxy: "Proxy", settings: ServiceSettings, clients: ClientList, observer: Observer) -> None:
        self.settings, self.clients, self.observer = settings, clients, observer
        self.bound = settings.listen
        self.sessions: set[Session] = set()
        self.traffic = Traffic()
        self.lingering: set[Session] = set()
        self.room, self.buffers, self.spawn = proxy.sessions_room, proxy.buffers, proxy.spawn
        self.backend = Backend(settings, observer, proxy.sessions_room, proxy.spawn, proxy.evict)
        self.admission = Admission(self, proxy.strangers_room, proxy.cookies, proxy.transient_keys)
        self.is_stopping = False
        self._proxy = proxy
        self._listener: socket.socket | None = None

    # --- figures

    @property
    def half_open(self) -> int:
        """Connections without an outcome: strangers, and clients whose backend is being dialled."""
        return len(self.admission.half_open) + len(self.backend.dials)

    @property
    def half_open_limit(self) -> int:
        """``max_half_open`` in force: sessions, and the strangers of other services, take descriptors from it."""
        elsewhere = sum(other.half_open for other in self._proxy.services if other is not self)
        return half_open_in_force(
            self.settings.admission.max_half_open,
            self._proxy.descriptors - elsewhere,
            self._proxy.sessions,
        )

    @property
    def sessions_limit(self) -> int:
        """``max_sessions`` in force."""
        return sessions_in_force(self.settings.admission.max_sessions, self._proxy.descriptors)

    @property
    def taken(self) -> int:
        """Places that are taken among the sessions, those included whose backend is being dialled."""
        return len(self.sessions) + len(self.backend.dials)

    @property
    def is_full(self) -> bool:
        return self.taken >= self.sessions_limit or self._proxy.is_full

    @property
    def backend_up(self) -> bool | None:
        """How the last dial ended; None before the first."""
        return self.backend.up

    # --- coming in

    def bind(self) -> None:
        """Listen. Raises BindError."""
        self._listener = sockets.listen(self.settings.listen)
        self.bound = sockets.bound(self._listener, self.settings.listen)

    def unbind(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            trio.lowlevel.notify_closing(self._listener)
            sockets.close_listener(self._listener, self.settings.listen)
            self._listener = None

    def stop(self) -> None:
        """Take nobody in any more; those inside stay."""
        self.is_stopping = True
        self.unbind()
        self.admission.close()
        self.backend.cancel()

    async def run(self) -> None:
        """Accept until ``stop``, and keep the deadlines."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_time)
            while self._listener is not None:
                try:
                    await trio.lowlevel.wait_readable(self._listener)
                except trio.ClosedResourceError:
                    break
                if self._listener is not None and not self._accept(self._listener):  # else: stopped meanwhile
                    self.observer.notice(
                        "no descriptor is left", hint="raise the hard limit of descriptors, or lower max_sessions"
                    )
                    await trio.sleep(REST_SECONDS)

    def _accept(self, listener: socket.socket) -> bool:
        """Take in who stands at the door. False when that can not be, for the want of a descriptor."""
        for _ in range(ACCEPTS):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR:
                    continue  # it was a connection that is no longer
                if not sockets.is_readable(listener):
                    break  # nobody waits: Linux says so of a descriptor before it looks
                if not self._proxy.evict():
                    return False
                continue  # a place is free now
            try:
                self.admission.enter(sock, address)
            except Exception as error:  # the boundary: one connection ends, not the listener
                self.observer.unexpected(error)
                sock.close()
        return True

    # --- inside

    def dial(self, sock: socket.socket, initiate: Initiate, minor: int, accepted_at: float) -> None:
        """A client is vouched for and allowed: fetch it its backend."""
        newcomer = Newcomer(self, sock, initiate, minor, accepted_at)
        self.backend.dial(newcomer, newcomer.properties())

    def session_has_ended(self, session: Session) -> None:
        self.sessions.discard(session)
        self.lingering.discard(session)
        self.observer.closed(session, session.reason or Closed.INTERNAL)

    async def _keep_time(self) -> None:
        """Deadlines: of strangers, of dials, of sessions that are ending. Each waits in the order of its time."""
        settings = self.settings.admission
        # Whoever comes while we sleep is due no earlier than this.
        nap = min(settings.handshake_seconds, settings.backend_connect_seconds, FAREWELL_SECONDS)
        while True:
            now = trio.current_time()
            self.admission.expire(now)
            self.backend.expire(now)
            for session in [late for late in self.lingering if (late.linger_until or now) <= now]:
                session.close()
            await trio.sleep(nap)


class Newcomer:
    """An allowed client whose backend is being dialled."""

    def __init__(
        self, service: Service, sock: socket.socket, initiate: Initiate, minor: int, accepted_at: float
    ) -> None:
        self._service, self._socket, self._initiate = service, sock, initiate
        self._minor, self._accepted_at = minor, accepted_at
        self._peer = sockets.peer_text(sock)
        self._name = service.clients.name(initiate.client) or z85.encode(initiate.client)

    def properties(self) -> dict[str, bytes]:
        """What the service is told of this client."""
        ours = {}
        if self._service.settings.forward_identity:
            ours = {
                "User-Id": self._name.encode(),
                "X-Curve-Key": z85.encode(self._initiate.client).encode(),
                "X-Peer-Address": self._peer.encode(),
            }
        return for_service(self._initiate.properties, ours)

    def connected(self, connection: Connection) -> None:
        """The backend is there: answer READY, and relay."""
        service = self._service
        service.admission.backend_is_up()
        near = find(self._initiate.properties, "Socket-Type")
        try:
            sockets.prepare_session(self._socket)
            # It fits into a send buffer that is all but empty.
            self._socket.send(curve_server.ready(self._initiate.shared, _ready_for_any(connection.properties)))
        except OSError:
            service.room.leave(connection.socket.fileno())
            connection.socket.close()
            self._turn_away(Outcome.PEER_CLOSED)
            return
        session = Session(
            service,
            self._name,
            self._peer,
            known(near),
            Peer(self._socket, Side(self._minor, near)),
            Peer(
                connection.socket,
                Side(connection.minor, connection.socket_type, connection.dialect),
                connection.rest,
            ),
            self._initiate,
        )
        service.sessions.add(session)
        service.observer.admitted(session, trio.current_time() - self._accepted_at)
        session.begin()

    def refused(self, error: PeerError) -> None:
        """There is no backend to be had: a BackendFailure, or an outcome where that is not the backend's fault."""
        if isinstance(error.reason, Outcome):
            self._turn_away(error.reason, error.detail)
        elif error.reason == BackendFailure.SOCKET_TYPE:
            self._service.admission.backend_is_up()
            self._turn_away(Outcome.SOCKET_TYPE, error.detail)
        else:
            self._turn_away(Outcome.BACKEND_UNAVAILABLE, str(error))

    def fail(self, error: Exception) -> None:
        self._service.observer.unexpected(error)
        self._turn_away(Outcome.INTERNAL)

    def _turn_away(self, outcome: Outcome, detail: str = "") -> None:
        self._service.admission.turn_away(self._socket, self._peer, outcome, detail)


def _ready_for_any(properties: Mapping[str, bytes]) -> dict[str, bytes]:
    """A service's properties in the size that any client can take."""
    properties = dict(properties)
    for name in droppable(properties):
        if len(metadata.encode(properties)) <= spec.READY_METADATA_MAX:
            break
        del properties[name]
    return properties
