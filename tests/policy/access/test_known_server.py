"""Which key a server has by its certificates: the newest that is believed, and none from before it."""

import pytest
from attrs import evolve
from support.certificates import CLIENT, KEY, OTHER_KEY, OTHER_SEED, SERVER, certificate, signed, text_of
from support.trust import NOW, TRUST
from zmq.utils import z85

from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.known_server import KEPT, NONE, OTHER_SERVERS, Disbelief, KnownServer
from curveproxy.policy.access.revocations import Revocations
from curveproxy.reasons import ClientFailure

DAY = 86400
OTHER = z85.encode(OTHER_KEY).decode()
GOOD = certificate(SERVER)
NEWER = certificate(SERVER, valid_from="2026-11-26T06:00:00Z", public_key=OTHER)
FORGED = text_of(signed(SERVER) | {"serial": "0" * 16})
EXPIRED = certificate(SERVER, valid_from="2026-11-20T00:00:00Z", valid_until="2026-11-26T00:00:00Z")
EARLY = certificate(SERVER, valid_from="2026-11-28T00:00:00Z")
NOT_ITS_OWN = certificate(SERVER, names="prices.example")
REVOKING = evolve(TRUST, revocations=Revocations.read(f"serial {SERVER['serial']}"))


def server(*texts: bytes, name: str = "orders.example", trust: Trust = TRUST, now: float = NOW) -> KnownServer:
    """One that has shown these, one after the other."""
    known = KnownServer(name)
    for text in texts:
        assert known.learn([text], trust, now) is None
    return known


@pytest.mark.parametrize("name", ["orders.example", "ORDERS.example", "orders"])
def test_its_key_is_learned_by_any_of_its_names(name: str) -> None:
    known = server(GOOD, name=name)
    assert known.key(TRUST, NOW) == KEY


@pytest.mark.parametrize(
    ("texts", "failure", "detail"),
    [
        ([], ClientFailure.CERTIFICATE_NONE, NONE),
        ([NOT_ITS_OWN], ClientFailure.CERTIFICATE_NAME, OTHER_SERVERS),
        ([NOT_ITS_OWN, b"noise"], ClientFailure.CERTIFICATE_NAME, OTHER_SERVERS),
        ([certificate(SERVER, names="*")], ClientFailure.CERTIFICATE_NAME, OTHER_SERVERS),
        ([EXPIRED], ClientFailure.CERTIFICATE_EXPIRED, "expired"),
        ([EARLY], ClientFailure.CERTIFICATE_EXPIRED, "not_yet_valid"),
        ([EXPIRED, NOT_ITS_OWN], ClientFailure.CERTIFICATE_EXPIRED, "expired"),
        ([certificate(SERVER, seed=OTHER_SEED)], ClientFailure.CERTIFICATE, "authority"),
        ([certificate(CLIENT)], ClientFailure.CERTIFICATE, "kind: it is a client's"),
        ([FORGED], ClientFailure.CERTIFICATE, "signature"),
        ([EXPIRED, FORGED], ClientFailure.CERTIFICATE, "signature"),
        ([b"noise\n"], ClientFailure.CERTIFICATE, "malformed: line 1 is none of a certificate's"),
        ([b"#" * 2049], ClientFailure.CERTIFICATE, "too_large: it has more than 2048 octets"),
    ],
)
def test_what_is_not_believed_has_its_word(texts: list[bytes], failure: ClientFailure, detail: str) -> None:
    known = KnownServer("orders.example")
    found = known.learn(texts, TRUST, NOW)
    assert found == Disbelief(failure, detail)
    assert known.key(TRUST, NOW) is None
    assert known.disbelief(TRUST, NOW) == Disbelief(ClientFailure.CERTIFICATE_NONE, NONE)


@pytest.mark.parametrize("texts", [[GOOD, NEWER], [NEWER, GOOD], [FORGED, NEWER, b"noise", NOT_ITS_OWN, GOOD]])
def test_of_several_the_newest_that_is_believed_counts(texts: list[bytes]) -> None:
    known = KnownServer("orders")
    assert known.learn(texts, TRUST, NOW) is None
    assert known.key(TRUST, NOW) == OTHER_KEY


def test_one_from_before_the_newest_that_was_seen_is_not_taken() -> None:
    known = server(NEWER)
    assert known.learn([GOOD], TRUST, NOW) == Disbelief(ClientFailure.CERTIFICATE_OLDER)
    assert known.key(TRUST, NOW) == OTHER_KEY, "the other one stays"
    later = NOW + 8 * DAY
    lasting = certificate(SERVER, valid_until="2027-01-01T00:00:00Z")
    assert known.key(TRUST, later) is None
    assert known.learn([lasting], TRUST, later) == Disbelief(ClientFailure.CERTIFICATE_OLDER)
    assert known.key(TRUST, later) is None


def test_what_is_not_believed_makes_nothing_older() -> None:
    known = KnownServer("orders")
    forged = text_of(signed({**SERVER, "valid-from": "2026-11-26T06:30:00Z"}) | {"serial": "0" * 16})
    assert known.learn([forged], TRUST, NOW) is not None
    assert known.learn([GOOD], TRUST, NOW) is None


@pytest.mark.parametrize(
    ("trust", "now", "word"),
    [
        (TRUST, NOW + 8 * DAY, Disbelief(ClientFailure.CERTIFICATE_EXPIRED, "expired")),
        (REVOKING, NOW, Disbelief(ClientFailure.CERTIFICATE, "revoked")),
        (Trust(), NOW, Disbelief(ClientFailure.CERTIFICATE, "authority")),
    ],
)
def test_a_key_is_good_for_as_long_as_its_certificate_is_believed(trust: Trust, now: float, word: Disbelief) -> None:
    known = server(GOOD)
    assert known.key(trust, now) is None
    assert known.disbelief(trust, now) == word
    assert known.key(TRUST, NOW) == KEY
    assert known.learn([GOOD], trust, now) is not None, "also where its signature has been found good"


def test_it_is_due_when_two_thirds_of_its_life_are_over() -> None:
    assert KnownServer("orders").is_due(NOW)
    known = server(GOOD)
    begin, life = NOW - 3600, 7 * DAY + 60
    assert not known.is_due(begin + KEPT * life - 1)
    assert known.is_due(begin + KEPT * life)
