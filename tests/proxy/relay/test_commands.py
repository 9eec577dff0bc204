"""Which commands are forwarded, answered or dropped."""

import pytest

from curveproxy.proxy.errors import InvalidError
from curveproxy.proxy.relay.commands import CommandAction, Side, judge_untrusted
from curveproxy.reasons import Invalid

PING = b"\x04PING\x00\x0actx"


def test_a_ping_is_passed_on_only_to_who_knows_it() -> None:
    assert judge_untrusted(PING, Side(1, b"REQ"), Side(1, b"REP")) == CommandAction(PING)
    assert judge_untrusted(PING, Side(1, b"REQ"), Side(0, b"REP")) == CommandAction(answer=b"\x04PONGctx")


def test_a_pong_is_passed_on_only_to_who_asked() -> None:
    client, service = Side(1, b"REQ"), Side(1, b"REP")
    assert judge_untrusted(b"\x04PONG", client, service).dropped
    judge_untrusted(PING, service, client)
    assert judge_untrusted(b"\x04PONG", client, service) == CommandAction(b"\x04PONG")


@pytest.mark.parametrize(("service", "dropped"), [(b"PUB", False), (b"XPUB", False), (b"ROUTER", True), (None, True)])
def test_a_subscription_goes_to_publishers_as_a_message(service: bytes | None, dropped: bool) -> None:
    verdict = judge_untrusted(b"\x09SUBSCRIBEtopic", Side(1, b"SUB"), Side(1, service))
    assert verdict == (CommandAction(dropped=True) if dropped else CommandAction(b"\x01topic", flags=0))
    verdict = judge_untrusted(b"\x06CANCELtopic", Side(1, b"SUB"), Side(1, service))
    assert verdict == (CommandAction(dropped=True) if dropped else CommandAction(b"\x00topic", flags=0))


def test_groups_go_to_radio() -> None:
    assert judge_untrusted(b"\x04JOINgroup", Side(1, b"DISH"), Side(1, b"RADIO")) == CommandAction(b"\x04JOINgroup")
    assert judge_untrusted(b"\x04JOINgroup", Side(1, b"DISH"), Side(1, b"ROUTER")).dropped


def test_what_is_not_known_is_dropped() -> None:
    assert judge_untrusted(b"\x03FOO", Side(1, b"REQ"), Side(1, b"REP")).dropped


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x05PING", b"\x04PING\x00", b"\x04PING" + bytes(19)])
def test_what_is_malformed_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        judge_untrusted(body, Side(1, b"REQ"), Side(1, b"REP"))
    assert caught.value.reason == Invalid.COMMAND


@pytest.mark.parametrize(
    ("command", "most", "service"),
    [
        (b"\x09SUBSCRIBE", 4095, b"PUB"),
        (b"\x06CANCEL", 4095, b"XPUB"),
        (b"\x04JOIN", 255, b"RADIO"),
        (b"\x05LEAVE", 255, b"RADIO"),
    ],
)
def test_subscriptions_and_groups_have_a_bound(command: bytes, most: int, service: bytes) -> None:
    client, sink = Side(1, b"SUB"), Side(1, service)
    assert judge_untrusted(command + bytes(most), client, sink).pass_on
    with pytest.raises(InvalidError) as caught:
        judge_untrusted(command + bytes(most + 1), client, sink)
    assert caught.value.reason == Invalid.TOO_LARGE
