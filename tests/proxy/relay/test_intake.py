"""What a pump takes in, and what it leaves: quotas, frames that are dropped, ends and breaches of rules."""

import socket

import pytest
import trio
from support import curve, zmtp
from support.relaying import FIRST_NONCE, KEY, LIMIT, V31, Allowance, Relay, sealed

from curveproxy.proxy.net.reactor import GONE, READ
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


@pytest.mark.parametrize("quota", [0.0, 50.0])
def test_a_source_that_has_used_up_its_quota_is_not_read(quota: float) -> None:
    with Relay() as relay:
        relay.to_service.limit(Allowance(quota))
        relay.send(sealed(FIRST_NONCE, b"x"))
        assert relay.messages == ([[b"x"]] if quota else [])


TOO_LARGE = sealed(FIRST_NONCE, bytes(LIMIT + 1000))


def test_of_a_dropped_frame_nothing_is_kept_and_all_is_counted() -> None:
    with Relay() as relay:
        quota = Allowance(1e9)
        relay.to_service.limit(quota)
        for at in range(0, len(TOO_LARGE), 500):
            relay.send(TOO_LARGE[at : at + 500])
            assert relay.to_service.held < 600
        behind = sealed(FIRST_NONCE + 1, b"perhaps its last part") + sealed(FIRST_NONCE + 2, b"behind it")
        relay.send(behind)
        assert relay.messages == [[b"behind it"]]
        assert relay.invalid == [Invalid.TOO_LARGE]
        assert quota.spent == len(TOO_LARGE) + len(behind)


def test_a_source_may_end_inside_a_frame_that_is_dropped() -> None:
    with Relay() as relay:
        relay.send(TOO_LARGE[:1000])
        relay.client.shutdown(socket.SHUT_WR)
        relay.near.ready(READ | GONE)
        relay.go_on()
        assert relay.service.recv(1) == b""
        assert relay.to_service.is_finishing


def test_what_breaks_a_rule_ends_both_directions() -> None:
    with Relay(on_invalid="disconnect") as relay:
        relay.send(sealed(FIRST_NONCE, b"good") + sealed(FIRST_NONCE, b"repeated"))
        assert relay.messages == [[b"good"]]
        assert relay.invalid == [Invalid.NONCE]
        assert relay.session.reason == Closed.INVALID_MESSAGE
        assert relay.client.recv(1) == b""


def test_a_message_that_is_too_large_has_a_reason_of_its_own() -> None:
    with Relay(on_invalid="disconnect") as relay:
        relay.send(TOO_LARGE[:100])
        assert relay.session.reason == Closed.INVALID_MESSAGE
        assert relay.invalid == [Invalid.TOO_LARGE]


def test_a_ping_is_answered_in_the_other_direction_where_the_service_knows_none() -> None:
    old = Version(Dialect.V3, 0)
    with Relay(versions=(V31, old)) as relay:
        relay.send(sealed(FIRST_NONCE, zmtp.ping(b"x"), curve.INNER_COMMAND))
        relay.go_on()
        [frame] = zmtp.read_frames(relay.client.recv(1000))
        _, flags, data = curve.read_message(frame.body, KEY, curve.FROM_SERVER)
        assert (flags, data) == (curve.INNER_COMMAND, zmtp.command(b"PONG", b"x"))
        assert relay.commands == []


def test_it_is_known_whether_anything_would_be_lost_and_whether_the_source_gives_a_sign() -> None:
    with Relay() as relay:
        reader = relay.to_service
        assert (reader.is_idle, reader.waits_in_vain) == (True, True)
        reader.await_sign(asked=True)
        assert reader.is_silent
        relay.client.send(sealed(FIRST_NONCE, b"x"))
        assert (reader.is_idle, reader.waits_in_vain) == (False, False)
        relay.send(b"")
        assert (reader.is_silent, reader.is_idle) == (False, True)
        relay.send(sealed(FIRST_NONCE + 1, b"half")[:10])
        assert (reader.begun, reader.is_idle) == (10, True), "half a frame is nothing whole"


def test_while_memory_is_short_who_holds_some_may_not_read() -> None:
    with Relay() as relay:
        reader = relay.to_service
        relay.send(sealed(FIRST_NONCE, bytes(300))[:200])
        relay.memory.set_limit(210)
        assert relay.memory.under_pressure
        other = relay.far.reader
        relay.memory.charge(other, 205, 0)  # what the other direction holds
        assert relay.memory.may_exceed(other, 100), "one at a time may"
        relay.send(sealed(FIRST_NONCE, bytes(300))[200:])
        assert (relay.came, reader.is_held_up) == (b"", True)
        relay.memory.set_limit(1 << 30)
        reader.may_resume(0.0)
        relay.send(b"")
        assert relay.messages == [[bytes(300)]]
        relay.memory.charge(other, 0, 0)


def test_a_source_that_is_read_for_nobody_is_not_held_up() -> None:
    with Relay() as relay:
        relay.to_service.limit(Allowance(0.0))
        relay.to_service.lose_sink()
        relay.client.send(sealed(FIRST_NONCE, b"x"))
        relay.near.ready(READ)
        relay.go_on()
        assert (relay.to_service.is_held_up, relay.to_service.is_idle) == (False, True)
        assert relay.to_service.waits_in_vain, "it has been thrown away"


def test_a_reset_is_no_ordinary_end() -> None:
    with Relay() as relay:
        relay.service.send(zmtp.frame(b"unread"))
        relay.far.ready(READ)
        relay.client.close()
        relay.near.ready(READ | GONE)
        relay.go_on()
        assert relay.session.reason == Closed.CLIENT_RESET
