"""A service: where its clients come in, what lies behind, and everybody between."""

import socket
from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import trio

from curveproxy.policy.access import AccessList
from curveproxy.policy.identities import Rivals
from curveproxy.policy.limits import ClientLimits, sessions_in_force
from curveproxy.policy.metadata import droppable, for_service, is_probe
from curveproxy.policy.quotas import Quotas
from curveproxy.policy.socket_types import known
from curveproxy.proxy.connect.dialer import DialAttempt, Dialer
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.reactor import READ, WRITE
from curveproxy.proxy.observer import Observer, ServiceFigures
from curveproxy.proxy.relay.env import AdmittedClient, RelayEnv, Traffic
from curveproxy.proxy.relay.maintenance import Maintenance
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.relay.throttle import Throttle
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, Closed, Outcome
from curveproxy.wire import spec, z85
from curveproxy.wire.curve import box
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.curve.server import Initiate
from curveproxy.wire.security import Curve, Version
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.metadata import find

if TYPE_CHECKING:
    from curveproxy.proxy.accept.listener import Listener
    from curveproxy.proxy.server import Server

# How long a service has to take the last messages of a client that has closed, before that one comes again: until its
# program has read them, libzmq knows the identity as taken.
SETTLE_SECONDS = 0.1

_NUMBERS = count(1)


