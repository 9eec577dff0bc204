"""The greeting: what is wrong is refused as soon as it has come, and not before."""

import pytest

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.greeting import check_client_untrusted, check_server_untrusted, greeting

GOOD = greeting(spec.CURVE, as_server=False)


def refusal(octets: bytes) -> tuple[Fault, int]:
    """The fault, and how many octets it took."""
    for have in range(len(octets) + 1):
        try:
            check_client_untrusted(octets[:have])
        except PeerError as error:
            return error.fault, have
    pytest.fail("was not refused")


def test_a_good_greeting_is_asked_for_in_few_steps() -> None:
    have, marks = 0, []
    while have < 64:
        have = check_client_untrusted(GOOD[:have])
        marks.append(have)
    assert marks == [1, 10, 11, 33, 64]
    assert check_client_untrusted(GOOD) == 64


@pytest.mark.parametrize(
    ("octets", "fault", "taken"),
    [
        (b"GET / HTTP/1.1\r\n", Fault.NOT_ZMTP, 1),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Fault.NOT_ZMTP, 1),
        (b"\xff" + bytes(8) + b"\x00", Fault.ZMTP_VERSION, 10),
        (b"\xff" + bytes(8) + b"\x7f\x01\x05", Fault.ZMTP_VERSION, 11),
        (greeting(spec.NULL, as_server=False), Fault.MECHANISM, 13),
        (GOOD[:12] + b"CURVE" + b"X".ljust(15, b"\0") + GOOD[32:], Fault.MECHANISM, 18),
        (GOOD[:12] + b"CURV" + bytes(16) + GOOD[32:], Fault.MECHANISM, 17),
        (greeting(spec.CURVE, as_server=True), Fault.ROLE, 33),
    ],
    ids=["http", "tls", "zmtp1-long", "zmtp2", "null", "curvex", "curv", "server"],
)
def test_what_is_wrong_is_refused_at_its_octet(octets: bytes, fault: Fault, taken: int) -> None:
    assert refusal(octets) == (fault, taken)


@pytest.mark.parametrize("opening", [b"\x01\x00", b"\x01\x7e", b"\x05\x00abcd"], ids=["2.0", "2.1", "identity"])
def test_a_whole_zmtp_1_opening_is_named_as_such(opening: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        check_client_untrusted(opening)
    assert caught.value.fault == Fault.ZMTP_VERSION


@pytest.mark.parametrize("major", [3, 4, 255])
def test_newer_versions_are_welcome(major: int) -> None:
    assert check_client_untrusted(GOOD[:10] + bytes([major]) + GOOD[11:]) == 64


def test_padding_minor_and_filler_are_not_judged() -> None:
    odd = b"\xff" + b"\xaa" * 8 + b"\x01" + b"\x03\x09" + GOOD[12:33] + b"\x55" * 31
    assert check_client_untrusted(odd) == 64


def test_the_offered_mechanism_is_named_only_when_it_is_a_known_one() -> None:
    with pytest.raises(PeerError, match="NULL"):
        check_client_untrusted(greeting(spec.NULL, as_server=False))
    with pytest.raises(PeerError) as caught:
        check_client_untrusted(GOOD[:12] + b"<script>".ljust(20, b"\0") + GOOD[32:])
    assert caught.value.detail == ""


@pytest.mark.parametrize(
    ("octets", "protocol"), [(b"HTTP/1.1 400", "HTTP"), (b"\x15\x03\x03", "TLS"), (b"SSH-2.0", "SSH")]
)
def test_a_familiar_protocol_where_a_server_is_wanted_is_named_when_it_is_certain(octets: bytes, protocol: str) -> None:
    with pytest.raises(PeerError, match=protocol):
        check_server_untrusted(octets, spec.CURVE)
    assert check_server_untrusted(octets[:1], spec.CURVE) == 2


def test_a_server_s_greeting_is_of_the_one_mechanism_that_is_wanted() -> None:
    for mechanism in (spec.CURVE, spec.CURVE_CERTIFICATE):
        assert check_server_untrusted(greeting(mechanism, as_server=True), mechanism) == 64
    with pytest.raises(PeerError, match="CURVE"):
        check_server_untrusted(GOOD, spec.CURVE_CERTIFICATE)
    with pytest.raises(PeerError):
        check_server_untrusted(greeting(spec.CURVE_CERTIFICATE, as_server=True), spec.CURVE)


def test_another_mechanism_is_welcome_where_it_is_said_to_be() -> None:
    asks = greeting(spec.CURVE_CERTIFICATE, as_server=False)
    assert refusal(asks) == (Fault.MECHANISM, 18), "behind CURVE"
    assert check_client_untrusted(asks, spec.CURVE_CERTIFICATE) == 64
    assert check_client_untrusted(GOOD, spec.CURVE_CERTIFICATE) == 64
    for spoiled in (asks.replace(b"CERTIFICATE\0", b"CERTIFICATES"), asks.replace(b"CURVE-", b"CURVE_")):
        with pytest.raises(PeerError):
            check_client_untrusted(spoiled, spec.CURVE_CERTIFICATE)
