"""Which socket types fit each other."""

import pytest

from curveproxy.policy.socket_types import SOCKET_TYPES, ZMTP1_COUNTERPARTS, fits, known, shared


@pytest.mark.parametrize(
    ("client", "service"), [(b"REQ", b"ROUTER"), (b"SUB", b"XPUB"), (b"PAIR", b"PAIR"), (b"DISH", b"RADIO")]
)
def test_those_that_fit_fit_both_ways(client: bytes, service: bytes) -> None:
    assert fits(client, service)
    assert fits(service, client)


@pytest.mark.parametrize(("client", "service"), [(b"SUB", b"ROUTER"), (b"REQ", b"REQ"), (b"PUSH", b"PUSH")])
def test_those_that_do_not_do_not(client: bytes, service: bytes) -> None:
    assert not fits(client, service)


def test_what_is_not_known_is_not_judged_and_not_repeated() -> None:
    assert fits(b"FUTURE", b"ROUTER")
    assert fits(None, b"ROUTER")
    assert known(b"FUTURE\x1b[2J") == "unknown"
    assert known(b"REP") == "REP"


def test_who_keeps_a_type_shares_it_with_all_others() -> None:
    said = [bytes(bytearray(b"DEALER")) for _ in range(2)]
    assert said[0] is not said[1]
    assert shared(said[0]) is shared(said[1])
    assert [shared(other) for other in (b"REP", b"FUTURE", b"", None)] == [b"REP", b"FUTURE", b"", None]


def test_what_fits_one_way_fits_the_other() -> None:
    kinds = [kind.encode() for kind in SOCKET_TYPES]
    for one in kinds:
        assert any(fits(one, other) for other in kinds)
        for other in kinds:
            assert fits(one, other) == fits(other, one)


def test_what_a_service_of_zmtp_1_most_likely_faces_fits_it() -> None:
    for service, client in ZMTP1_COUNTERPARTS.items():
        assert fits(client, service)