class Service:
    """One ``[[service]]`` at work.

    settings, clients: as they are now; see ``configure`` and ``admit``.
    door: where its clients come in.
    identities: whose session each identity is; quotas: what the clients with limits may still take.
    is_leaving: nobody is let in any more.
    """

    door: "Listener"

    def __init__(self, proxy: "Server", settings: ServiceSettings, clients: AccessList, observer: Observer) -> None:
        self.settings, self.clients, self.observer = settings, clients, observer
        self.sessions: set[Session] = set()
        self.identities: dict[bytes, Session] = {}
        self._coming: dict[bytes, PendingSession] = {}
        self._freed: dict[bytes, trio.Event] = {}
        self._rivals = Rivals()
        self.quotas, self._maintenance = Quotas[Session](), Maintenance()
        self.traffic, self.throttle = Traffic(), Throttle()
        self.lingering: set[Session] = set()
        self.reactor = proxy.sessions_reactor
        self._env = RelayEnv(proxy.sessions_reactor, proxy.buffers, self.throttle, self.traffic, observer, proxy.spawn)
        self._descriptors = proxy.descriptors
        self.backend = Dialer(
            settings, observer, proxy.sessions_reactor, proxy.spawn, proxy.evict, proxy.descriptors.sessions
        )
        self.is_leaving = False
        self._proxy = proxy

    # --- figures

    @property
    def bound(self) -> Endpoint:
        """Where it listens, with the port that the system chose."""
        return self.door.bound

    @property
    def half_open(self) -> int:
        """Connections without an outcome: strangers at its door, and clients whose backend is being dialled."""
        strangers = len(self.door.admission.half_open) if self.door.first is self else 0
        return strangers + self.backend.coming

    @property
    def half_open_limit(self) -> int:
        """``max_half_open`` in force: no more than descriptors that sessions leave, for all listeners together."""
        return min(self.settings.admission.max_half_open, self._descriptors.room)

    @property
    def sessions_limit(self) -> int:
        """``max_sessions`` in force."""
        return sessions_in_force(self.settings.admission.max_sessions, self._descriptors.limit)

    @property
    def taken(self) -> int:
        """Places that are taken among the sessions, those included whose backend is being dialled."""
        return len(self.sessions) + self.backend.coming

    @property
    def backend_up(self) -> bool | None:
        """How the last dial ended; None before the first."""
        return self.backend.up

    def figures(self) -> ServiceFigures:
        """As they are now."""
        traffic, clients = self.traffic, self.clients
        return ServiceFigures(
            name=self.settings.name,
            endpoint=str(self.bound),
            addresses=self.door.addresses,
            backend=str(self.settings.backend),
            backend_up=self.backend_up,
            half_open=self.half_open,
            half_open_limit=self.half_open_limit,
            sessions=len(self.sessions),
            sessions_limit=self.sessions_limit,
            client_keys=None if clients.allow_any else len(clients.names),
            server_keys=len(self.settings.server_keys),
            messages_in=traffic.messages_in,
            messages_out=traffic.messages_out,
            octets_in=traffic.octets_in,
            octets_out=traffic.octets_out,
            throttled_seconds=self.throttle.seconds,
        )

    # --- changes

    def configure(self, settings: ServiceSettings) -> None:
        """Other settings for whoever comes from now on. The door has to be told too."""
        self.settings = settings
        self.backend.configure(settings)
        self._share_quotas()

    def admit(self, clients: AccessList) -> None:
        """Another list of clients. Sessions of those that may not be here any more end."""
        self.clients = clients
        self._share_quotas()
        for session in list(self.sessions):
            if clients.check(session.who.key, session.claimed_type, session.who.identity) is not None:
                session.revoke()

    def share_clients(self, elsewhere: Mapping[bytes, int]) -> Mapping[bytes, int]:
        """Set how many sessions the clients with limits have in other processes. Returns how many they have here."""
        self.quotas.set_elsewhere(elsewhere)
        self._end_surplus()
        return self.quotas.counts

    def _share_quotas(self) -> None:
        for session in self.sessions:
            self._share_quota(session)
        self._end_surplus()

    def _end_surplus(self) -> None:
        for session in self.quotas.surplus(self.settings.share):
            session.end_over_limit()

    def _share_quota(self, session: Session) -> None:
        session.share(self.quotas.attach(session.who.key, self._limits(session.who.key), session))

    def _limits(self, key: bytes) -> ClientLimits:
        return self.clients.limits(key, self.settings.client_limits)

    def leave(self) -> None:
        """Let nobody in any more; those inside stay."""
        self.is_leaving = True
        self.backend.cancel()

    # --- coming in

    def check(self, initiate: Initiate) -> None:
        """Whether a client that has proved its key may come in. Raises RefusedError."""
        key, properties = initiate.client, initiate.properties
        told = find(properties, "Identity") or b""
        objection = self.clients.check(key, find(properties, "Socket-Type"), told)
        if objection is not None:
            raise RefusedError(*objection)
        identity = self.identity_of(initiate)
        holder = self.identities.get(identity)
        if any(other is not None and other.who.key != key for other in (holder, self._coming.get(identity))):
            raise RefusedError(Outcome.IDENTITY_IN_USE)
        if self.is_leaving:
            raise RefusedError(Outcome.SHUTDOWN)
        limits = self._limits(key)
        if holder is None and self.quotas.is_full(key, limits):  # else it replaces one of its own
            raise RefusedError(Outcome.CLIENT_SESSIONS_LIMIT, f"at most {limits.max_sessions}")

    def identity_of(self, initiate: Initiate) -> bytes:
        """Who a client is to the service; a probe is nobody, so that whoever has that identity stays."""
        if is_probe(initiate.properties):
            return b""
        return self.clients.identity(initiate.client, find(initiate.properties, "Identity") or b"")

    def name_of(self, key: bytes) -> str:
        """The operator's name for a client, else its public key in Z85."""
        return self.clients.name(key) or z85.encode(key)

    def check_room(self) -> None:
        """Whether there is a place for one more. Raises RefusedError."""
        if self.taken >= self.sessions_limit or self._descriptors.is_full:
            raise RefusedError(Outcome.SESSIONS_LIMIT)

    def dial(
        self, sock: socket.socket, peer: str, initiate: Initiate, server: KeyPair, minor: int, accepted_at: float
    ) -> None:
        """A client is vouched for and allowed: fetch it its backend."""
        newcomer = PendingSession(self, sock, peer, initiate, server, minor, accepted_at)
        identity, clear = newcomer.who.identity, None
        self.replace(identity)
        if identity:
            self._coming[identity] = newcomer
            if identity in self.identities or self._proxy.registry is not None:
                clear = partial(self._clear, newcomer)
        self.backend.dial(newcomer, newcomer.properties(), clear)

    def replace(self, identity: bytes) -> None:
        """Its client has come again, and whoever has this identity may never hear that it had gone.

        A session that does hear it delivers what its client has said before: see ``_until_free``.
        """
        if (older := self.identities.get(identity)) is not None:
            if older.is_finishing:
                older.hurry()
            else:
                older.abort(Closed.REPLACED)
                if self._rivals.add(identity, trio.current_time()):
                    self.observer.rivals(older)
        if (newcomer := self._coming.get(identity)) is not None:
            newcomer.dial.cancel(RefusedError(Outcome.PEER_CLOSED, "it has come again"))

    async def _until_free(self, identity: bytes) -> None:
        """Until the session that has this identity now has ended, and the service can be told it again.

        libzmq's ROUTER passes over for ever whoever comes with an identity that it knows as another's.
        """
        if identity in self.identities:
            await self._freed.setdefault(identity, trio.Event()).wait()
            await trio.sleep(SETTLE_SECONDS)

    async def _clear(self, newcomer: "PendingSession") -> None:
        """Have a newcomer's identity for it, whichever process has a session with it. Raises RefusedError."""
        await self._until_free(newcomer.who.identity)
        registry, who = self._proxy.registry, (newcomer.who.identity, newcomer.who.key, newcomer.who.number)
        if registry is not None and not await registry.claim(self.settings.name, *who):
            raise RefusedError(Outcome.IDENTITY_IN_USE)

    def release(self, identity: bytes, key: bytes, number: int) -> None:
        """A client has gone that may have claimed its identity."""
        if identity and self._proxy.registry is not None:
            self._proxy.registry.release(self.settings.name, identity, key, number)

    async def make_way(self, identity: bytes, number: int) -> None:
        """The client with that number, which has this identity, has come again in another process."""
        holder = self.identities.get(identity) or self._coming.get(identity)
        if holder is not None and holder.who.number == number:
            self.replace(identity)
            await self._until_free(identity)

    def has_come(self, newcomer: "PendingSession") -> None:
        """It is no newcomer any more: there is a backend for it, or none."""
        if self._coming.get(newcomer.who.identity) is newcomer:
            del self._coming[newcomer.who.identity]

    def new_session(self, client: AdmittedClient, downstream: Established, upstream: Established) -> Session:
        return Session(client, downstream, upstream, self.settings, self._env, self)

    def session_has_begun(self, session: Session) -> None:
        self.sessions.add(session)
        self._descriptors.sessions.number += 1
        self._share_quota(session)
        if session.who.identity:
            self.identities[session.who.identity] = session

    def session_lingers(self, session: Session) -> None:
        self.lingering.add(session)

    def session_ended(self, session: Session, upstream: socket.socket) -> None:
        self.backend.take_back(upstream)
        if session in self.sessions:
            self.sessions.remove(session)
            self._descriptors.sessions.number -= 1
        self.lingering.discard(session)
        self.quotas.detach(session.who.key, session)
        if self.identities.get(session.who.identity) is session:
            del self.identities[session.who.identity]
            if (freed := self._freed.pop(session.who.identity, None)) is not None:
                freed.set()
        self.release(session.who.identity, session.who.key, session.who.number)
        self.observer.closed(session, session.reason or Closed.INTERNAL)

    def expire(self, now: float) -> None:
        """Deadlines, of dials and of sessions that are ending; and what is looked at now and then."""
        self.backend.expire(now)
        self.quotas.expire(now)
        self._rivals.expire(now)
        self.throttle.tick(now)
        self._maintenance.tick(now, self.sessions, self.settings)
        for session in [late for late in self.lingering if late.ends_by <= now]:
            session.close()


