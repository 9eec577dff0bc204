"""Offers of records and their answers: the octets, what fits, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.offer import NAME, Agreement, Terms, judge_offer, read_answer_untrusted, with_offer
from curveproxy.wire.zmtp import metadata

AEGIS, XSALSA = Suite.AEGIS_256, Suite.XSALSA20_POLY1305
BOTH = Terms([AEGIS, XSALSA])
VALUES = st.binary(max_size=20) | st.binary(max_size=3).map(lambda octets: b"\x01" + octets)


@pytest.mark.parametrize(
    ("terms", "octets"),
    [(BOTH, b"\x01\x00\x02\x01"), (Terms([XSALSA]), b"\x01\x00\x01"), (Terms([AEGIS], 1024), b"\x01\x01\x02")],
    ids=["both", "one", "padded"],
)
def test_an_offer_has_a_version_flags_and_suites_by_preference(terms: Terms, octets: bytes) -> None:
    said = with_offer({"Socket-Type": b"DEALER"}, terms)
    assert said == {"Socket-Type": b"DEALER", "X-Curveproxy-Records": octets}


@pytest.mark.parametrize(("size", "is_there"), [(0, True), (193, True), (194, False), (255, False)])
def test_an_offer_is_left_out_where_an_old_server_has_no_room_for_it(size: int, is_there: bool) -> None:
    said = {"Socket-Type": b"DEALER", "Identity": b"i" * (size - 1) if size else b""}
    offering = with_offer(said, BOTH)
    assert offering == (said | {NAME: BOTH.offer} if is_there else said)
    assert (len(metadata.encode(offering)) == 256) == (size == 193)
    assert with_offer(said, BOTH, is_no_old=True) == said | {NAME: BOTH.offer}


@pytest.mark.parametrize(
    ("offer", "suite"),
    [
        (b"\x01\x00\x02\x01", AEGIS),
        (b"\x01\x00\x01\x02", AEGIS),
        (b"\x01\x00\x01", XSALSA),
        (b"\x01\x00\x09\x01", XSALSA),
        (b"\x01\xfe\x02", AEGIS),
        (b"\x01\x00" + b"\x09" * 13 + b"\x01", XSALSA),
        (b"\x01\x00" + b"\x09" * 14 + b"\x01", None),
        (b"\x01\x00\x09", None),
        (b"\x01\x00", None),
        (b"\x02\x00\x02\x01", None),
        (b"\x00\x00\x02\x01", None),
        (b"", None),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else None,
)
@pytest.mark.parametrize("name", [NAME, NAME.lower()])
def test_the_server_takes_the_suite_that_it_likes_best_or_says_nothing(
    name: str, offer: bytes, suite: Suite | None
) -> None:
    agreed = judge_offer({"Socket-Type": b"DEALER", name: offer}, BOTH)
    assert agreed == (None if suite is None else Agreement(suite, 0, peer_pads=False))


def test_without_an_offer_nothing_is_agreed_on() -> None:
    assert judge_offer({"Socket-Type": b"DEALER"}, BOTH) is None
    assert read_answer_untrusted({"Socket-Type": b"ROUTER"}, BOTH) is None


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 1024), (64, 0), (64, 1024)])
def test_each_side_says_whether_it_pads(ours: int, theirs: int) -> None:
    client, server = Terms([XSALSA], theirs), Terms([XSALSA], ours)
    agreed = judge_offer({NAME: client.offer}, server)
    assert agreed == Agreement(XSALSA, ours, peer_pads=bool(theirs))
    assert agreed is not None
    assert read_answer_untrusted({NAME: agreed.answer}, client) == Agreement(XSALSA, theirs, peer_pads=bool(ours))


@pytest.mark.parametrize("answer", [b"\x01\x00\x01", b"\x01\xff\x01"])
def test_an_answer_is_one_suite_of_those_offered(answer: bytes) -> None:
    agreed = Agreement(XSALSA, 0, peer_pads=answer[1] == 255)
    assert read_answer_untrusted({"X-CURVEPROXY-RECORDS": answer}, BOTH) == agreed


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x01", b"\x01\x00", b"\x01\x00\x03", b"\x01\x00\x02", b"\x02\x00\x01", b"\x01\x00\x01\x01"],
    ids=bytes.hex,
)
def test_any_other_answer_is_a_fault_of_ready(answer: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        read_answer_untrusted({NAME: answer}, Terms([XSALSA]))
    assert caught.value.fault == Fault.READY


@given(offer=VALUES, answer=VALUES)
def test_whatever_is_said_is_judged(offer: bytes, answer: bytes) -> None:
    agreed = judge_offer({NAME: offer}, BOTH)
    assert agreed is None or agreed.suite in offer[2:]
    try:
        taken = read_answer_untrusted({NAME: answer}, BOTH)
    except PeerError:
        assert len(answer) != 3 or answer[0] != 1 or answer[2] not in (1, 2)
    else:
        assert taken is not None
        assert taken.suite == answer[2]
