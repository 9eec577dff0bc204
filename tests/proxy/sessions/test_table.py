"""The sessions of one service: their quotas, what a new list or new settings do to them, and when they are closed."""

import pytest
from attrs import evolve
from support.certificates import CLIENT as FIELDS
from support.certificates import KEY, OTHER_SEED, UNTIL_SECONDS, authority_key, certificate
from support.fakes import CLIENT, OTHER_CLIENT, RecordingSession, admitted
from support.trust import AUTHORITY, DESK, TRUST

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.revocations import Revocations
from curveproxy.policy.access.terms import Grant, KeyTerms
from curveproxy.policy.limits import ClientLimits, WorkerShare
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.relay.session import IDLE_CHECKS
from curveproxy.proxy.sessions.table import SessionTable
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.reasons import Closed
from curveproxy.wire.curve.keys import KeyPair

SETTINGS = ServiceSettings("test", Endpoint("ipc", "@a"), Endpoint("ipc", "@b"), ())
GRANT, NOW = Grant(), 1_795_675_140.0  # Unix seconds
TWO = evolve(SETTINGS, client_limits=ClientLimits(max_sessions=2))


def with_sessions(settings: ServiceSettings, *keys: bytes) -> tuple[SessionTable, list[RecordingSession]]:
    """A table that has a session of each of these keys."""
    table = SessionTable(settings)
    sessions = [RecordingSession(admitted(key=key, number=number)) for number, key in enumerate(keys, 1)]
    for session in sessions:
        table.add(session)
    return table, sessions


def test_sessions_are_there_from_their_beginning_to_their_end() -> None:
    table, [first, second] = with_sessions(SETTINGS, CLIENT, CLIENT)
    assert (len(table), set(table)) == (2, {first, second})
    assert table.remove(first) is True
    assert table.remove(first) is False, "it has been counted"
    assert list(table) == [second]


def test_sessions_are_counted_by_how_their_messages_are_sealed() -> None:
    table, [first, second] = with_sessions(SETTINGS, CLIENT, CLIENT)
    in_records = RecordingSession(admitted(number=3))
    in_records.form = "aegis-256"
    table.add(in_records)
    assert table.by_form == {"message": 2, "xsalsa20-poly1305": 0, "aegis-256": 1}
    for session in (first, first, in_records):
        table.remove(session)
    assert table.by_form == {"message": 1, "xsalsa20-poly1305": 0, "aegis-256": 0}
    assert second.form == "message"


def test_sessions_may_end_while_all_are_looked_at() -> None:
    table, sessions = with_sessions(SETTINGS, CLIENT, CLIENT, CLIENT)
    assert [table.remove(session) for session in table] == [True] * len(sessions)


def test_a_client_without_limits_has_no_quota() -> None:
    table, [session] = with_sessions(SETTINGS, CLIENT)
    assert session.quota is None
    assert not table.is_full(CLIENT, GRANT)
    assert table.limits(GRANT) == ClientLimits()


def test_the_sessions_of_one_key_share_a_quota() -> None:
    table, [first, second, other] = with_sessions(TWO, CLIENT, CLIENT, OTHER_CLIENT)
    assert first.quota is second.quota is not None
    assert other.quota is not first.quota
    assert (table.is_full(CLIENT, GRANT), table.is_full(OTHER_CLIENT, GRANT)) == (True, False)
    table.remove(first)
    assert not table.is_full(CLIENT, GRANT)


def test_a_certificate_s_limits_come_before_those_of_all() -> None:
    table, [session] = with_sessions(TWO, CLIENT)
    table.admit(AccessList({CLIENT: "alice"}, terms={CLIENT: KeyTerms(limits={"max_sessions": 1})}), NOW)
    assert table.limits(session.grant).max_sessions == 1
    assert table.limits(GRANT).max_sessions == 2
    assert table.is_full(CLIENT, session.grant)


def test_a_lower_limit_ends_the_newest_sessions() -> None:
    table, sessions = with_sessions(SETTINGS, *[CLIENT] * 4, OTHER_CLIENT, *[CLIENT] * 20)
    table.configure(TWO)
    assert [bool(session.calls) for session in sessions] == [False] * 2 + [True] * 2 + [False] + [True] * 20


def test_a_limit_that_is_lifted_takes_the_quota_away() -> None:
    table, [session] = with_sessions(TWO, CLIENT)
    table.configure(SETTINGS)
    assert session.quota is None


def test_sessions_in_other_processes_count() -> None:
    table, [first, second, _] = with_sessions(TWO, CLIENT, CLIENT, OTHER_CLIENT)
    table.configure(evolve(TWO, share=WorkerShare(0, 2)))
    assert table.share_clients({CLIENT: 1}) == {CLIENT: 2, OTHER_CLIENT: 1}
    assert (first.calls, second.calls) == ([], ["end_over_limit"]), "this process has one of the two"
    assert table.share_clients({OTHER_CLIENT: 1}) == {CLIENT: 2, OTHER_CLIENT: 1}
    assert table.is_full(OTHER_CLIENT, GRANT)


