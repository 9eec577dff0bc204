"""What becomes of a command, for each kind of sink."""

import pytest

from curveproxy.proxy.relay.commands import OUR_CONTEXT, CommandAction, decide_untrusted
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.reasons import Invalid

PING = b"\x04PING\x00\x0actx"


def test_a_ping_is_passed_on_only_to_who_knows_it() -> None:
    assert decide_untrusted(PING, Capabilities(1, b"REP")) == CommandAction(PING, knows_ping=True)
    assert decide_untrusted(PING, Capabilities(0, b"REP")) == CommandAction(answer=b"\x04PONGctx")


def test_a_pong_is_passed_on_only_to_who_asked() -> None:
    service = Capabilities(1, b"REP")
    assert decide_untrusted(b"\x04PONG", service).dropped
    service.learn(knows_ping=True, answers_ping=False)
    assert decide_untrusted(b"\x04PONG", service) == CommandAction(b"\x04PONG")


def test_a_pong_to_our_own_ping_shows_that_its_sender_answers() -> None:
    assert decide_untrusted(b"\x04PONG" + OUR_CONTEXT, Capabilities(1, b"REP")) == CommandAction(answers_ping=True)


@pytest.mark.parametrize(("service", "dropped"), [(b"PUB", False), (b"XPUB", False), (b"ROUTER", True), (None, True)])
def test_a_subscription_goes_to_publishers_as_a_message(service: bytes | None, dropped: bool) -> None:
    verdict = decide_untrusted(b"\x09SUBSCRIBEtopic", Capabilities(1, service))
    assert verdict == (CommandAction(dropped=True) if dropped else CommandAction(b"\x01topic", flags=0))
    verdict = decide_untrusted(b"\x06CANCELtopic", Capabilities(1, service))
    assert verdict == (CommandAction(dropped=True) if dropped else CommandAction(b"\x00topic", flags=0))


def test_groups_go_to_radio() -> None:
    assert decide_untrusted(b"\x04JOINgroup", Capabilities(1, b"RADIO")) == CommandAction(b"\x04JOINgroup")
    assert decide_untrusted(b"\x04JOINgroup", Capabilities(1, b"ROUTER")).dropped


def test_what_is_not_known_is_dropped() -> None:
    assert decide_untrusted(b"\x03FOO", Capabilities(1, b"REP")).dropped


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x05PING", b"\x04PING\x00", b"\x04PING" + bytes(19)])
def test_what_is_malformed_is_invalid(body: bytes) -> None:
    assert decide_untrusted(body, Capabilities(1, b"REP")) == CommandAction(invalid=Invalid.COMMAND)


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
    sink = Capabilities(1, service)
    assert decide_untrusted(command + bytes(most), sink).pass_on
    assert decide_untrusted(command + bytes(most + 1), sink) == CommandAction(invalid=Invalid.TOO_LARGE)
