"""When and how a session ends: idle, without a sign of life, over a limit, drained, revoked, replaced, broken."""

from collections.abc import Iterator
from functools import partial

import pytest
from support import zmtp
from support.clock import Clock
from support.ends import FORMS, End, ends
from support.relaying import Relay

from curveproxy.proxy.net.reactor import GONE, READ
from curveproxy.proxy.relay.commands import OUR_PING
from curveproxy.proxy.relay.session import AT_ONCE_SECONDS, IDLE_CHECKS, LEAST_PROGRESS, LINGER_SECONDS, Session
from curveproxy.reasons import Closed


@pytest.fixture(params=FORMS, autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What messages are in on the side that speaks CURVE."""
    word: str = request.param
    monkeypatch.setattr(Relay, "suite", FORMS[word])
    return word


@pytest.fixture(params=["downstream", "upstream"])
def boxed(request: pytest.FixtureRequest) -> str:
    """The side that speaks CURVE."""
    side: str = request.param
    return side


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.set(monkeypatch)


class Ended(Relay):
    """A session with both of its ends. asked: the one that speaks CURVE."""

    def __init__(self, boxed: str, *kinds: bytes) -> None:
        super().__init__(boxed=boxed, on_invalid="disconnect", kinds=(kinds[0], kinds[1]))
        self.below, self.above = ends(self, boxed)
        self.asked = self.below if boxed == "downstream" else self.above

    def ask(self) -> None:
        self.below.send_messages([[b"question"]])

    def reply(self) -> None:
        self.above.send_messages([[b"answer"]])


@pytest.fixture
def relay(boxed: str) -> Iterator[Ended]:
    with Ended(boxed, b"DEALER", b"ROUTER") as relay:
        yield relay


@pytest.fixture
def asking(boxed: str) -> Iterator[Ended]:
    """Of a REQ, which waits for the reply to each request."""
    with Ended(boxed, b"REQ", b"REP") as relay:
        yield relay


def hear(end: End) -> tuple[list[bytes], bool]:
    """Bodies that have come there, and whether nothing follows."""
    return [frame.body for frame in end.hear()], end.has_ended


def leave(relay: Ended) -> None:
    """Both sides close."""
    relay.client.close()
    relay.service.close()
    relay.near.ready(READ | GONE)
    relay.far.ready(READ | GONE)
    relay.go_on()


# --- idle


def idle_checks(relay: Ended, number: int) -> None:
    for _ in range(number):
        relay.session.check_idle()
    relay.go_on()


def test_a_session_without_messages_ends_after_so_many_checks(relay: Ended) -> None:
    idle_checks(relay, IDLE_CHECKS)
    assert relay.session.reason is None
    idle_checks(relay, 1)
    assert relay.session.reason == Closed.IDLE
    assert hear(relay.below) == ([], True)


def test_a_message_of_either_side_begins_the_count_anew(relay: Ended) -> None:
    idle_checks(relay, IDLE_CHECKS)
    relay.below.send_messages([[b"x"]])
    idle_checks(relay, IDLE_CHECKS)
    relay.reply()
    idle_checks(relay, IDLE_CHECKS)
    assert relay.session.reason is None


@pytest.mark.parametrize("by", ["the client", "the service"])
def test_an_unfinished_frame_counts_only_while_enough_of_it_comes(relay: Ended, by: str) -> None:
    side = relay.below if by == "the client" else relay.above
    frame, begin = side.frame(bytes(1900)), 1700  # of records, that is more than the least progress too
    idle_checks(relay, IDLE_CHECKS)
    side.send(frame[:begin])
    idle_checks(relay, IDLE_CHECKS)
    assert relay.session.reason is None
    for at in range(begin, begin + 100, 10):
        side.send(frame[at : at + 10])
    idle_checks(relay, 2)
    assert relay.session.reason == Closed.IDLE


def test_parts_of_a_message_count_only_while_enough_of_it_comes(relay: Ended) -> None:
    for _ in range(3):
        idle_checks(relay, IDLE_CHECKS // 2)
        relay.below.send(relay.below.frame(bytes(LEAST_PROGRESS // 2), more=True))
    assert relay.session.reason is None
    for _ in range(2):
        idle_checks(relay, 2)
        relay.below.send(relay.below.frame(b"x", more=True))
    assert relay.session.reason is None
    idle_checks(relay, 2)
    assert relay.session.reason == Closed.IDLE


def test_a_message_that_came_in_pieces_counts_once(relay: Ended) -> None:
    frame = relay.below.frame(bytes(1900))
    relay.below.send(frame[:1500])
    idle_checks(relay, IDLE_CHECKS)
    relay.below.send(frame[1500:])
    idle_checks(relay, IDLE_CHECKS)
    assert relay.session.reason is None
    idle_checks(relay, 1)
    assert relay.session.reason == Closed.IDLE


def test_who_waits_for_a_reply_is_not_idle(asking: Ended) -> None:
    asking.ask()
    idle_checks(asking, 2 * IDLE_CHECKS)
    assert asking.session.reason is None
    asking.reply()
    idle_checks(asking, IDLE_CHECKS + 1)
    assert asking.session.reason == Closed.IDLE


# --- signs of life


def test_who_has_answered_once_must_answer_again(relay: Ended) -> None:
    session = relay.session
    session.check_alive()
    relay.go_on()
    assert hear(relay.asked) == ([OUR_PING], False)
    pong = zmtp.command(b"PONG", b"curveproxy")
    relay.asked.send(relay.asked.frame(pong, command=True))
    for _ in range(2):
        session.check_alive()
        relay.go_on()
    assert session.reason == Closed.HEARTBEAT
    assert relay.ended == Closed.HEARTBEAT


def test_who_never_answers_is_left_in_peace(relay: Ended) -> None:
    for _ in range(5):
        relay.session.check_alive()
        relay.go_on()
    assert relay.session.reason is None


# --- a drain


def test_a_drained_session_ends_between_two_messages(relay: Ended) -> None:
    relay.below.send(relay.below.frame(b"first", more=True))
    relay.session.drain()
    relay.go_on()
    assert hear(relay.below) == ([], True), "nothing is owed to a DEALER"
    relay.below.send(relay.below.frame(b"last"))
    assert relay.above.messages() == [[b"first", b"last"]], "what is sent before the end is seen is delivered"
    leave(relay)
    assert relay.ended == Closed.DRAINED


def test_a_drained_session_of_a_req_ends_behind_its_reply(asking: Ended) -> None:
    asking.ask()
    asking.session.drain()
    asking.go_on()
    assert hear(asking.below) == ([], False)
    assert asking.session.awaits_reply
    asking.reply()
    assert hear(asking.below) == ([b"answer"], True)


def test_behind_the_next_reply_a_client_goes_that_asks_no_more(asking: Ended) -> None:
    asking.ask()
    asking.reply()
    hear(asking.below)
    asking.session.drain_behind_reply()
    asking.go_on()
    assert hear(asking.below) == ([], False), "between two requests it would be too late: the next may be on its way"
    asking.ask()
    asking.reply()
    assert hear(asking.below) == ([b"answer"], True)


def test_who_has_never_asked_goes_at_once(asking: Ended) -> None:
    asking.session.drain_behind_reply()
    asking.go_on()
    assert hear(asking.below) == ([], True)
    assert asking.session.reason == Closed.DRAINED


# --- other ends


@pytest.mark.parametrize(
    ("end", "reason", "seconds"),
    [
        (Session.revoke, Closed.REVOKED, AT_ONCE_SECONDS),
        (partial(Session.revoke, reason=Closed.EXPIRED), Closed.EXPIRED, AT_ONCE_SECONDS),
        (Session.dismiss, Closed.PROBE, AT_ONCE_SECONDS),
        (Session.end_over_limit, Closed.LIMIT, LINGER_SECONDS),
        (Session.drain, Closed.DRAINED, LINGER_SECONDS),
    ],
    ids=["revoked", "expired", "a probe", "over its limit", "drained"],
)
def test_who_has_to_leave_may_stay_so_long(
    relay: Ended, clock: Clock, end: object, reason: Closed, seconds: float
) -> None:
    assert callable(end)
    end(relay.session)
    relay.go_on()
    assert (relay.session.reason, relay.session.ends_by) == (reason, clock.now + seconds)
    relay.session.end(Closed.CLIENT_CLOSED)
    assert relay.session.reason == reason, "the first reason counts"


def test_a_client_that_came_again_does_not_prolong_its_stay(relay: Ended, clock: Clock) -> None:
    relay.session.hurry()
    first = relay.session.ends_by
    clock.now += 5
    relay.session.hurry()
    relay.session.progress()
    assert relay.session.ends_by == first


def test_progress_prolongs_an_ending_session_and_no_other(relay: Ended, clock: Clock) -> None:
    relay.session.progress()
    assert relay.session.ends_by == float("inf")
    relay.session.end(Closed.CLIENT_CLOSED)
    clock.now += 5
    relay.session.progress()
    assert relay.session.ends_by == clock.now + LINGER_SECONDS


def test_an_abort_closes_both_sides_once(relay: Ended) -> None:
    relay.session.abort(Closed.REPLACED)
    relay.session.abort(Closed.DRAINED)
    assert (relay.ended, relay.session.reason) == (Closed.REPLACED, Closed.REPLACED)
    assert relay.client.recv(1) == b""
    assert relay.service.recv(1) == b""


def test_an_error_of_ours_is_reported_and_is_the_reason(boxed: str) -> None:
    relay, error = Relay(boxed=boxed), ValueError("ours")
    relay.session.end(Closed.CLIENT_CLOSED)
    relay.session.failed(error)
    assert (relay.errors, relay.ended) == ([error], Closed.INTERNAL)
    relay.client.close()
    relay.service.close()


@pytest.mark.parametrize(("leaves_unread", "reason"), [(False, Closed.CLIENT_CLOSED), (True, Closed.CLIENT_RESET)])
def test_who_goes_while_the_service_takes_nothing_is_told_as_one_who_has_gone(
    relay: Ended, clock: Clock, leaves_unread: bool, reason: Closed
) -> None:
    if leaves_unread:
        relay.reply()
    while not relay.to_service.is_blocked_on_sink:
        relay.below.send(relay.below.frame(bytes(500)))
    relay.client.send(relay.below.frame(b"unread"))
    relay.client.close()
    relay.near.ready(READ | GONE)
    relay.go_on()
    assert relay.session.reason is None, "there is more of it to be read"
    assert relay.session.ends_by == clock.now + LINGER_SECONDS
    relay.session.expire()
    assert relay.ended == reason
