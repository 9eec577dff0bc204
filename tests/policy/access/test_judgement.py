"""Whether a certificate is believed: each check, their order, dates, and what is remembered."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import (
    CLIENT,
    FROM_SECONDS,
    FULL,
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
from support.trust import AUTHORITY, DESK, NOW, TRUST, judged
from zmq.utils import z85

from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.judgement import (
    CLOCKS,
    FLAWS,
    REMEMBERED,
    Finding,
    VerifiedTexts,
    judge_server,
    last_ends,
    terms_of,
)
from curveproxy.policy.access.revocations import Revocations
from curveproxy.policy.access.terms import Bearer, KeyTerms
from curveproxy.reasons import CertificateFlaw as Flaws
from curveproxy.wire.certificate import MOST, read_untrusted

FORGED = text_of(signed(CLIENT) | {"serial": "0" * 16})


def revoking(*lines: str) -> Trust:
    return evolve(TRUST, revocations=Revocations.read("\n".join(lines)))


def test_a_good_one_is_believed() -> None:
    found = judged(certificate())
    assert (found.flaw, found.detail, found.cached, found.authority) == (None, "", False, AUTHORITY)
    assert found.certificate == read_untrusted(certificate())


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        (b"#" * (MOST + 1), Flaws.TOO_LARGE),
        (b"", Flaws.MALFORMED),
        (certificate()[:-1], Flaws.MALFORMED),
        (certificate(valid_until="x"), Flaws.MALFORMED),
        (certificate(socket_types="DEALER PIGEON"), Flaws.MALFORMED),
        (certificate(colour="red"), Flaws.UNKNOWN_FIELD),
        (certificate(names="desk-7"), Flaws.UNKNOWN_FIELD),
        (certificate(version="2"), Flaws.VERSION),
        (certificate(kind="proxy"), Flaws.KIND),
        (certificate(SERVER), Flaws.KIND),
        (certificate(seed=OTHER_SEED), Flaws.AUTHORITY),
        (certificate(valid_until="2026-12-27T05:40:01Z"), Flaws.BOUNDS),
        (certificate(name="lamp-1"), Flaws.BOUNDS),
        (certificate(services="prices"), Flaws.SERVICE),
        (certificate(socket_types="SUB REQ"), Flaws.SERVICE),
        (FORGED, Flaws.SIGNATURE),
    ],
)  # fmt: skip
def test_each_flaw_has_its_word(text: bytes, flaw: Flaws) -> None:
    found = judged(text, trust=evolve(TRUST, authorities=[Authority("plant-1", authority_key(), ["desk-*"], 31)]))
    assert found.flaw == flaw


@pytest.mark.parametrize(
    ("bearer", "flaw"),
    [
        (DESK, None),
        (Bearer(KEY, "orders", b"REQ", b"desk\x007"), None),
        (Bearer(KEY, "prices of all", b"REQ", b""), None),
        (Bearer(OTHER_KEY, "orders", b"REQ", b""), Flaws.OTHER_KEY),
        (Bearer(KEY, "prices", b"REQ", b""), Flaws.SERVICE),
        (Bearer(KEY, "orders", b"SUB", b""), Flaws.SERVICE),
        (Bearer(KEY, "orders", None, b""), Flaws.SERVICE),
        (Bearer(KEY, "orders", b"REQ", b"desk-8"), Flaws.SERVICE),
        (None, None),
    ],
)
def test_who_presents_it_must_be_who_it_is_for(bearer: Bearer | None, flaw: Flaws | None) -> None:
    assert judged(certificate(FULL), bearer=bearer).flaw == flaw


def test_the_cheaper_check_comes_first() -> None:
    """Everything is wrong with it; as one thing after the other is put right, the next is told."""
    forged = signed(FULL)["signature"]
    fields = signed({**FULL, "names": "x", "kind": "x", "version": "2"}) | {"signature": forged, "colour": "red"}
    bearer, narrow = Bearer(OTHER_KEY, "nowhere", b"SUB", b"me"), evolve(AUTHORITY, names=["lamp-*"])
    listed, revoked, now = list[Authority](), Revocations.read("name desk-7"), 0.0
    told = []
    for mend in (
        "nothing", "colour", "version", "kind", "names", "key", "authority", "bounds", "dates", "revoked", "bearer",
        "signature",
    ):  # fmt: skip
        if mend in ("colour", "names"):
            del fields[mend]
        elif mend in ("version", "kind"):
            fields[mend] = FULL[mend]
        elif mend in ("authority", "bounds"):
            listed = [narrow if mend == "authority" else AUTHORITY]
        elif mend in ("key", "bearer"):
            bearer = bearer._replace(key=KEY) if mend == "key" else DESK
        elif mend == "dates":
            now = NOW
        elif mend == "revoked":
            revoked = Revocations()
        elif mend == "signature":
            fields = signed(FULL)
        else:
            fields["note-x"] = "x"  # so that the signature is of another text
        told.append(judged(text_of(fields), bearer, Trust(listed, revoked), now).flaw)
    assert told == [
        Flaws.UNKNOWN_FIELD, Flaws.VERSION, Flaws.KIND, Flaws.UNKNOWN_FIELD, Flaws.OTHER_KEY, Flaws.AUTHORITY,
        Flaws.BOUNDS, Flaws.NOT_YET_VALID, Flaws.REVOKED, Flaws.SERVICE, Flaws.SIGNATURE, None,
    ]  # fmt: skip


# --- dates


@pytest.mark.parametrize(
    ("now", "flaw", "detail"),
    [
        (FROM_SECONDS - 61, Flaws.NOT_YET_VALID, CLOCKS),
        (FROM_SECONDS - 60, None, ""),
        (FROM_SECONDS - 59, None, ""),
        (UNTIL_SECONDS + 59, None, ""),
        (UNTIL_SECONDS + 60, None, ""),
        (UNTIL_SECONDS + 61, Flaws.EXPIRED, CLOCKS),
        (FROM_SECONDS - 3600, Flaws.NOT_YET_VALID, ""),
        (UNTIL_SECONDS + 3599, Flaws.EXPIRED, CLOCKS),
        (UNTIL_SECONDS + 3600, Flaws.EXPIRED, ""),
    ],
)
@pytest.mark.parametrize("is_remembered", [False, True])
def test_dates_hold_with_the_skew_of_clocks(now: float, flaw: Flaws | None, detail: str, is_remembered: bool) -> None:
    verified = VerifiedTexts()
    if is_remembered:
        assert judged(certificate(), verified=verified).flaw is None
    found = judged(certificate(), now=now, verified=verified)
    assert (found.flaw, found.detail, found.cached) == (flaw, detail, is_remembered)


def test_the_skew_is_what_is_configured() -> None:
    assert judged(certificate(), now=UNTIL_SECONDS + 1, trust=evolve(TRUST, skew=0)).flaw == Flaws.EXPIRED
    assert judged(certificate(), now=UNTIL_SECONDS, trust=evolve(TRUST, skew=0)).flaw is None
    assert judged(certificate(), now=UNTIL_SECONDS + 300, trust=evolve(TRUST, skew=300)).flaw is None


# --- revocation


@pytest.mark.parametrize(
    "line",
    [
        "serial 9f86d081884c7d65",
        f"key {CLIENT['public-key']}",
        "name desk-7",
        f"before {signed(CLIENT)['authority']} 2026-11-26T05:39:01Z",
    ],
)
@pytest.mark.parametrize("is_remembered", [False, True])
def test_what_is_revoked_is_refused_whatever_is_remembered(line: str, is_remembered: bool) -> None:
    verified = VerifiedTexts()
    if is_remembered:
        assert judged(certificate(), verified=verified).flaw is None
    assert judged(certificate(), trust=revoking(line), verified=verified).flaw == Flaws.REVOKED
    assert judged(certificate(), trust=revoking("name desk-8"), verified=verified).flaw is None


# --- what is remembered


def test_only_good_ones_are_remembered() -> None:
    verified = VerifiedTexts()
    for text in (FORGED, certificate(seed=OTHER_SEED), certificate(services="x"), certificate(SERVER), b"x"):
        assert judged(text, verified=verified).flaw is not None
    assert judged(certificate(), bearer=DESK._replace(key=OTHER_KEY), verified=verified).flaw == Flaws.OTHER_KEY
    assert judged(certificate(), now=UNTIL_SECONDS + 100, verified=verified).flaw == Flaws.EXPIRED
    assert len(verified) == 0
    assert [judged(certificate(), verified=verified).cached for _ in range(3)] == [False, True, True]
    assert len(verified) == 1


def test_what_is_remembered_is_judged_as_if_it_were_new() -> None:
    verified = VerifiedTexts()
    assert judged(certificate(FULL), verified=verified).flaw is None
    assert judged(certificate(FULL), bearer=DESK._replace(key=OTHER_KEY), verified=verified).flaw == Flaws.OTHER_KEY
    assert judged(certificate(FULL), bearer=DESK._replace(service="x"), verified=verified).flaw == Flaws.SERVICE
    assert judged(certificate(FULL), trust=Trust(), verified=verified).flaw == Flaws.AUTHORITY
    narrow = evolve(TRUST, authorities=[evolve(AUTHORITY, names=["lamp-*"])])
    assert judged(certificate(FULL), trust=narrow, verified=verified).flaw == Flaws.BOUNDS
    assert judge_server(certificate(FULL), None, TRUST, NOW, verified).flaw == Flaws.KIND


def test_a_text_that_differs_by_an_octet_is_another_one() -> None:
    verified = VerifiedTexts()
    assert judged(certificate(), verified=verified).flaw is None
    assert judged(FORGED, verified=verified).flaw == Flaws.SIGNATURE


def test_the_one_that_was_not_asked_for_longest_makes_room() -> None:
    verified, one = VerifiedTexts(2), read_untrusted(certificate())
    verified.add(b"a", one)
    verified.add(b"b", one)
    assert verified.find(b"a") is one
    verified.add(b"c", one)
    assert [verified.find(text) is not None for text in (b"a", b"b", b"c")] == [True, False, True]
    assert len(verified) == 2


def test_so_many_are_remembered() -> None:
    verified, one = VerifiedTexts(), read_untrusted(certificate())
    for number in range(REMEMBERED + 10):
        verified.add(str(number).encode(), one)
    assert len(verified) == REMEMBERED == 4096


# --- servers


@pytest.mark.parametrize(
    ("name", "flaw"),
    [("orders", None), ("ORDERS", None), ("orders.Example", None), ("order", Flaws.SERVICE), ("", Flaws.SERVICE),
     ("orders.example.", Flaws.SERVICE), ("x.orders.example", Flaws.SERVICE), (None, None)],
)  # fmt: skip
def test_a_server_is_who_it_is_called(name: str | None, flaw: Flaws | None) -> None:
    assert judge_server(certificate(SERVER), name, TRUST, NOW, VerifiedTexts()).flaw == flaw


def test_names_of_servers_have_no_wildcards() -> None:
    text = certificate({**SERVER, "names": "*.example *"})
    assert judge_server(text, "orders.example", TRUST, NOW, VerifiedTexts()).flaw == Flaws.SERVICE


@pytest.mark.parametrize(
    ("text", "trust", "now", "flaw"),
    [
        (certificate(), TRUST, NOW, Flaws.KIND),
        (certificate(SERVER, OTHER_SEED), TRUST, NOW, Flaws.AUTHORITY),
        (certificate(SERVER), TRUST, UNTIL_SECONDS + 61, Flaws.EXPIRED),
        (certificate(SERVER), TRUST, FROM_SECONDS - 61, Flaws.NOT_YET_VALID),
        (certificate(SERVER), revoking("name orders"), NOW, Flaws.REVOKED),
        (text_of(signed(SERVER) | {"names": "orders"}), TRUST, NOW, Flaws.SIGNATURE),
        (certificate({**SERVER, "valid-until": "2027-02-24T05:40:00Z"}), TRUST, NOW, None),
    ],
)
def test_a_server_is_judged_by_the_same_list(text: bytes, trust: Trust, now: float, flaw: Flaws | None) -> None:
    assert judge_server(text, "orders", trust, now, VerifiedTexts()).flaw == flaw


# --- any text, and what the wire finds


@given(st.binary(max_size=200) | st.sampled_from([certificate(), certificate(SERVER), FORGED]))
def test_any_text_is_judged(text: bytes) -> None:
    found = judged(text)
    assert isinstance(found, Finding)
    assert (found.flaw is None) == (text == certificate())


def test_terms_are_those_of_a_key_file() -> None:
    limits = {"max_sessions": 4, "messages_per_second": 100, "bytes_per_second": 0}
    terms = KeyTerms(b"desk\x007", frozenset({b"DEALER", b"REQ"}), limits, (b"orders.", b"*", b"\xff"), None)
    assert terms_of(read_untrusted(certificate(FULL))) == terms


def test_every_fault_of_a_text_has_its_flaw() -> None:
    assert {fault.removeprefix("certificate_") for fault in FLAWS} == {
        "too_large",
        "malformed",
        "field",
        "version",
        "kind",
    }
    assert len(set(FLAWS.values())) == len(FLAWS)


def test_a_key_has_a_certificate_until_the_last_of_its_own_ends() -> None:
    other = {**CLIENT, "public-key": z85.encode(OTHER_KEY).decode()}
    later = certificate(valid_until="2026-12-04T05:40:00Z")
    texts = [later, certificate(), certificate(other, OTHER_SEED), certificate(SERVER), b"x"]
    assert last_ends(texts) == {KEY: UNTIL_SECONDS + 86400, OTHER_KEY: UNTIL_SECONDS}
    assert last_ends([]) == {}


def test_no_text_is_kept_of_what_is_remembered() -> None:
    verified = VerifiedTexts()
    for _ in range(2):
        assert judged(certificate(), verified=verified).flaw is None
    kept = verified.find(certificate())
    assert kept == read_untrusted(certificate()).without_text()
    assert kept.without_text() is kept, "so that all sessions have the same"
