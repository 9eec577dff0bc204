"""Who may have a session: by the list, by the clock, and by who has one already."""

from typing import Any, cast

import pytest
from attrs import evolve
from support.certificates import CLIENT as FIELDS
from support.certificates import FROM_SECONDS, KEY, UNTIL_SECONDS, certificate
from support.fakes import RecordingObserver, RecordingSession, admitted, applicant
from support.trust import TRUST

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.terms import Grant, KeyTerms
from curveproxy.policy.limits import ClientLimits
from curveproxy.policy.metadata import CERTIFICATE
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.sessions.authorizer import Authorizer
from curveproxy.proxy.sessions.identities import IdentityTable
from curveproxy.proxy.sessions.table import SessionTable
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed, Outcome
from curveproxy.wire.security import Plain, Version
from curveproxy.wire.zmtp.frame import Dialect

SETTINGS = ServiceSettings("orders", Endpoint("ipc", "@a"), Endpoint("ipc", "@b"), ())
CERTIFIED = AccessList(trust=TRUST)
WITH_CERTIFICATE = applicant(key=KEY, more={CERTIFICATE: certificate(FIELDS)})


class Case:
    """An authorizer, and the time by its clock."""

    def __init__(self, clients: AccessList) -> None:
        self.now, self.observer, self.sessions = FROM_SECONDS + 3600.0, RecordingObserver(), SessionTable(SETTINGS)
        identities = IdentityTable("orders", self.observer, None)
        self.authorizer = Authorizer(
            SETTINGS, clients, self.observer, identities, self.sessions, wall_clock=lambda: self.now
        )

    def grant(self) -> Grant:
        grant = self.authorizer.judge(WITH_CERTIFICATE)
        assert isinstance(grant, Grant)
        return grant


def service(kind: bytes | None = b"ROUTER", dialect: Dialect = Dialect.V3) -> Established:
    """One that has been greeted. Its socket is not looked at."""
    told = {} if kind is None else {"Socket-Type": kind}
    return Established(cast("Any", None), told, Version(dialect, 0), Plain())


def outcome(judged: Grant | RefusedError) -> Outcome | None:
    return judged.outcome if isinstance(judged, RefusedError) else None


def test_a_certificate_lets_its_bearer_in_under_its_name_and_is_counted_once() -> None:
    case = Case(CERTIFIED)
    grant = case.grant()
    assert (grant.name, grant.authority, grant.ends_at) == ("desk-7", "plant-1", UNTIL_SECONDS + TRUST.skew)
    assert case.authorizer.review(WITH_CERTIFICATE, grant, service()) == grant
    case.grant()
    assert case.observer.take() == [("certificate", "valid"), ("certificate", "cached")]


def test_what_ends_while_a_client_waits_is_seen_at_the_end() -> None:
    case = Case(CERTIFIED)
    grant = case.grant()
    case.now = UNTIL_SECONDS + 61
    assert outcome(case.authorizer.review(WITH_CERTIFICATE, grant, service())) == Outcome.CERTIFICATE_EXPIRED


def test_who_is_struck_off_while_it_waits_is_let_in_by_the_certificate_that_it_presents_under_the_same_name() -> None:
    for name, expected in (("desk-7", None), ("alice", Outcome.CLIENT_UNKNOWN)):
        case = Case(AccessList({KEY: name}, trust=TRUST))
        grant = case.grant()
        assert grant == Grant(name)
        case.authorizer.admit(CERTIFIED)
        reviewed = case.authorizer.review(WITH_CERTIFICATE, grant, service())
        assert outcome(reviewed) == expected, "the service was told the other name"
        assert outcome(case.authorizer.review(applicant(key=KEY), grant, service())) == Outcome.CLIENT_UNKNOWN


def test_a_list_without_authorities_looks_at_no_certificate() -> None:
    case = Case(AccessList())
    assert outcome(case.authorizer.judge(WITH_CERTIFICATE)) == Outcome.CLIENT_UNKNOWN
    assert case.observer.take() == []


def test_another_list_is_for_those_who_are_in_too() -> None:
    case = Case(CERTIFIED)
    session = RecordingSession(evolve(admitted(key=KEY), grant=case.grant()))
    case.sessions.add(session)
    case.authorizer.admit(CERTIFIED)
    assert session.calls == []
    case.authorizer.admit(AccessList(trust=Trust()))
    assert session.calls == ["revoke"]


def test_its_own_limits_are_those_of_its_certificate() -> None:
    case = Case(CERTIFIED)
    text = certificate({**FIELDS, "max-sessions": "1"})
    who = applicant(key=KEY, more={CERTIFICATE: text})
    grant = case.authorizer.judge(who)
    assert isinstance(grant, Grant)
    assert grant.limits(ClientLimits(max_sessions=9)).max_sessions == 1
    case.sessions.add(RecordingSession(admitted(key=KEY, grant=grant)))
    assert outcome(case.authorizer.judge(who)) == Outcome.CLIENT_SESSIONS_LIMIT


def test_nobody_comes_in_any_more_once_it_leaves() -> None:
    case = Case(CERTIFIED)
    case.authorizer.leave()
    assert outcome(case.authorizer.judge(WITH_CERTIFICATE)) == Outcome.SHUTDOWN


@pytest.mark.parametrize(
    ("kind", "dialect", "configured", "is_known"),
    [
        (b"PUB", Dialect.V3, "", True),
        (b"ROUTER", Dialect.V2, "", True),
        (None, Dialect.V3, "", False),
        (b"PUB", Dialect.V1, "", False),
        (b"PUB", Dialect.V1, "PUB", True),
    ],
    ids=["told in 3.x", "told in 2.0", "untold", "taken from its client", "configured"],
)
@pytest.mark.parametrize("named", ["topics", "publish_topics"])
def test_a_key_for_some_topics_is_let_in_where_the_type_of_the_service_is_known(
    kind: bytes | None, dialect: Dialect, configured: str, is_known: bool, named: str
) -> None:
    asks, given = applicant(key=KEY), dict[str, Any]({named: (b"a",)})
    for restricted in (KeyTerms(), KeyTerms(**given)):
        case = Case(AccessList({KEY: "desk-7"}, terms={KEY: restricted}))
        case.authorizer.configure(evolve(SETTINGS, backend_socket_type=configured))
        grant = case.authorizer.judge(asks)
        assert isinstance(grant, Grant)
        reviewed = case.authorizer.review(asks, grant, service(kind, dialect))
        assert outcome(reviewed) == (None if is_known or not restricted.has_topics else Outcome.SOCKET_TYPE)


def test_a_session_goes_on_by_another_certificate_that_its_client_presents() -> None:
    case = Case(CERTIFIED)
    session = RecordingSession(admitted(key=KEY, grant=case.grant()))
    session.service = "orders"
    case.sessions.add(session)
    case.authorizer.renew(session, b"no certificate")
    case.authorizer.renew(session, certificate(FIELDS, valid_until="2026-12-10T05:40:00Z"))
    case.now = UNTIL_SECONDS + 3600.0
    case.authorizer.expire()
    assert session.calls == []
    case.now += 7 * 86400.0
    case.authorizer.expire()
    assert session.calls == [Closed.EXPIRED]