def test_whoever_is_not_on_the_new_list_is_sent_away() -> None:
    table, [listed, unlisted] = with_sessions(SETTINGS, CLIENT, OTHER_CLIENT)
    table.admit(AccessList({CLIENT: "alice"}), NOW)
    assert (listed.calls, unlisted.calls) == ([], ["revoke"])
    table.admit(AccessList({CLIENT: "alice"}, terms={CLIENT: KeyTerms(socket_types=frozenset({b"DEALER"}))}), NOW)
    assert listed.calls == ["revoke"], "it is a REQ"


def test_whoever_s_time_has_come_is_closed() -> None:
    table, [late, patient, gone] = with_sessions(SETTINGS, CLIENT, CLIENT, CLIENT)
    for session in (late, patient, gone):
        table.linger(session)
        session.on_end = table.remove
    late.ends_by, patient.ends_by, gone.ends_by = 5.0, 9.0, 4.0
    table.remove(gone)
    table.expire(5.0)
    assert (late.calls, patient.calls, gone.calls) == (["expire"], [], [])
    table.expire(6.0)
    assert late.calls == ["expire"], "once"


@pytest.mark.parametrize(
    ("settings", "check"),
    [
        (evolve(SETTINGS, idle_seconds=IDLE_CHECKS), "check_idle"),
        (evolve(SETTINGS, heartbeat_seconds=1.0), "check_alive"),
    ],
)
def test_sessions_are_checked_as_the_settings_say(settings: ServiceSettings, check: str) -> None:
    table, [session] = with_sessions(SETTINGS, CLIENT)
    for now in range(100, 103):
        table.expire(float(now))
    assert session.calls == []
    table.configure(settings)
    for now in range(103, 110):
        table.expire(float(now))
    assert set(session.calls) == {check}
    assert len(session.calls) >= 5


async def test_a_new_table_has_relayed_nothing_and_held_nobody_back() -> None:
    table = SessionTable(SETTINGS)
    assert table.throttled_seconds == 0
    relayed = table.relayed()
    assert (relayed.messages_in, relayed.octets_out, len(table)) == (0, 0, 0)


def test_what_sessions_have_relayed_stays_counted_when_they_end() -> None:
    table, [first, second] = with_sessions(SETTINGS, CLIENT, CLIENT)
    first.messages_in, second.octets_out = 3, 5
    for _ in range(2):
        relayed = table.relayed()
        assert (relayed.messages_in, relayed.octets_out) == (3, 5)
        table.remove(first)
        table.remove(first)
    second.octets_out = 6
    assert table.relayed().octets_out == 6


def test_the_sessions_of_a_user_that_may_not_connect_to_an_egress_any_more_end() -> None:
    egress = EgressSettings((SETTINGS.backend,), (bytes(32),), KeyPair(bytes(32), bytes(32)))
    table = SessionTable(evolve(SETTINGS, egress=egress))
    sessions = [RecordingSession(evolve(admitted(), given_name=name)) for name in ("uid 1", "uid 10", "127.0.0.1:4242")]
    for session in sessions:
        table.add(session)
    table.configure(evolve(SETTINGS, egress=egress))
    assert [session.calls for session in sessions] == [[], [], []]
    table.configure(evolve(SETTINGS, egress=evolve(egress, allow_uids=frozenset({10}))))
    assert [session.calls for session in sessions] == [["revoke"], [], []]


# --- certificates

CERTIFICATE = dict(FIELDS)
CERTIFIED = AccessList(trust=TRUST)
END = UNTIL_SECONDS + 60.0  # of the certificate of whoever is ``certified``


def certified(clients: AccessList = CERTIFIED, **changes: str) -> RecordingSession:
    """A session of a client that has presented a certificate with these changes."""
    grant = clients.admit(
        DESK, certificate(CERTIFICATE | {name.replace("_", "-"): value for name, value in changes.items()}), NOW
    ).grant
    assert grant is not None
    return RecordingSession(admitted(key=KEY, grant=grant))


def table_of(*sessions: RecordingSession, settings: ServiceSettings = SETTINGS) -> SessionTable:
    table = SessionTable(settings)
    for session in sessions:
        table.add(session)
    return table


def test_a_session_ends_with_its_certificate_and_no_other_does() -> None:
    first, later = certified(), certified(valid_until="2026-12-04T05:40:00Z")
    listed = RecordingSession(admitted(key=OTHER_CLIENT))
    table, clients = table_of(first, later, listed), AccessList({OTHER_CLIENT: None}, trust=TRUST)
    for now in (NOW, END - 1, END):
        table.end_with_certificates(clients, now)
        assert (first.calls, later.calls, listed.calls) == ([], [], [])
    table.end_with_certificates(clients, END + 1)
    assert (first.calls, later.calls, listed.calls) == ([Closed.EXPIRED], [], [])
    table.end_with_certificates(clients, END + 2)
    assert first.calls == [Closed.EXPIRED], "once, also while it is still here"
    table.remove(first)
    table.end_with_certificates(clients, END + 86400)
    assert later.calls == []
    table.end_with_certificates(clients, END + 86401)
    assert (later.calls, listed.calls) == ([Closed.EXPIRED], [])


