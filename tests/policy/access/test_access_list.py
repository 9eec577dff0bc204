"""Who may connect, as what, and with which limits."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import (
    CLIENT,
    FROM_SECONDS,
    KEY,
    OTHER_KEY,
    OTHER_SEED,
    SERVER,
    UNTIL_SECONDS,
    authority_key,
    certificate,
    signed,
    text_of,
)
from support.trust import AUTHORITY, DESK, NOW, TRUST
from zmq.utils import z85

from curveproxy.policy.access.access_list import AccessList, Decision
from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.judgement import VerifiedTexts
from curveproxy.policy.access.revocations import Revocations
from curveproxy.policy.access.terms import Bearer, Grant, KeyTerms
from curveproxy.policy.limits import ClientLimits
from curveproxy.reasons import CertificateFlaw as Flaws
from curveproxy.reasons import Outcome
from curveproxy.wire.certificate import MOST

ALICE, BOB, CAROL = b"a" * 32, b"b" * 32, b"c" * 32


def admitted(
    clients: AccessList, key: bytes, socket_type: bytes | None = b"REQ", identity: bytes = b""
) -> Grant | None:
    return clients.admit(Bearer(key, "test", socket_type, identity), None, 0.0).grant


def test_a_key_is_allowed_when_it_is_listed_or_all_are() -> None:
    listed = AccessList({b"a" * 32: "alice", b"b" * 32: None})
    assert admitted(listed, b"a" * 32) == Grant("alice")
    assert admitted(listed, b"b" * 32) == Grant()
    assert admitted(listed, b"c" * 32) is None
    assert admitted(AccessList(allow_any=True), b"c" * 32) == Grant()
    assert listed.name(b"a" * 32) == "alice"
    assert listed.name(b"b" * 32) is None


def test_a_certificate_goes_before_the_service() -> None:
    of_all = ClientLimits(1, 2, 3)
    own = Grant(terms=KeyTerms(limits={"max_sessions": 0, "bytes_per_second": 5}))
    assert own.limits(of_all) == ClientLimits(0, 2, 5)
    assert Grant().limits(of_all) == of_all


LIST = AccessList({ALICE: "alice", BOB: "bob"}, terms={ALICE: KeyTerms(b"desk-7", frozenset({b"REQ", b"DEALER"}), {})})


@pytest.mark.parametrize(
    ("key", "socket_type", "identity", "outcome"),
    [
        (ALICE, b"REQ", b"desk-7", None),
        (ALICE, b"DEALER", b"", None),
        (ALICE, b"REQ", b"desk-8", Outcome.METADATA),
        (ALICE, b"SUB", b"desk-7", Outcome.SOCKET_TYPE),
        (ALICE, None, b"desk-7", Outcome.SOCKET_TYPE),
        (BOB, b"SUB", b"", None),
        (BOB, None, b"mine", None),
        (BOB, b"REQ", b"desk-7", Outcome.METADATA),
        (CAROL, b"REQ", b"", Outcome.CLIENT_UNKNOWN),
    ],
)
def test_a_key_connects_on_its_own_terms_and_with_nobody_elses_identity(
    key: bytes, socket_type: bytes | None, identity: bytes, outcome: Outcome | None
) -> None:
    found = LIST.admit(Bearer(key, "test", socket_type, identity), None, 0.0)
    assert (found.outcome if found.grant is None else None) == outcome


def test_an_identity_of_a_certificate_among_the_keys_belongs_to_its_key() -> None:
    text = certificate({**CLIENT, "identity": "desk-7"})
    clients = AccessList({BOB: "bob"}, certified={KEY: [text]}, trust=TRUST)
    found = clients.admit(Bearer(BOB, "test", b"REQ", b"desk-7"), None, NOW)
    assert (found.grant, found.outcome) == (None, Outcome.METADATA)
    own = clients.admit(Bearer(KEY, "test", b"REQ", b""), None, NOW).grant
    assert own is not None
    assert own.identity(b"") == b"desk-7"


def test_where_any_key_may_connect_an_identity_still_belongs_to_its_key() -> None:
    anybody = AccessList(allow_any=True, terms=LIST.terms)
    assert admitted(anybody, CAROL) == Grant()
    found = anybody.admit(Bearer(CAROL, "test", b"REQ", b"desk-7"), None, 0.0)
    assert found == Decision(outcome=Outcome.METADATA, detail="the identity is bound to another client's key")


def test_a_client_has_the_identity_of_its_certificate_else_the_one_that_it_claims() -> None:
    assert Grant(terms=LIST.terms[ALICE]).identity(b"") == b"desk-7"
    assert Grant().identity(b"mine") == b"mine"


# --- certificates

CERTIFIED = AccessList(trust=TRUST)
OTHER_AUTHORITY = Authority("plant-2", authority_key(OTHER_SEED))
BOTH = evolve(TRUST, authorities=[AUTHORITY, OTHER_AUTHORITY])
LATER = "2026-12-20T05:40:00Z"
EXPIRED = UNTIL_SECONDS + 61.0
LIMITED = {**CLIENT, "max-sessions": "4", "topics": "orders.", "socket-types": "DEALER"}
REVOKED_LINES = [
    "serial 9f86d081884c7d65",
    f"key {CLIENT['public-key']}",
    "name desk-7",
    f"before {signed(CLIENT)['authority']} 2026-11-26T05:39:01Z",
]


def beside_the_keys(*texts: bytes, trust: Trust = TRUST) -> AccessList:
    return AccessList(certified={KEY: texts}, trust=trust)


def revoking(line: str) -> AccessList:
    return AccessList(trust=evolve(TRUST, revocations=Revocations.read(line)))


def serial(grant: Grant | None) -> str:
    """Of the certificate by which somebody is in; empty without one."""
    return "" if grant is None or grant.certificate is None else grant.certificate.serial


def granted(text: bytes, clients: AccessList = CERTIFIED) -> Grant:
    """Of a client that presents this."""
    grant = clients.admit(DESK, text, NOW).grant
    assert grant is not None
    return grant


def test_whoever_presents_a_good_certificate_is_let_in_as_it_says() -> None:
    found = CERTIFIED.admit(DESK, certificate(LIMITED), NOW)
    assert found.result == "valid"
    assert found.grant is not None
    assert (found.grant.name, found.grant.authority) == ("desk-7", "plant-1")
    assert found.grant.terms == KeyTerms(b"", frozenset({b"DEALER"}), {"max_sessions": 4}, (b"orders.",))
    assert found.grant.ends_at == UNTIL_SECONDS + 60
    kept = found.grant.certificate
    assert kept is not None
    assert (kept.serial, kept.text, kept.signed) == ("9f86d081884c7d65", b"", b"")


@pytest.mark.parametrize(
    ("text", "outcome", "flaw"),
    [
        (b"x", Outcome.CERTIFICATE, Flaws.MALFORMED),
        (b"#" * (MOST + 1), Outcome.CERTIFICATE, Flaws.TOO_LARGE),
        (certificate(version="2"), Outcome.CERTIFICATE, Flaws.VERSION),
        (certificate(SERVER), Outcome.CERTIFICATE, Flaws.KIND),
        (certificate(colour="red"), Outcome.CERTIFICATE, Flaws.UNKNOWN_FIELD),
        (certificate({**CLIENT, "public-key": z85.encode(OTHER_KEY).decode()}), Outcome.CERTIFICATE, Flaws.OTHER_KEY),
        (certificate(seed=OTHER_SEED), Outcome.CERTIFICATE, Flaws.AUTHORITY),
        (certificate(services="prices"), Outcome.CERTIFICATE, Flaws.SERVICE),
        (text_of(signed(CLIENT) | {"serial": "0" * 16}), Outcome.CERTIFICATE, Flaws.SIGNATURE),
        (certificate(valid_from="2026-11-27T05:39:00Z"), Outcome.CERTIFICATE_EXPIRED, Flaws.NOT_YET_VALID),
        (certificate(valid_until="2026-11-26T05:40:00Z"), Outcome.CERTIFICATE_EXPIRED, Flaws.EXPIRED),
    ],
)
@pytest.mark.parametrize("anybody", [False, True])
def test_a_flawed_one_is_a_refusal_whose_detail_begins_with_the_flaw(
    text: bytes, outcome: Outcome, flaw: Flaws, anybody: bool
) -> None:
    found = AccessList(allow_any=anybody, trust=TRUST).admit(DESK, text, NOW)
    assert found.grant is None, "also where anybody may come: it may limit its bearer"
    assert (found.outcome, found.result) == (outcome, flaw)
    assert found.detail.partition(": ")[0] == flaw
    assert not found.detail.endswith((":", " "))


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (FROM_SECONDS - 61, Flaws.NOT_YET_VALID),
        (FROM_SECONDS - 59, ""),
        (UNTIL_SECONDS + 59, ""),
        (EXPIRED, Flaws.EXPIRED),
    ],
)
def test_dates_hold_for_newcomers_and_for_those_inside(now: float, word: str) -> None:
    newcomer = CERTIFIED.admit(DESK, certificate(), now)
    inside = CERTIFIED.review(DESK, granted(certificate()), now)
    listed = beside_the_keys(certificate()).admit(DESK, None, now)
    for found in (newcomer, inside, listed):
        assert (found.grant is not None) == (not word)
        assert found.grant is not None or found.outcome == Outcome.CERTIFICATE_EXPIRED
        assert found.detail.startswith(word)


@pytest.mark.parametrize("line", REVOKED_LINES)
def test_what_is_revoked_is_refused_to_newcomers_and_those_inside(line: str) -> None:
    clients, inside = revoking(line), granted(certificate())
    for found in (
        clients.admit(DESK, certificate(), NOW),
        clients.review(DESK, inside, NOW),
        clients.renew(DESK, inside, certificate(), NOW),
        beside_the_keys(certificate(), trust=clients.trust).admit(DESK, None, NOW),
    ):
        assert (found.grant, found.outcome, found.detail) == (None, Outcome.CERTIFICATE, Flaws.REVOKED)
    assert revoking("name desk-8").review(DESK, inside, NOW).grant == inside


# --- the grounds, in their order


def test_who_is_listed_is_what_the_list_says_whatever_is_signed() -> None:
    terms = KeyTerms(limits={"max_sessions": 1})
    clients = AccessList({KEY: "alice"}, terms={KEY: terms}, certified={KEY: [certificate()]}, trust=TRUST)
    for text in (None, certificate(), b"x"):
        found = clients.admit(DESK, text, NOW)
        assert (found.grant, found.result) == (Grant("alice", terms), "")
    assert clients.review(DESK, granted(certificate()), EXPIRED).grant == Grant("alice", terms)
    assert clients.renew(DESK, Grant("alice", terms), certificate(), NOW).grant is None, "it has none to be renewed"


def test_what_lies_among_the_keys_comes_before_what_is_presented() -> None:
    here, there = certificate(serial="a" * 16), certificate(serial="b" * 16)
    assert serial(beside_the_keys(here).admit(DESK, None, NOW).grant) == "a" * 16
    assert serial(beside_the_keys(here).admit(DESK, there, NOW).grant) == "a" * 16
    old = certificate(valid_until="2026-11-26T05:40:00Z")
    assert serial(beside_the_keys(old).admit(DESK, there, NOW).grant) == "b" * 16
    assert beside_the_keys(old).admit(DESK, None, NOW).result == Flaws.EXPIRED
    assert beside_the_keys(old).admit(DESK, b"x", NOW).result == Flaws.MALFORMED
    assert beside_the_keys(old).admit(DESK._replace(key=OTHER_KEY), None, NOW).outcome == Outcome.CLIENT_UNKNOWN


def test_of_several_the_one_that_is_good_for_longest() -> None:
    to_come = certificate(serial="c" * 16, valid_from="2026-11-30T00:00:00Z", valid_until=LATER)
    texts = certificate(serial="a" * 16), certificate(serial="b" * 16, valid_until="2026-12-10T05:40:00Z"), to_come
    clients = beside_the_keys(certificate(seed=OTHER_SEED), *texts)
    assert serial(clients.admit(DESK, None, NOW).grant) == "b" * 16
    assert serial(clients.admit(DESK, None, UNTIL_SECONDS).grant) == "c" * 16
    assert clients.admit(DESK, None, FROM_SECONDS - 100.0).result == Flaws.AUTHORITY, "the first, for none is good"


def test_where_anybody_may_come_nobody_need_present_anything() -> None:
    anybody = evolve(CERTIFIED, allow_any=True)
    assert anybody.admit(DESK, None, NOW).grant == Grant()
    assert granted(certificate(), anybody).name == "desk-7"
    assert CERTIFIED.admit(DESK, None, NOW).outcome == Outcome.CLIENT_UNKNOWN


def test_without_an_authority_no_certificate_is_looked_at() -> None:
    for text in (None, certificate(), b"x"):
        found = AccessList(certified={KEY: [certificate()]}).admit(DESK, text, NOW)
        assert (found.grant, found.outcome, found.result) == (None, Outcome.CLIENT_UNKNOWN, "")
        assert AccessList(allow_any=True, certified={KEY: [certificate()]}).admit(DESK, text, NOW).grant == Grant()


def test_the_identity_of_a_listed_key_is_nobody_s_whose_certificate_names_none() -> None:
    clients = AccessList({OTHER_KEY: "bob"}, terms={OTHER_KEY: KeyTerms(b"bob")}, trust=TRUST)
    found = clients.admit(DESK._replace(identity=b"bob"), certificate(), NOW)
    assert (found.grant, found.outcome) == (None, Outcome.METADATA)
    assert found.result == "valid", "the certificate is good"


def test_a_bound_identity_and_bound_socket_types_hold() -> None:
    text = certificate(identity="desk-7", socket_types="DEALER")
    assert granted(text).identity(b"") == b"desk-7"
    for bearer in (DESK._replace(identity=b"desk-8"), DESK._replace(socket_type=b"SUB")):
        found = CERTIFIED.admit(bearer, text, NOW)
        assert (found.grant, found.result) == (None, Flaws.SERVICE)


def test_as_many_keys_count_as_may_come_in_without_presenting_anything() -> None:
    text = certificate()
    clients = AccessList({KEY: None, OTHER_KEY: None}, certified={KEY: [text], ALICE: [text, text]})
    assert (clients.count, evolve(clients, trust=TRUST).count) == (2, 3)
    assert evolve(clients, allow_any=True).count is None


@pytest.mark.parametrize(
    ("clients", "is_empty"),
    [
        (AccessList(), True),
        (AccessList(allow_any=True), False),
        (AccessList({KEY: None}), False),
        (AccessList(certified={KEY: [certificate()]}), True),
        (CERTIFIED, False),
    ],
)
def test_authorities_alone_are_a_list(clients: AccessList, is_empty: bool) -> None:
    assert clients.is_empty == is_empty


# --- what is remembered


def test_a_certificate_is_verified_once_also_by_the_lists_that_follow() -> None:
    first = AccessList(trust=TRUST)
    assert [first.admit(DESK, certificate(), NOW).result for _ in range(2)] == ["valid", "cached"]
    second = evolve(first, trust=BOTH)
    assert second.admit(DESK, certificate(), NOW).result == "cached"
    assert evolve(second, certified={KEY: [certificate()]}).admit(DESK, None, NOW).result == "cached"


@pytest.mark.parametrize(
    ("trust", "now", "flaw"),
    [
        (evolve(TRUST, revocations=Revocations.read("name desk-7")), NOW, Flaws.REVOKED),
        (evolve(TRUST, authorities=[OTHER_AUTHORITY]), NOW, Flaws.AUTHORITY),
        (evolve(TRUST, authorities=[evolve(AUTHORITY, names=["lamp-*"])]), NOW, Flaws.BOUNDS),
        (evolve(TRUST, authorities=[evolve(AUTHORITY, max_days=6)]), NOW, Flaws.BOUNDS),
        (TRUST, EXPIRED, Flaws.EXPIRED),
    ],
)
def test_a_verified_one_is_refused_all_the_same_by_what_has_changed(trust: Trust, now: float, flaw: Flaws) -> None:
    clients = AccessList(trust=TRUST)
    inside = granted(certificate(), clients)
    changed = evolve(clients, trust=trust)
    assert changed.admit(DESK, certificate(), now).result == flaw
    assert changed.review(DESK, inside, now).result == flaw
    assert clients.admit(DESK, certificate(), NOW).result == "cached"


# --- those inside, by another list


def test_an_authority_that_is_gone_takes_its_clients_with_it() -> None:
    ours, others = granted(certificate()), granted(certificate(seed=OTHER_SEED), AccessList(trust=BOTH))
    assert (ours.authority, others.authority) == ("plant-1", "plant-2")
    assert AccessList(trust=BOTH).review(DESK, others, NOW).grant == others
    found = CERTIFIED.review(DESK, others, NOW)
    assert (found.grant, found.outcome, found.detail) == (None, Outcome.CERTIFICATE, Flaws.AUTHORITY)
    assert CERTIFIED.review(DESK, ours, NOW).grant == ours
    assert AccessList().review(DESK, ours, NOW).grant is None, "without any authority"
    assert AccessList(allow_any=True).review(DESK, ours, NOW).grant is None, "it came on other grounds"


def test_another_skew_is_another_end() -> None:
    clients = AccessList(trust=evolve(TRUST, skew=5))
    inside = clients.review(DESK, granted(certificate()), NOW).grant
    assert inside is not None
    assert inside.ends_at == UNTIL_SECONDS + 5


@pytest.mark.parametrize("now", [NOW, EXPIRED])
def test_a_newer_one_among_the_keys_prolongs(now: float) -> None:
    inside = granted(certificate())
    newer = certificate(serial="b" * 16, valid_until=LATER, max_sessions="7")
    found = beside_the_keys(certificate(), newer).review(DESK, inside, now).grant
    assert found is not None
    assert (serial(found), found.terms.limits) == ("b" * 16, {"max_sessions": 7})
    assert found.ends_at > inside.ends_at


@pytest.mark.parametrize(
    "changes", [{"name": "desk-8"}, {"identity": "x"}, {"socket-types": "DEALER"}, {"topics": "orders."}]
)
def test_one_of_another_name_or_with_other_restrictions_prolongs_nobody(changes: dict[str, str]) -> None:
    inside, other = granted(certificate()), certificate({**CLIENT, "valid-until": LATER, **changes})
    clients = beside_the_keys(other)
    assert clients.review(DESK, inside, NOW).grant == inside
    assert clients.review(DESK, inside, EXPIRED).outcome == Outcome.CERTIFICATE_EXPIRED
    found = CERTIFIED.renew(DESK, inside, other, NOW)
    assert (found.grant, found.outcome, found.result) == (None, Outcome.CERTIFICATE, Flaws.SERVICE)
    assert clients.admit(DESK, None, NOW).grant is not None, "whoever comes again has it"


def test_who_was_let_in_without_a_certificate_has_that_of_its_key_when_it_is_struck_off_the_list() -> None:
    clients = beside_the_keys(certificate())
    assert serial(clients.review(DESK, Grant("alice"), NOW).grant) == "9f86d081884c7d65"
    assert CERTIFIED.review(DESK, Grant("alice"), NOW).outcome == Outcome.CLIENT_UNKNOWN


# --- another one is presented


def test_another_certificate_of_the_same_name_is_taken() -> None:
    inside = granted(certificate())
    newer = certificate(serial="b" * 16, valid_until=LATER, messages_per_second="9")
    found = CERTIFIED.renew(DESK, inside, newer, NOW)
    assert (serial(found.grant), found.result) == ("b" * 16, "valid")
    assert CERTIFIED.renew(DESK, inside, newer, NOW).result == "cached"
    others = certificate(seed=OTHER_SEED, valid_until=LATER)
    taken = AccessList(trust=BOTH).renew(DESK, inside, others, NOW).grant
    assert taken is not None
    assert taken.authority == "plant-2", "so that authorities can be changed"


@pytest.mark.parametrize(
    ("text", "outcome", "flaw"),
    [
        (b"x", Outcome.CERTIFICATE, Flaws.MALFORMED),
        (certificate({**CLIENT, "public-key": z85.encode(OTHER_KEY).decode()}), Outcome.CERTIFICATE, Flaws.OTHER_KEY),
        (certificate(seed=OTHER_SEED), Outcome.CERTIFICATE, Flaws.AUTHORITY),
        (certificate(services="prices"), Outcome.CERTIFICATE, Flaws.SERVICE),
        (certificate(valid_until="2026-11-26T05:40:00Z"), Outcome.CERTIFICATE_EXPIRED, Flaws.EXPIRED),
    ],
)
def test_a_flawed_one_renews_nothing(text: bytes, outcome: Outcome, flaw: Flaws) -> None:
    found = CERTIFIED.renew(DESK, granted(certificate()), text, NOW)
    assert (found.grant, found.outcome, found.result) == (None, outcome, flaw)


def test_who_is_in_by_a_file_among_the_keys_leaves_with_it_and_who_has_presented_one_stays() -> None:
    presented, lying = granted(certificate()), beside_the_keys(certificate()).admit(DESK, None, NOW).grant
    assert lying is not None
    assert (presented.is_presented, lying.is_presented) == (True, False)
    assert evolve(lying, is_presented=True) == presented
    assert CERTIFIED.review(DESK, presented, NOW).grant == presented
    assert CERTIFIED.review(DESK, lying, NOW).outcome == Outcome.CLIENT_UNKNOWN
    other = beside_the_keys(certificate(serial="b" * 16)).review(DESK, lying, NOW).grant
    assert serial(other) == "b" * 16, "whatever lies there instead"
    renewed = CERTIFIED.renew(DESK, lying, certificate(), NOW).grant
    assert renewed is not None
    assert renewed.is_presented


def test_a_file_among_the_keys_takes_nothing_from_the_days_of_what_was_presented() -> None:
    inside = granted(certificate(valid_until=LATER))
    shorter = beside_the_keys(certificate())
    assert shorter.review(DESK, inside, NOW).grant == inside
    assert shorter.review(DESK, inside, EXPIRED).grant == inside
    gone = evolve(TRUST, revocations=Revocations.read("serial " + "a" * 16))
    revoked = granted(certificate(serial="a" * 16, valid_until=LATER))
    found = beside_the_keys(certificate(), trust=gone).review(DESK, revoked, NOW).grant
    assert serial(found) == "9f86d081884c7d65"


def test_who_is_refused_has_the_name_of_its_certificate_once_that_has_verified() -> None:
    clients = AccessList(trust=TRUST)
    assert clients.name(KEY, certificate()) is None
    clients.admit(DESK, certificate(), NOW)
    assert clients.name(KEY, certificate()) == "desk-7"
    assert clients.name(KEY) is None
    assert clients.name(OTHER_KEY, certificate()) is None, "whoever else presents it"
    assert evolve(clients, certified={KEY: [certificate()]}).name(KEY) == "desk-7"
    assert evolve(clients, names={KEY: "alice"}).name(KEY, certificate()) == "alice"
    assert evolve(clients, trust=Trust([OTHER_AUTHORITY])).name(KEY, certificate()) is None
    assert clients.name(KEY, certificate(seed=OTHER_SEED)) is None


# --- what another list changes


WHOLE = AccessList({ALICE: "alice"}, terms={ALICE: KeyTerms(b"a")}, certified={KEY: [certificate()]}, trust=TRUST)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, set()),
        ({"names": {ALICE: "alice", BOB: None}}, {BOB}),
        ({"names": {}}, {ALICE}),
        ({"names": {ALICE: None}}, {ALICE}),
        ({"terms": {ALICE: KeyTerms(b"a", limits={"max_sessions": 1})}}, {ALICE}),
        ({"certified": {}}, {KEY}),
        ({"certified": {KEY: [certificate(serial="b" * 16)]}}, {KEY}),
        ({"certified": {KEY: [certificate()], BOB: [certificate()]}}, {BOB}),
        ({"terms": {ALICE: KeyTerms(b"b")}}, None),
        ({"certified": {KEY: [certificate(identity="x")]}}, None),
        ({"allow_any": True}, None),
        ({"trust": BOTH}, None),
        ({"trust": evolve(TRUST, skew=1)}, None),
        ({"trust": evolve(TRUST, revocations=Revocations.read("name x"))}, None),
        ({"trust": Trust()}, None),
    ],
)
def test_a_list_knows_whose_clients_another_one_concerns(changes: dict[str, Any], keys: set[bytes] | None) -> None:
    other = evolve(WHOLE, **changes)
    assert other.changed_keys(WHOLE) == WHOLE.changed_keys(other) == keys


@given(st.data())
def test_whoever_is_not_concerned_is_judged_as_before(data: st.DataObject) -> None:
    def some() -> AccessList:
        names = data.draw(st.dictionaries(st.sampled_from([ALICE, KEY]), st.sampled_from([None, "x"])))
        terms = {key: data.draw(st.sampled_from([KeyTerms(), KeyTerms(b"a"), KeyTerms(limits={})])) for key in names}
        texts = st.sampled_from([certificate(), certificate(name="x"), certificate(seed=OTHER_SEED)])
        certified = data.draw(st.dictionaries(st.sampled_from([ALICE, KEY]), st.lists(texts, max_size=2)))
        trust = data.draw(st.sampled_from([TRUST, BOTH, Trust()]))
        return AccessList(names, data.draw(st.booleans()), terms, certified, trust)

    then, now = some(), some()
    changed = now.changed_keys(then)
    for key in {ALICE, KEY} - (changed or set()) if changed is not None else ():
        bearer = DESK._replace(key=key, identity=data.draw(st.sampled_from([b"", b"a"])))
        found = then.admit(bearer, certificate(), NOW).grant
        assert now.admit(bearer, certificate(), NOW).grant == found
        if found is not None:
            assert now.review(bearer, found, NOW).grant == found


def test_all_certificates_among_the_keys_are_remembered_however_many_there_are() -> None:
    texts = [certificate(serial=f"{number:016}") for number in range(5)]
    verified = VerifiedTexts(2)
    clients = AccessList(certified={KEY: texts[:2], ALICE: texts[2:3]}, trust=TRUST, verified=verified)
    clients.make_room()
    for text in texts:
        clients.admit(DESK._replace(key=OTHER_KEY), text, NOW)
        AccessList(trust=TRUST, verified=verified).admit(DESK, text, NOW)
    assert len(verified) == 5
    evolve(clients, certified={}).make_room()
    assert len(verified) == 2
    assert verified.find(texts[4]) is not None, "the last"
