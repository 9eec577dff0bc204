"""The sessions of one service, and the limits of their clients."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from math import inf

from attrs import evolve

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.terms import Grant
from curveproxy.policy.limits import ClientLimits
from curveproxy.policy.quotas import Quotas
from curveproxy.proxy.relay.env import Traffic
from curveproxy.proxy.relay.maintenance import Maintenance
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.relay.throttle import Throttle
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed, Outcome
from curveproxy.wire.codec.suites import FORMS


class SessionTable:
    """The sessions that have begun and not ended.

    traffic: what those before them have relayed, and the records of all; throttle: their pumps that must not read now.
    by_form: how many there are, by how their messages are sealed.
    by_authority: how many clients are in by a certificate, by what its authority is called here.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.traffic, self.throttle = Traffic(), Throttle()
        self.by_form = dict.fromkeys(FORMS, 0)
        self.by_authority = Counter[str]()
        self._next_end = inf  # no certificate of a session ends earlier, by the wall clock
        self._sessions: dict[Session, None] = {}  # the oldest first, as quotas want them
        self._lingering: set[Session] = set()
        self._quotas, self._maintenance = Quotas[Session](), Maintenance()
        self._settings = settings

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """The sessions of this moment; they may end while they are iterated."""
        return iter(list(self._sessions))

    def relayed(self) -> Traffic:
        """What all have relayed until now."""
        traffic = evolve(self.traffic)
        traffic.add(self._sessions)
        return traffic

    @property
    def throttled_seconds(self) -> float:
        """How long pumps have been paused, all together."""
        return self.throttle.seconds

    def add(self, session: Session) -> None:
        self._sessions[session] = None
        self.by_form[session.form] += 1
        self._count(session.grant, 1)
        self._share_quota(session)

    def remove(self, session: Session) -> bool:
        """Forget a session that has ended; whether it was known."""
        was_here = session in self._sessions
        if was_here:
            self.traffic.add((session,))
        self.by_form[session.form] -= was_here
        self._count(session.grant, -was_here)
        self._sessions.pop(session, None)
        self._lingering.discard(session)
        self._quotas.detach(session.who.key, session)
        return was_here

    def linger(self, session: Session) -> None:
        """Close a session when its ``ends_by`` has come."""
        self._lingering.add(session)

    def expire(self, now: float) -> None:
        """Close sessions whose time has come, and make the periodic checks."""
        self._quotas.expire(now)
        self.throttle.tick(now)
        self._maintenance.tick(now, self._sessions, self._settings)
        for session in [late for late in self._lingering if late.ends_by <= now]:
            session.expire()

    # --- limits of clients

    def configure(self, settings: ServiceSettings) -> None:
        """Use other limits from now on, and end the sessions of users that are no longer allowed."""
        self._settings = settings
        self._share_quotas()
        if settings.egress is not None:
            for session in self:
                if not settings.egress.allows(session.who.name):
                    session.revoke()

    def admit(self, clients: AccessList, now: float, keys: Set[bytes] | None = None) -> None:
        """Judge sessions by another list, and end those whose clients are no longer allowed.

        now: Unix seconds; keys: whose sessions; None for all.
        """
        for session in self:
            if keys is None or session.who.key in keys:
                self._review(session, clients, now)
        self._share_quotas()

    def end_with_certificates(self, clients: AccessList, now: float) -> None:
        """End the sessions whose certificates have ended, if the list has no other for them. now: Unix seconds."""
        if now <= self._next_end:
            return
        due = [session for session in self._sessions if session.grant.ends_at < now]
        for session in due:
            self._review(session, clients, now)
        self._next_end = min((each.grant.ends_at for each in self._sessions if each.grant.ends_at >= now), default=inf)
        if any(session.grant.ends_at >= now for session in due):  # by another certificate, with limits of its own
            self._share_quotas()

    def prolong(self, session: Session, grant: Grant) -> None:
        """A client has presented another certificate."""
        has_other_limits = grant.terms.limits != session.grant.terms.limits
        self._use_grant(session, grant)
        if has_other_limits:
            self._share_quota(session)
            self._end_surplus()

    def _review(self, session: Session, clients: AccessList, now: float) -> None:
        try:
            decision = clients.review(session.bearer, session.grant, now)
            if decision.grant is None:
                has_ended = decision.outcome == Outcome.CERTIFICATE_EXPIRED
                session.revoke(Closed.EXPIRED if has_ended else Closed.REVOKED)
            elif decision.grant.has_other_topics(session.grant):
                session.revoke()
            elif decision.grant is not session.grant:
                self._use_grant(session, decision.grant)
        except Exception as error:  # the boundary: one session ends, and the others are judged
            session.failed(error)

    def _use_grant(self, session: Session, grant: Grant) -> None:
        self._count(session.grant, -1)
        session.use_grant(grant)
        self._count(grant, 1)

    def _count(self, grant: Grant, more: int) -> None:
        """Count sessions that have come in, or have left, on these grounds."""
        if grant.certificate is not None:
            self.by_authority[grant.authority] += more
            self._next_end = min(self._next_end, grant.ends_at)

    def limits(self, grant: Grant) -> ClientLimits:
        """The limits of a client."""
        return grant.limits(self._settings.client_limits)

    def is_full(self, key: bytes, grant: Grant) -> bool:
        """Whether there is no place for another session of this client."""
        return self._quotas.is_full(key, self.limits(grant))

    def share_clients(self, elsewhere: Mapping[bytes, int]) -> Mapping[bytes, int]:
        """Set how many sessions the clients with limits have in other processes. Returns how many they have here."""
        self._quotas.set_elsewhere(elsewhere)
        self._end_surplus()
        return self._quotas.counts

    def _share_quotas(self) -> None:
        for session in self._sessions:
            self._share_quota(session)
        self._end_surplus()

    def _share_quota(self, session: Session) -> None:
        key = session.who.key
        session.share(self._quotas.attach(key, self.limits(session.grant), session))

    def _end_surplus(self) -> None:
        for session in self._quotas.surplus(self._settings.share):
            session.end_over_limit()
