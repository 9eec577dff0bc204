"""Who may connect, as what, and with which limits."""

import pytest
from support.certificates import CLIENT, KEY, certificate
from support.trust import NOW, TRUST

from curveproxy.policy.access.access_list import AccessList, Decision
from curveproxy.policy.access.terms import Bearer, Grant, KeyTerms
from curveproxy.reasons import Outcome

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
