"""Decides who may have a session of one service: by the list of clients, and by who has one already."""

from collections.abc import Callable

from curveproxy.policy.access.access_list import AccessList, Decision
from curveproxy.policy.access.terms import Grant
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.sessions.identities import IdentityTable
from curveproxy.proxy.sessions.renewal import renewed
from curveproxy.proxy.sessions.table import SessionTable
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Outcome
from curveproxy.wire.zmtp.frame import Dialect

TYPE_UNKNOWN = "its key is for some topics only, and the service does not tell its type: set backend_socket_type"


class Authorizer:
    """clients: the list that is in force; is_leaving: nobody may come in any more.

    wall_clock: Unix seconds, by which certificates are judged.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        clients: AccessList,
        observer: Observer,
        identities: IdentityTable,
        sessions: SessionTable,
        wall_clock: Callable[[], float],
    ) -> None:
        self.clients, self.is_leaving = clients, False
        clients.make_room()
        self._settings, self._observer, self._wall_clock = settings, observer, wall_clock
        self._identities, self._sessions = identities, sessions

    def configure(self, settings: ServiceSettings) -> None:
        """Use other settings from now on."""
        self._settings = settings

    def admit(self, clients: AccessList) -> None:
        """Use another list of clients, also for the sessions that have begun."""
        keys = clients.changed_keys(self.clients)
        self.clients = clients
        clients.make_room()
        self._sessions.admit(clients, self._wall_clock(), keys)

    def renew(self, session: Session, certificate: bytes) -> None:
        """A client presents another certificate than that by which it is in."""
        grant = renewed(session, certificate, self.clients, self._observer, self._wall_clock())
        if grant is not None:
            self._sessions.prolong(session, grant)

    def expire(self) -> None:
        """End the sessions whose certificates have ended."""
        self._sessions.end_with_certificates(self.clients, self._wall_clock())

    def leave(self) -> None:
        """Refuse everybody from now on."""
        self.is_leaving = True

    def judge(self, applicant: Applicant) -> Grant | RefusedError:
        """On what grounds an applicant may come in, or why it may not."""
        bearer = applicant.bearer(self._settings.name)
        decision = self.clients.admit(bearer, applicant.said.certificate, self._wall_clock())
        if decision.result:
            self._observer.certificate_judged(decision.result)
        return self._checked(applicant, decision)

    def review(self, applicant: Applicant, grant: Grant, upstream: Established) -> Grant | RefusedError:
        """The same of one that was let in and has no session yet. upstream: the service, which has been greeted."""
        bearer, now = applicant.bearer(self._settings.name), self._wall_clock()
        decision = self.clients.review(bearer, grant, now)
        if decision.grant is None and grant.certificate is None:  # was listed, so that what it presents was not judged
            presented = self.clients.admit(bearer, applicant.said.certificate, now)
            if presented.grant is not None and presented.grant.name == grant.name:  # which the service has been told
                decision = presented
        grounds = self._checked(applicant, decision)
        if isinstance(grounds, Grant) and grounds.terms.has_topics and not self._knows_type(upstream):
            return RefusedError(Outcome.SOCKET_TYPE, TYPE_UNKNOWN)
        return grounds

    def _knows_type(self, upstream: Established) -> bool:
        """Whether a service's type is known by the service or the operator, and not by a client's word."""
        is_told = bool(upstream.socket_type) and upstream.version.dialect != Dialect.V1
        return is_told or bool(self._settings.backend_socket_type)

    def _checked(self, applicant: Applicant, decision: Decision) -> Grant | RefusedError:
        """The grant of a decision, if nothing else stands against the applicant."""
        egress, grant = self._settings.egress, decision.grant
        if egress is not None and not egress.allows(applicant.user):
            return RefusedError(Outcome.CLIENT_UNKNOWN, applicant.user)
        if grant is None:
            return RefusedError(decision.outcome, decision.detail)
        if egress is None and self._settings.requires_records and not applicant.has_records:
            return RefusedError(Outcome.RECORDS)
        key, identity = applicant.key, identity_of(applicant, grant)
        if self._identities.is_of_another(identity, key):
            return RefusedError(Outcome.IDENTITY_IN_USE)
        if self.is_leaving:
            return RefusedError(Outcome.SHUTDOWN)
        # A client with the identity of a session replaces one of its own.
        if not self._identities.has_session(identity) and self._sessions.is_full(key, grant):
            at_most = f"at most {self._sessions.limits(grant).max_sessions}"
            return RefusedError(Outcome.CLIENT_SESSIONS_LIMIT, at_most)
        return grant


def identity_of(applicant: Applicant, grant: Grant) -> bytes:
    """The identity that a service is told. A probe has none: it replaces nobody."""
    return b"" if applicant.said.is_probe else grant.identity(applicant.said.identity)
