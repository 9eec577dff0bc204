"""When and how a session ends: idle, without a sign of life, over a limit, drained, revoked, replaced, broken."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio
from support import curve, zmtp
from support.relaying import FIRST_NONCE, KEY, Relay, sealed

from curveproxy.proxy.net.reactor import GONE, READ
from curveproxy.proxy.relay.commands import OUR_PING
from curveproxy.proxy.relay.session import AT_ONCE_SECONDS, IDLE_CHECKS, LEAST_PROGRESS, LINGER_SECONDS, Session
from curveproxy.reasons import Closed
from curveproxy.wire.codec.suites import available_suites

FORMS = {"message": 0, **{suite.word: suite for suite in available_suites()}}


@pytest.fixture(params=FORMS, autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What messages are in on the client's side."""
    word: str = request.param
    monkeypatch.setattr(Relay, "suite", int(FORMS[word]))
    return word


class Clock:
    """The time that sessions see."""

    now = 1000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(trio, "current_time", lambda: clock.now)
    return clock


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay(on_invalid="disconnect") as relay:
        yield relay


@pytest.fixture
def asking() -> Iterator[Relay]:
    """Of a REQ, which waits for the reply to each request."""
    with Relay(on_invalid="disconnect", kinds=(b"REQ", b"REP")) as relay:
        yield relay


def ask(relay: Relay, nonce: int = FIRST_NONCE) -> None:
    relay.send(sealed(nonce, b"question"))


def reply(relay: Relay) -> None:
    relay.service.send(zmtp.frame(b"answer"))
    relay.far.ready(READ)
    relay.go_on()


def hear(relay: Relay) -> tuple[list[zmtp.Frame], bool]:
    """What the client has been sent, in the clear, and whether nothing follows."""
    came, ended = b"", False
    with suppress(BlockingIOError):
        while not ended:
            got = relay.client.recv(1 << 20)
            came, ended = came + got, not got
    if Relay.suite:
        octets, _ = relay.hears.open(came)
        return zmtp.read_frames(octets), ended
    opened = (curve.read_message(frame.body, KEY, curve.FROM_SERVER) for frame in zmtp.read_frames(came))
    return [zmtp.Frame(flags, data) for _, flags, data in opened], ended


def leave(relay: Relay) -> None:
    """Both sides close."""
    relay.client.close()
    relay.service.close()
    relay.near.ready(READ | GONE)
    relay.far.ready(READ | GONE)
    relay.go_on()


# --- idle


def idle_checks(relay: Relay, number: int) -> None:
    for _ in range(number):
        relay.session.check_idle()
    relay.go_on()


def test_a_session_without_messages_ends_after_so_many_checks(relay: Relay) -> None:
    idle_checks(relay, IDLE_CHECKS)
    assert relay.session.reason is None
    idle_checks(relay, 1)
    assert relay.session.reason == Closed.IDLE
    assert hear(relay) == ([], True)


def test_a_message_of_either_side_begins_the_count_anew(relay: Relay) -> None:
    idle_checks(relay, IDLE_CHECKS)
    relay.send(sealed(FIRST_NONCE, b"x"))
    idle_checks(relay, IDLE_CHECKS)
    reply(relay)
    idle_checks(relay, IDLE_CHECKS)
    assert relay.session.reason is None


def test_an_unfinished_frame_counts_only_while_enough_of_it_comes(relay: Relay) -> None:
    frame = sealed(FIRST_NONCE, bytes(1900))
    idle_checks(relay, IDLE_CHECKS)
    relay.send(frame[:LEAST_PROGRESS])
    idle_checks(relay, IDLE_CHECKS)
    assert relay.session.reason is None
    relay.send(frame[LEAST_PROGRESS : LEAST_PROGRESS + 10])
    idle_checks(relay, 2)
    assert relay.session.reason == Closed.IDLE


def test_who_waits_for_a_reply_is_not_idle(asking: Relay) -> None:
    ask(asking)
    idle_checks(asking, 2 * IDLE_CHECKS)
    assert asking.session.reason is None
    reply(asking)
    idle_checks(asking, IDLE_CHECKS + 1)
    assert asking.session.reason == Closed.IDLE


# --- signs of life


def test_a_client_that_has_answered_once_must_answer_again(relay: Relay) -> None:
    session = relay.session
    session.check_alive()
    relay.go_on()
    [ping], _ = hear(relay)
    assert ping.body == OUR_PING
    pong = zmtp.command(b"PONG", b"curveproxy")
    relay.send(sealed(FIRST_NONCE, pong, curve.INNER_COMMAND))
    for _ in range(2):
        session.check_alive()
        relay.go_on()
    assert session.reason == Closed.HEARTBEAT
    assert relay.ended == Closed.HEARTBEAT


def test_a_client_that_never_answers_is_left_in_peace(relay: Relay) -> None:
    for _ in range(5):
        relay.session.check_alive()
        relay.go_on()
    assert relay.session.reason is None


