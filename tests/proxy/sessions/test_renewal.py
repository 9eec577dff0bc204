"""Another certificate for a session that has begun: what a service makes of it, and when an egress presents one."""

import pytest
from attrs import evolve
from support.certificates import CLIENT as FIELDS
from support.certificates import KEY, OTHER_SEED, certificate
from support.clock import Clock
from support.fakes import CLIENT, RecordingObserver, RecordingSession, admitted
from support.trust import DESK, NOW, TRUST

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.terms import Grant
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.sessions.renewal import NOT_TAKEN, PRESENTED_SECONDS, OurCertificate, renewed
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.reasons import CertificateFlaw
from curveproxy.wire.curve.keys import KeyPair

CERTIFIED = AccessList(trust=TRUST)
LATER = "2026-12-10T05:40:00Z"
LATER_SECONDS = 1796881200  # the same, by ``date +%s``


def session_of(clients: AccessList = CERTIFIED, **changes: str) -> RecordingSession:
    """That of a client which has presented a certificate with these changes."""
    grant = clients.admit(DESK, certificate({**FIELDS, **changes}), NOW).grant
    assert grant is not None
    return RecordingSession(admitted(key=KEY, grant=grant))


def presents(
    session: RecordingSession, text: bytes, clients: AccessList = CERTIFIED
) -> tuple[Grant | None, list[object]]:
    """On what grounds it stays after it has presented another, and what was told of that."""
    observer = RecordingObserver()
    return renewed(session, text, clients, observer, NOW), list(observer.events)


def test_a_later_certificate_of_the_same_key_and_name_prolongs_a_session() -> None:
    grant, told = presents(session_of(), certificate(FIELDS, valid_until=LATER, serial="0" * 16))
    assert grant is not None
    assert grant.certificate is not None
    assert (grant.ends_at, grant.certificate.serial) == (LATER_SECONDS + TRUST.skew, "0" * 16)
    assert told == [("certificate", "valid")]


def test_one_that_was_found_good_before_is_not_verified_again() -> None:
    clients, text = AccessList(trust=TRUST), certificate(FIELDS, valid_until=LATER)
    first, second = session_of(clients), session_of(clients)
    presents(first, text, clients)
    grant, told = presents(second, text, clients)
    assert grant is not None
    assert told == [("certificate", "cached")]


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        (b"no certificate", CertificateFlaw.MALFORMED),
        (bytes(2049), CertificateFlaw.TOO_LARGE),
        (certificate(FIELDS, public_key="Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"), CertificateFlaw.OTHER_KEY),
        (certificate(FIELDS, OTHER_SEED), CertificateFlaw.AUTHORITY),
        (
            certificate(FIELDS, valid_from="2026-11-19T05:39:00Z", valid_until="2026-11-26T05:40:00Z"),
            CertificateFlaw.EXPIRED,
        ),
        (certificate(FIELDS, name="desk-8"), CertificateFlaw.SERVICE),
        (certificate(FIELDS, identity="desk-7"), CertificateFlaw.SERVICE),
        (certificate(FIELDS, topics="a"), CertificateFlaw.SERVICE),
        (certificate(FIELDS, services="others"), CertificateFlaw.SERVICE),
        (certificate(FIELDS, valid_until=LATER).replace(b"2026-12-10", b"2026-12-11"), CertificateFlaw.SIGNATURE),
    ],
    ids=lambda each: each if isinstance(each, CertificateFlaw) else "",
)
def test_any_other_one_leaves_the_session_as_it_was(text: bytes, flaw: CertificateFlaw) -> None:
    session = session_of()
    grant, told = presents(session, text)
    assert grant is None
    assert told == [("certificate", flaw), ("notice", NOT_TAKEN)]
    assert session.calls == []


def test_limits_may_be_others() -> None:
    grant, _ = presents(session_of(), certificate(FIELDS, max_sessions="4"))
    assert grant is not None
    assert grant.terms.limits == {"max_sessions": 4}


def test_who_is_in_without_a_certificate_gains_nothing_by_one() -> None:
    listed = RecordingSession(admitted(key=KEY))
    assert presents(listed, certificate(FIELDS), AccessList({KEY: "desk"}, trust=TRUST)) == (None, [])
    assert presents(listed, b"no certificate", AccessList(allow_any=True)) == (None, [])


# --- ours


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.set(monkeypatch)


BEHIND = Endpoint("ipc", "@b")


def with_certificate(text: bytes) -> ServiceSettings:
    egress = EgressSettings((BEHIND,), (bytes(32),), KeyPair(bytes(32), bytes(32)), certificate=text)
    return ServiceSettings("test", Endpoint("ipc", "@a"), BEHIND, (), egress=egress)


def session() -> RecordingSession:
    return RecordingSession(admitted(key=CLIENT))


def test_all_sessions_are_told_another_certificate_once() -> None:
    ours, sessions = OurCertificate(with_certificate(b"first")), [session(), session()]
    ours.tell(sessions)
    ours.configure(with_certificate(b"first"))
    ours.tell(sessions)
    assert [each.calls for each in sessions] == [[], []]
    ours.configure(with_certificate(b"second"))
    for _ in range(2):
        ours.tell(sessions)
        assert [each.calls for each in sessions] == [[b"second"], [b"second"]]


def test_the_first_certificate_of_an_egress_is_told_too_and_none_is_not() -> None:
    ours, one = OurCertificate(with_certificate(b"")), session()
    ours.configure(with_certificate(b"first"))
    ours.tell([one])
    ours.configure(with_certificate(b""))
    ours.tell([one])
    assert one.calls == [b"first"]


def test_a_third_one_waits_until_remotes_take_it(clock: Clock) -> None:
    ours, one = OurCertificate(with_certificate(b"first")), session()
    for text in (b"second", b"third", b"fourth"):
        ours.configure(with_certificate(text))
        ours.tell([one])
    clock.now += PRESENTED_SECONDS - 0.1
    ours.tell([one])
    assert one.calls == [b"second"]
    clock.now += 0.2
    ours.tell([one])
    assert one.calls == [b"second", b"fourth"]


def test_a_session_whose_handshake_was_under_way_is_told(clock: Clock) -> None:
    ours, early, late = OurCertificate(with_certificate(b"first")), session(), session()
    ours.begun(early, clock.now)
    clock.now += 1
    ours.configure(with_certificate(b"second"))
    ours.tell([])
    ours.begun(early, clock.now - 1)
    ours.begun(late, clock.now + 1)
    assert (early.calls, late.calls) == ([b"second"], [])


def test_a_service_presents_nothing() -> None:
    plain = evolve(with_certificate(b""), egress=None)
    ours, one = OurCertificate(plain), session()
    ours.configure(plain)
    ours.tell([one])
    ours.begun(one, 0.0)
    assert one.calls == []