class PendingSession:
    """An allowed client whose backend is being dialled."""

    dial: DialAttempt

    def __init__(
        self,
        service: Service,
        sock: socket.socket,
        peer: str,
        initiate: Initiate,
        server: KeyPair,
        minor: int,
        accepted_at: float,
    ) -> None:
        self.service, self.initiate = service, initiate
        self.who = AdmittedClient(
            service.name_of(initiate.client),
            peer,
            initiate.client,
            server.public,
            service.identity_of(initiate),
            next(_NUMBERS),
            is_probe(initiate.properties),
        )
        self._socket, self._minor, self._accepted_at = sock, minor, accepted_at

    def properties(self) -> dict[str, bytes]:
        """What the service is told of this client."""
        ours = {}
        if self.service.settings.forward_identity:
            ours = {
                "User-Id": self.who.name.encode(),
                "X-Curve-Key": z85.encode(self.initiate.client).encode(),
                "X-Peer-Address": self.who.address.encode(),
            }
        if self.who.identity:
            ours["Identity"] = self.who.identity
        return for_service(self.initiate.properties, ours)

    def connected(self, upstream: Established) -> None:
        """The backend is there: answer READY, and relay."""
        service = self.service
        service.has_come(self)
        service.door.admission.backend_is_up()
        initiate = self.initiate
        # READY is the first box that we seal with the key of the session.
        security = Curve(
            initiate.shared, box.MESSAGE_FROM_SERVER, 1, box.MESSAGE_FROM_CLIENT, initiate.nonce, initiate.little_endian
        )
        downstream = Established(self._socket, initiate.properties, Version(Dialect.V3, self._minor), security)
        try:
            service.check(initiate)  # once more, for much may have changed meanwhile
            sockets.prepare_session(self._socket)
            # Before READY, for whoever has that is in. Nothing is woken before this turn is over.
            service.reactor.register(self._socket.fileno(), self, READ | WRITE)
            self._answer(curve_server.ready(self.initiate.shared, _ready_for_any(upstream.metadata)))
        except (RefusedError, OSError) as error:
            service.reactor.unregister(self._socket.fileno())
            service.backend.take_back(upstream.socket)
            self.refused(error if isinstance(error, RefusedError) else _outcome_of(error))
            return
        service.replace(self.who.identity)
        session = service.new_session(self.who, downstream, upstream)
        service.session_has_begun(session)
        try:
            service.observer.admitted(session, max(0.0, trio.current_time() - self._accepted_at))
            session.begin()
            if self.who.is_probe:
                session.dismiss()
        except Exception as error:  # the boundary: it has been admitted, and what ends from now on is the session
            session.failed(error)

    def _answer(self, ready: bytes) -> None:
        """Send READY, which fits into a send buffer that is all but empty. Raises OSError, and RefusedError if not."""
        if self._socket.send(ready) < len(ready):
            raise RefusedError(Outcome.PEER_CLOSED, "it takes no READY")

    def refused(self, error: RefusedError | DialError) -> None:
        """There is no backend to be had: a BackendFailure, or an outcome where that is not the backend's fault."""
        if isinstance(error, RefusedError):
            self._turn_away(error.outcome, error.detail)
            return
        if error.failure == BackendFailure.SOCKET_TYPE:
            self.service.door.admission.backend_is_up()
            near = known(find(self.initiate.properties, "Socket-Type"))
            if near not in self.service.backend.served:  # else another program has its place now, and that may pass
                self._turn_away(Outcome.SOCKET_TYPE, error.detail)
                return
        self._turn_away(Outcome.BACKEND_UNAVAILABLE, str(error))

    def ready(self, _events: int) -> None:
        """Its session takes the socket over before anything can be ready."""

    def failed(self, error: Exception) -> None:
        self.service.observer.unexpected(error)
        self._turn_away(Outcome.INTERNAL)

    def _turn_away(self, outcome: Outcome, detail: str = "") -> None:
        self.service.has_come(self)
        self.service.release(self.who.identity, self.who.key, self.who.number)
        admission = self.service.door.admission
        admission.turn_away(self.service, self._socket, self.who.address, outcome, detail, self.initiate)


def _outcome_of(error: OSError) -> RefusedError:
    """How a handshake ended that an error of its own socket has ended, or one of ours."""
    if error.errno in sockets.EXHAUSTED:
        return RefusedError(Outcome.SESSIONS_LIMIT, sockets.EXHAUSTED[error.errno])
    return RefusedError(Outcome.PEER_CLOSED)


def _ready_for_any(properties: Mapping[str, bytes]) -> dict[str, bytes]:
    """A service's properties in the size that any client can take."""
    properties = dict(properties)
    for name in droppable(properties):
        if len(metadata.encode(properties)) <= spec.READY_METADATA_MAX:
            break
        del properties[name]
    return properties