# --- a drain


def test_a_drained_session_ends_between_two_messages(relay: Relay) -> None:
    relay.send(sealed(FIRST_NONCE, b"first", curve.INNER_MORE))
    relay.session.drain()
    relay.go_on()
    assert hear(relay) == ([], True), "nothing is owed to a DEALER"
    relay.send(sealed(FIRST_NONCE + 1, b"last"))
    assert relay.messages == [[b"first", b"last"]], "what is sent before the end is seen is delivered"
    leave(relay)
    assert relay.ended == Closed.DRAINED


def test_a_drained_session_of_a_req_ends_behind_its_reply(asking: Relay) -> None:
    ask(asking)
    asking.session.drain()
    asking.go_on()
    assert hear(asking) == ([], False)
    assert asking.session.awaits_reply
    reply(asking)
    [answer], ended = hear(asking)
    assert (answer.body, ended) == (b"answer", True)


def test_behind_the_next_reply_a_client_goes_that_asks_no_more(asking: Relay) -> None:
    ask(asking)
    reply(asking)
    hear(asking)
    asking.session.drain_behind_reply()
    asking.go_on()
    assert hear(asking) == ([], False), "between two requests it would be too late: the next may be on its way"
    ask(asking, FIRST_NONCE + 1)
    reply(asking)
    [answer], ended = hear(asking)
    assert (answer.body, ended) == (b"answer", True)


def test_who_has_never_asked_goes_at_once(asking: Relay) -> None:
    asking.session.drain_behind_reply()
    asking.go_on()
    assert hear(asking) == ([], True)
    assert asking.session.reason == Closed.DRAINED


# --- other ends


@pytest.mark.parametrize(
    ("end", "reason", "seconds"),
    [
        (Session.revoke, Closed.REVOKED, AT_ONCE_SECONDS),
        (Session.dismiss, Closed.PROBE, AT_ONCE_SECONDS),
        (Session.end_over_limit, Closed.LIMIT, LINGER_SECONDS),
        (Session.drain, Closed.DRAINED, LINGER_SECONDS),
    ],
    ids=["revoked", "a probe", "over its limit", "drained"],
)
def test_who_has_to_leave_may_stay_so_long(
    relay: Relay, clock: Clock, end: object, reason: Closed, seconds: float
) -> None:
    assert callable(end)
    end(relay.session)
    relay.go_on()
    assert (relay.session.reason, relay.session.ends_by) == (reason, clock.now + seconds)
    relay.session.end(Closed.CLIENT_CLOSED)
    assert relay.session.reason == reason, "the first reason counts"


def test_a_client_that_came_again_does_not_prolong_its_stay(relay: Relay, clock: Clock) -> None:
    relay.session.hurry()
    first = relay.session.ends_by
    clock.now += 5
    relay.session.hurry()
    relay.session.progress()
    assert relay.session.ends_by == first


def test_progress_prolongs_an_ending_session_and_no_other(relay: Relay, clock: Clock) -> None:
    relay.session.progress()
    assert relay.session.ends_by == float("inf")
    relay.session.end(Closed.CLIENT_CLOSED)
    clock.now += 5
    relay.session.progress()
    assert relay.session.ends_by == clock.now + LINGER_SECONDS


def test_an_abort_closes_both_sides_once(relay: Relay) -> None:
    relay.session.abort(Closed.REPLACED)
    relay.session.abort(Closed.DRAINED)
    assert (relay.ended, relay.session.reason) == (Closed.REPLACED, Closed.REPLACED)
    assert relay.client.recv(1) == b""
    assert relay.service.recv(1) == b""


def test_an_error_of_ours_is_reported_and_is_the_reason() -> None:
    relay, error = Relay(), ValueError("ours")
    relay.session.end(Closed.CLIENT_CLOSED)
    relay.session.failed(error)
    assert (relay.errors, relay.ended) == ([error], Closed.INTERNAL)
    relay.client.close()
    relay.service.close()


@pytest.mark.parametrize(("leaves_unread", "reason"), [(False, Closed.CLIENT_CLOSED), (True, Closed.CLIENT_RESET)])
def test_who_goes_while_the_service_takes_nothing_is_told_as_one_who_has_gone(
    relay: Relay, clock: Clock, leaves_unread: bool, reason: Closed
) -> None:
    if leaves_unread:
        reply(relay)
    nonce = FIRST_NONCE
    while not relay.to_service.is_blocked_on_sink:
        relay.client.send(sealed(nonce, bytes(500)))
        relay.near.ready(READ)
        relay.go_on()
        nonce += 1
    relay.client.send(sealed(nonce, b"unread"))
    relay.client.close()
    relay.near.ready(READ | GONE)
    relay.go_on()
    assert relay.session.reason is None, "there is more of it to be read"
    assert relay.session.ends_by == clock.now + LINGER_SECONDS
    relay.session.expire()
    assert relay.ended == reason