def test_sessions_are_looked_at_only_when_one_may_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(certified(), certified(valid_until="2026-12-04T05:40:00Z"))
    looked: list[float] = []
    monkeypatch.setattr(table, "_review", lambda _session, _clients, now: looked.append(now))
    monkeypatch.setattr(table, "_share_quotas", lambda: looked.append(0.0))
    for now in (NOW, END, END + 1, END + 2, END + 86400):
        table.end_with_certificates(CERTIFIED, now)
    assert looked == [END + 1]


def test_a_clock_that_is_set_back_ends_nobody_and_the_end_is_found_again() -> None:
    session = certified()
    table = table_of(session)
    table.end_with_certificates(CERTIFIED, NOW)
    table.end_with_certificates(CERTIFIED, NOW - 1_000_000)
    assert session.calls == []
    table.end_with_certificates(CERTIFIED, END + 1)
    assert session.calls == [Closed.EXPIRED]


def test_one_among_the_keys_prolongs_a_session_at_its_end_and_its_authority_and_limits_are_the_new_ones() -> None:
    session = certified()
    table = table_of(session, settings=TWO)
    both = Trust([AUTHORITY, Authority("plant-2", authority_key(OTHER_SEED))])
    text = certificate(seed=OTHER_SEED, valid_until="2026-12-04T05:40:00Z", max_sessions="1")
    clients = AccessList(certified={KEY: [text]}, trust=both)
    table.end_with_certificates(clients, END + 1)
    assert session.calls == []
    assert (+table.by_authority, session.until) == ({"plant-2": 1}, UNTIL_SECONDS + 86400)
    assert session.quota is not None
    assert session.quota.limits.max_sessions == 1
    table.end_with_certificates(clients, END + 86401)
    assert session.calls == [Closed.EXPIRED]


def test_another_certificate_prolongs_a_session_with_its_limits() -> None:
    first, second = certified(max_sessions="2"), certified(max_sessions="2")
    table = table_of(first, second)
    newer = certified(valid_until="2026-12-04T05:40:00Z", max_sessions="1", serial="b" * 16).grant
    table.prolong(first, newer)
    assert (first.grant, first.serial, first.until) == (newer, "b" * 16, UNTIL_SECONDS + 86400)
    assert (first.calls, second.calls) == ([], ["end_over_limit"]), "the newest"
    table.end_with_certificates(CERTIFIED, END + 1)
    assert (first.calls, second.calls[1:]) == ([], [Closed.EXPIRED])


def test_a_certificate_may_be_changed_for_one_that_ends_sooner() -> None:
    session = certified(valid_until="2026-12-04T05:40:00Z")
    table = table_of(session)
    table.end_with_certificates(CERTIFIED, NOW)
    table.prolong(session, certified().grant)
    table.end_with_certificates(CERTIFIED, END + 1)
    assert session.calls == [Closed.EXPIRED]


def test_another_list_ends_what_it_revokes_and_what_has_ended_by_their_names() -> None:
    revoked, ended, stays = certified(serial="a" * 16), certified(), certified(valid_until="2026-12-04T05:40:00Z")
    table = table_of(revoked, ended, stays)
    listed = Trust([AUTHORITY], Revocations.read("serial " + "a" * 16))
    table.admit(AccessList(trust=listed), NOW)
    assert (revoked.calls, ended.calls, stays.calls) == (["revoke"], [], [])
    table.admit(CERTIFIED, END + 1)
    assert (ended.calls, stays.calls) == ([Closed.EXPIRED], [])
    table.admit(AccessList(), NOW)
    assert stays.calls == ["revoke"], "its authority is gone"


def test_other_topics_are_another_session() -> None:
    session, terms = RecordingSession(admitted()), KeyTerms(topics=(b"orders.",))
    table = table_of(session)
    table.admit(AccessList({CLIENT: "alice"}), NOW)
    assert session.calls == []
    table.admit(AccessList({CLIENT: "alice"}, terms={CLIENT: terms}), NOW)
    assert session.calls == ["revoke"]


def test_sessions_are_counted_by_the_authority_of_their_certificates() -> None:
    sessions = certified(), certified(), RecordingSession(admitted())
    table = table_of(*sessions)
    assert table.by_authority == {"plant-1": 2}
    table.admit(AccessList({KEY: "desk"}, trust=TRUST), NOW)
    assert table.by_authority == {"plant-1": 0}, "a key that is listed is what the list says"
    table.admit(CERTIFIED, NOW)
    for session in sessions:
        table.remove(session)
        table.remove(session)
    assert table.by_authority == {"plant-1": 0}


def test_an_error_of_ours_ends_the_session_in_whose_judgement_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, other = certified(), certified()
    failures: list[Exception] = []
    monkeypatch.setattr(broken, "revoke", lambda _: 1 / 0)
    monkeypatch.setattr(broken, "failed", failures.append)
    table = table_of(broken, other)
    table.end_with_certificates(CERTIFIED, END + 1)
    assert [type(each) for each in failures] == [ZeroDivisionError]
    assert other.calls == [Closed.EXPIRED]
