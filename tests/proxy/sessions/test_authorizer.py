"""Who may have a session: by the list, by the clock, and by who has one already."""

from attrs import evolve
from support.certificates import CLIENT as FIELDS
from support.certificates import FROM_SECONDS, KEY, UNTIL_SECONDS, certificate
from support.fakes import RecordingObserver, RecordingSession, admitted, applicant
from support.trust import TRUST

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.terms import Grant
from curveproxy.policy.limits import ClientLimits
from curveproxy.policy.metadata import CERTIFICATE
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.sessions.authorizer import Authorizer
from curveproxy.proxy.sessions.identities import IdentityTable
from curveproxy.proxy.sessions.table import SessionTable
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Outcome

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


def outcome(judged: Grant | RefusedError) -> Outcome | None:
    return judged.outcome if isinstance(judged, RefusedError) else None


def test_a_certificate_lets_its_bearer_in_under_its_name_and_is_counted_once() -> None:
    case = Case(CERTIFIED)
    grant = case.grant()
    assert (grant.name, grant.authority, grant.ends_at) == ("desk-7", "plant-1", UNTIL_SECONDS + TRUST.skew)
    assert case.authorizer.review(WITH_CERTIFICATE, grant) == grant
    case.grant()
    assert case.observer.take() == [("certificate", "valid"), ("certificate", "cached")]


def test_what_ends_while_a_client_waits_is_seen_at_the_end() -> None:
    case = Case(CERTIFIED)
    grant = case.grant()
    case.now = UNTIL_SECONDS + 61
    assert outcome(case.authorizer.review(WITH_CERTIFICATE, grant)) == Outcome.CERTIFICATE_EXPIRED


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
