"""A service decides who is let in, dials what lies behind it, and owns the sessions."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from socket import SocketType
from typing import Any

from attrs import frozen

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.terms import Grant
from curveproxy.policy.metadata import ANSWERS_PING, for_service
from curveproxy.proxy.applying import Applicant, Applying
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.connect.dial_request import DialHandler, DialRequest
from curveproxy.proxy.connect.dialer import DialEnv, Dialer
from curveproxy.proxy.connect.recovery import Recovery
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.net.reactor import Reactor, Spawn
from curveproxy.proxy.observer import Observer, ServiceFigures
from curveproxy.proxy.relay.env import AdmittedClient, RelayEnv
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.sessions.authorizer import Authorizer, identity_of
from curveproxy.proxy.sessions.identities import IdentityRegistry, IdentityTable
from curveproxy.proxy.sessions.pending import PendingSession
from curveproxy.proxy.sessions.renewal import OurCertificate
from curveproxy.proxy.sessions.table import SessionTable
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed, Outcome
from curveproxy.wire import z85

_NUMBERS = count(1)


def _nobody_waits() -> None: ...


@frozen
class ServiceEnv:
    """What the services of a process share.

    spawn: starts a task whose errors end its owner alone.
    make_room: frees a descriptor when there is none; False when it can not.
    registry: of identities, where other processes relay the same services.
    wall_clock: Unix seconds, by which certificates are judged.
    """

    reactor: Reactor
    pool: BufferPool
    memory: MemoryBudget
    capacity: Capacity
    spawn: Spawn
    make_room: Callable[[], bool]
    registry: IdentityRegistry | None = None
    wall_clock: Callable[[], float] = time.time


class Service:
    """One ``[[service]]`` or ``[[egress]]`` at work.

    settings: as they are now; see ``configure``.
    sessions: those that have begun and not ended.
    """

    def __init__(self, settings: ServiceSettings, clients: AccessList, observer: Observer, env: ServiceEnv) -> None:
        self.settings, self.observer = settings, observer
        self.sessions, self._our_certificate = SessionTable(settings), OurCertificate(settings)
        self._pending: set[PendingSession] = set()
        self._resume_parked: Callable[[], None] = _nobody_waits
        self._capacity, self._reactor, self._spawn = env.capacity, env.reactor, env.spawn
        may_share = settings.egress is not None
        self._identities = IdentityTable(settings.name, observer, env.registry, may_share=may_share)
        self._authorizer = Authorizer(settings, clients, observer, self._identities, self.sessions, env.wall_clock)
        self._recovery = Recovery(observer, env.spawn, lambda: self._resume_parked())
        dial_env = DialEnv(env.reactor, env.spawn, env.make_room, env.wall_clock)
        self._dialer = Dialer(settings, observer, dial_env, self._recovery)
        throttle, traffic = self.sessions.throttle, self.sessions.traffic
        self._relay_env = RelayEnv(
            settings.name, env.reactor, env.pool, env.memory, throttle, traffic, observer, env.spawn
        )

    @property
    def clients(self) -> AccessList:
        """The list of clients that is in force."""
        return self._authorizer.clients

    # --- figures

    def figures(self, bound: Endpoint, addresses: Sequence[str], half_open: int) -> ServiceFigures:
        """As they are now.

        bound, addresses: where it listens; half_open: of the listener, as far as they count to this service.
        """
        limits = self.settings.admission
        return ServiceFigures(
            endpoint=str(bound),
            addresses=addresses,
            backend_up=self._recovery.up,
            half_open=half_open + len(self._pending),
            half_open_limit=self._capacity.half_open_limit(limits.max_half_open),
            sessions_limit=self._capacity.sessions_limit(limits.max_sessions),
            **_as_configured(self.settings, self.clients),
            **_as_relayed(self.sessions, self.clients),
        )

    @property
    def places_in_use(self) -> int:
        """Of ``max_sessions``: sessions, and clients that are about to have one."""
        return len(self.sessions) + len(self._pending)

    # --- changes

    def configure(self, settings: ServiceSettings) -> None:
        """Use other settings for new clients. The listener must be configured too."""
        self.settings = settings
        self._authorizer.configure(settings)
        self._dialer.configure(settings)
        self.sessions.configure(settings)
        self._our_certificate.configure(settings)
        self._our_certificate.tell(self.sessions)

    def admit(self, clients: AccessList) -> None:
        """Use another list of clients, and end the sessions of those that are no longer allowed."""
        self._authorizer.admit(clients)

    def share_clients(self, elsewhere: Mapping[bytes, int]) -> Mapping[bytes, int]:
        """Set how many sessions the clients with limits have in other processes. Returns how many they have here."""
        return self.sessions.share_clients(elsewhere)

    def leave(self) -> None:
        """Refuse new clients, and those that are pending. Sessions stay."""
        self._authorizer.leave()
        for pending in list(self._pending):
            pending.cancel(RefusedError(Outcome.SHUTDOWN))

    async def make_way(self, identity: bytes, number: int) -> None:
        """The client with that number, which has this identity, has come again in another process."""
        await self._identities.make_way(identity, number)

    def expire(self, now: float) -> None:
        """Enforce deadlines, and make the periodic checks of sessions."""
        self._dialer.expire(now)
        self._identities.expire(now)
        self.sessions.expire(now)
        self._authorizer.expire()
        self._our_certificate.tell(self.sessions)

    def failed(self, error: Exception) -> None:
        self.observer.unexpected(error)

    # --- as the gate of a listener

    def name_of(self, applicant: Applicant) -> str:
        name = self.clients.name(applicant.key, applicant.said.certificate)
        return name or _without_key(applicant) or z85.encode(applicant.key)

    def judge(self, applicant: Applicant) -> Grant | RefusedError:
        """On what grounds an applicant may come in, so that its service is dialled; or why it may not."""
        grant = self._authorizer.judge(applicant)
        limit = self._capacity.sessions_limit(self.settings.admission.max_sessions)
        if isinstance(grant, Grant) and (self.places_in_use >= limit or self._capacity.is_full):
            return RefusedError(Outcome.SESSIONS_LIMIT)
        return grant

    def review(self, applicant: Applicant, grant: Grant, upstream: Established) -> Grant | RefusedError:
        return self._authorizer.review(applicant, grant, upstream)

    def apply(self, applying: Applying) -> None:
        """Make a pending session of an applicant."""
        applicant, grant = applying.applicant, applying.grant
        who = AdmittedClient(
            grant.name or _without_key(applicant),
            applicant.address,
            applicant.key,
            applicant.server_key,
            identity_of(applicant, grant),
            next(_NUMBERS),
            applicant.said.is_probe,
            grant,
        )
        pending = PendingSession(self, applying, who, self._reactor, self.observer, self._spawn)
        claims = self._identities.expect(pending)
        self._pending.add(pending)
        self._capacity.take_place()
        pending.begin(claims=claims)

    @property
    def is_down(self) -> bool:
        return self._recovery.is_down

    def allow_probes(self, now: float) -> int:
        return self._recovery.allow_probes(now)

    def check_listener(self, now: float) -> None:
        self._recovery.check_listener(now, self.settings)

    def on_recovery(self, resume: Callable[[], None]) -> None:
        self._resume_parked = resume

    # --- as the owner of pending sessions

    async def claim(self, who: AdmittedClient) -> None:
        await self._identities.claim(who)

    def dial(self, handler: DialHandler, who: AdmittedClient, metadata: Mapping[str, bytes]) -> DialRequest | None:
        return self._dialer.dial(handler, for_service(metadata, _told_of(who, self.settings)))

    def settled(self, pending: PendingSession) -> None:
        self._pending.remove(pending)
        self._capacity.give_place_back()
        self._identities.settled(pending)

    def give_back(self, upstream: Established) -> None:
        self._dialer.take_back(upstream.socket)

    def begin_session(self, pending: PendingSession, downstream: Established, upstream: Established) -> None:
        self._identities.replace(pending.who.identity)
        session = Session(pending.who, downstream, upstream, self.settings, self._relay_env, self)
        self.sessions.add(session)
        self._capacity.take_place()
        self._identities.begun(session)
        try:
            self.observer.admitted(session, max(0.0, session.opened_at - pending.applicant.accepted_at))
            session.begin()
            self._our_certificate.begun(session, pending.applicant.accepted_at)
            if pending.who.is_probe:
                session.dismiss()
        except Exception as error:  # the boundary: the client is admitted, so that the session ends
            session.failed(error)

    # --- as the owner of sessions

    def session_lingers(self, session: Session) -> None:
        self.sessions.linger(session)

    def session_renews(self, session: Session, certificate: bytes) -> None:
        self._authorizer.renew(session, certificate)

    def session_ended(self, session: Session, upstream: SocketType) -> None:
        self._dialer.take_back(upstream)
        if self.sessions.remove(session):
            self._capacity.give_place_back()
        self._identities.ended(session)
        self.observer.closed(session, session.reason or Closed.INTERNAL)


def _as_configured(settings: ServiceSettings, clients: AccessList) -> dict[str, Any]:
    """Those figures of a service that only its files change."""
    egress = settings.egress
    trust = clients.trust if egress is None else egress.trust
    return {
        "name": settings.name,
        "direction": settings.kind,
        "backend": ", ".join(map(str, egress.remotes if egress else [settings.backend])),
        "client_keys": clients.count,
        "server_keys": len(settings.server_keys) if egress is None else egress.key_count,
        "revocations": 0 if trust is None else trust.revocations.count,
        "own_certificates": settings.own_certificates,
    }


def _as_relayed(sessions: SessionTable, clients: AccessList) -> dict[str, Any]:
    """Those figures of a service that its sessions change."""
    traffic = sessions.relayed()
    listed = {authority.file: 0 for authority in clients.trust.authorities}
    return {
        "sessions": len(sessions),
        "messages_in": traffic.messages_in,
        "messages_out": traffic.messages_out,
        "octets_in": traffic.octets_in,
        "octets_out": traffic.octets_out,
        "throttled_seconds": sessions.throttled_seconds,
        "by_form": dict(sessions.by_form),
        "records_in": traffic.records_in.records,
        "records_out": traffic.records_out.records,
        "record_octets_in": traffic.records_in.octets,
        "record_octets_out": traffic.records_out.octets,
        "certificate_sessions": listed | +sessions.by_authority,
    }


def _without_key(applicant: Applicant) -> str:
    """What a client is called that has no key: its user, or its address. Empty for one that has a key."""
    return "" if applicant.key else applicant.user or applicant.address


def _told_of(who: AdmittedClient, settings: ServiceSettings) -> dict[str, bytes]:
    """The metadata that only the proxy may set."""
    ours = {}
    if settings.egress is not None:
        ours = {ANSWERS_PING: b""}
    elif settings.forward_identity:
        ours = {
            "User-Id": who.name.encode(),
            "X-Curve-Key": z85.encode(who.key).encode(),
            "X-Peer-Address": who.address.encode(),
        }
    return ours | ({"Identity": who.identity} if who.identity else {})
