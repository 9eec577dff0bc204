"""Who may connect, as what, and with which limits."""

import pytest

from curveproxy.policy.access import AccessList, KeyTerms
from curveproxy.policy.limits import ClientLimits
from curveproxy.reasons import Outcome

ALICE, BOB, CAROL = b"a" * 32, b"b" * 32, b"c" * 32


def test_a_key_is_allowed_when_it_is_listed_or_all_are() -> None:
    listed = AccessList({b"a" * 32: "alice", b"b" * 32: None})
    assert listed.allows(b"a" * 32)
    assert listed.allows(b"b" * 32)
    assert not listed.allows(b"c" * 32)
    assert AccessList(allow_any=True).allows(b"c" * 32)
    assert listed.name(b"a" * 32) == "alice"
    assert listed.name(b"b" * 32) is None


def test_a_certificate_goes_before_the_service() -> None:
    clients = AccessList(terms={ALICE: KeyTerms(limits={"max_sessions": 0, "bytes_per_second": 5})})
    of_all = ClientLimits(1, 2, 3)
    assert clients.limits(ALICE, of_all) == ClientLimits(0, 2, 5)
    assert clients.limits(BOB, of_all) == of_all


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
    found = LIST.check(key, socket_type, identity)
    assert (found and found[0]) == outcome


def test_where_any_key_may_connect_an_identity_still_belongs_to_its_key() -> None:
    anybody = AccessList(allow_any=True, terms=LIST.terms)
    assert anybody.check(CAROL, b"REQ", b"") is None
    assert anybody.check(CAROL, b"REQ", b"desk-7") == (
        Outcome.METADATA,
        "the identity is bound to another client's key",
    )


def test_a_client_has_the_identity_of_its_certificate_else_the_one_that_it_claims() -> None:
    assert LIST.identity(ALICE, b"") == b"desk-7"
    assert LIST.identity(BOB, b"mine") == b"mine"
