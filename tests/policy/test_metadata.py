"""Which properties of a client are forwarded, and which identities are safe."""

import pytest

from curveproxy.policy.metadata import (
    Said,
    answers_ping,
    droppable,
    for_client,
    for_service,
    is_safe_identity,
    says_more,
)


def test_what_a_client_says_of_itself_is_found_in_any_case() -> None:
    properties = {"SOCKET-type": b"SUB", "identity": b"me", "x-CURVEPROXY-certificate": b"text"}
    probe = {**properties, "X-curveproxy-PROBE": b""}
    assert Said.of(properties) == Said(properties, b"SUB", b"me", b"text", False)
    assert Said.of(probe) == Said(probe, b"SUB", b"me", b"text", True)
    assert Said.of({"X-Own": b"v"}) == Said({"X-Own": b"v"}, None, b"", None, False)


@pytest.mark.parametrize("name", ["X-Curveproxy-Records", "x-curveproxy-RECORDS", "X-CURVEPROXY-ANYTHING"])
def test_what_two_proxies_tell_each_other_goes_no_further(name: str) -> None:
    said = {"Socket-Type": b"REQ", name: b"1", "X-Curve-Proxy": b"2"}
    assert for_service(said, {}) == for_client(said, said) == {"Socket-Type": b"REQ", "X-Curve-Proxy": b"2"}


def test_what_only_we_may_say_is_taken_out_in_any_case() -> None:
    sent = {
        "Socket-Type": b"REQ",
        "uSER-id": b"root",
        "X-CURVE-KEY": b"k",
        "X-Own": b"v",
        "X-Curveproxy-Probe": b"",
    }
    passed = for_service(sent, {"User-Id": b"alice"})
    assert passed == {"Socket-Type": b"REQ", "X-Own": b"v", "User-Id": b"alice"}


def test_a_probe_is_nobody_to_the_service() -> None:
    assert for_service({"identity": b"desk-7", "X-CURVEPROXY-probe": b"", "X-A": b"1"}, {}) == {"X-A": b"1"}


def test_what_we_say_is_said_once() -> None:
    assert for_service({"IDENTITY": b"", "X-A": b"1"}, {"Identity": b"me"}) == {"X-A": b"1", "Identity": b"me"}


@pytest.mark.parametrize(
    ("identity", "sane"),
    [
        (None, True),
        (b"", True),
        (b"a" * 255, True),
        (b"a" * 256, False),
        (b"\0", False),
        (b"\0\x6b\x8b\x45\x67", False),
    ],
)
def test_an_identity_that_kills_is_told(identity: bytes | None, sane: bool) -> None:
    assert is_safe_identity(identity) is sane


def test_ready_loses_the_least_needed_first() -> None:
    assert droppable({"Socket-Type": b"", "Identity": b"", "X-A": b"", "x-b": b""}) == ["x-b", "X-A", "Identity"]


def test_what_libzmq_knows_by_itself_is_not_forwarded() -> None:
    assert for_service({"__fd": b"3", "_own": b"v"}, {}) == {"_own": b"v"}


def test_what_two_proxies_tell_each_other_is_for_nobody_else() -> None:
    said = {"Socket-Type": b"REQ", "x-curveproxy-PING": b""}
    assert answers_ping(said)
    assert for_service(said, {}) == {"Socket-Type": b"REQ"}
    assert for_service(said, {"X-Curveproxy-Ping": b""}) == {"Socket-Type": b"REQ", "X-Curveproxy-Ping": b""}
    assert for_client({"X-A": b"1"}, said) == {"X-A": b"1", "X-Curveproxy-Ping": b""}
    assert for_client(said, {"X-A": b"1"}) == {"Socket-Type": b"REQ"}


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ({}, False),
        ({"Identity": b"", "X-Curveproxy-Ping": b""}, False),
        ({"identity": b"me"}, True),
        ({"Resource": b""}, True),
        ({"X-Own": b"v"}, True),
    ],
)
def test_what_a_client_may_be_refused_for_beside_its_type_and_its_key(said: dict[str, bytes], more: bool) -> None:
    assert says_more({"SOCKET-TYPE": b"REQ", **said}) is more
