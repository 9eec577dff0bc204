"""The pumps of a session relay both ways round, whichever of its sides speaks CURVE: the class is the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import SHUT_WR
from typing import Any

import pytest
import trio
from support import zmtp
from support.ends import FORMS, End, ends
from support.relaying import FIRST_NONCE, LIMIT, Relay, sealed

from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.relay import pump
from curveproxy.proxy.relay.commands import OUR_CONTEXT, OUR_PING
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect

MESSAGES = [[b"one"], [b"", b"two", bytes(300)], [bytes(600)], [bytes(1900)], [b"last"]]

Begin = Callable[[Relay], None]


@pytest.fixture(autouse=True)
def _soon_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "THREAD_SIZE", 1500)
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What messages are in on that side."""
    word: str = request.param
    monkeypatch.setattr(Relay, "suite", FORMS[word])
    return word


@pytest.fixture(params=["downstream", "upstream"])
def boxed(request: pytest.FixtureRequest, form: str) -> str:
    """The side that speaks CURVE."""
    side: str = request.param
    return side


V31 = Version(Dialect.V3, 1)
OLD = [Version(Dialect.V1, 0), Version(Dialect.V2, 0), Version(Dialect.V3, 0)]
Kinds = tuple[bytes, bytes]


@contextmanager
def facing(boxed: str, version: Version, kinds: Kinds, **messages: Any) -> Iterator[tuple[Relay, End, End]]:
    """A relay between a side that speaks CURVE and a plain one of a version. kinds: of these two, in this order."""
    is_below = boxed == "downstream"
    versions, types = ((V31, version), kinds) if is_below else ((version, V31), kinds[::-1])
    with Relay(boxed=boxed, versions=versions, kinds=types, **messages) as relay:
        below, above = ends(relay, boxed, version.dialect)
        yield (relay, below, above) if is_below else (relay, above, below)


@pytest.mark.parametrize("policy", ["disconnect", "drop"])
def test_messages_of_all_sizes_go_both_ways(boxed: str, policy: str) -> None:
    with Relay(boxed=boxed, on_invalid=policy) as relay:
        downstream, upstream = ends(relay, boxed)
        downstream.send_messages(MESSAGES)
        upstream.send_messages(MESSAGES[::-1])
        assert upstream.messages() == MESSAGES
        assert downstream.messages() == MESSAGES[::-1]
        session = relay.session
        assert session.messages_in == session.messages_out == len(MESSAGES)
        assert session.octets_in == session.octets_out == sum(len(part) for parts in MESSAGES for part in parts)
        assert relay.invalid == []


def test_a_ping_and_its_answer_go_both_ways(boxed: str) -> None:
    with Relay(boxed=boxed) as relay:
        both = ends(relay, boxed)
        for asks, answers in (both, both[::-1]):
            asks.send(asks.frame(zmtp.ping(b"x"), command=True))
            assert list(answers.hear()) == [zmtp.Frame(zmtp.COMMAND, zmtp.ping(b"x"))]
            answers.send(answers.frame(zmtp.command(b"PONG", b"x"), command=True))
            assert list(asks.hear()) == [zmtp.Frame(zmtp.COMMAND, zmtp.command(b"PONG", b"x"))]


@pytest.mark.parametrize(("closes", "reason"), [(0, Closed.CLIENT_CLOSED), (1, Closed.BACKEND_CLOSED)])
def test_a_close_of_one_side_ends_the_other_behind_what_was_said(boxed: str, closes: int, reason: Closed) -> None:
    with Relay(boxed=boxed) as relay:
        both = ends(relay, boxed)
        both[closes].send_messages([[b"last"]])
        both[closes].close()
        assert both[1 - closes].messages() == [[b"last"]]
        assert both[1 - closes].socket.recv(1) == b""
        both[1 - closes].close()
        assert (relay.ended, relay.session.reason) == (reason, reason)


@pytest.mark.parametrize("closes", [0, 1], ids=["the client", "the service"])
def test_an_end_goes_on_with_what_was_said_last(boxed: str, closes: int) -> None:
    """Another proxy sends its last reply so: who hears of it later may have asked again, and is not answered."""
    with Relay(boxed=boxed) as relay:
        both = ends(relay, boxed)
        source, sink = both[closes], both[1 - closes]
        source.socket.send(source.frame(b"last"))
        source.socket.shutdown(SHUT_WR)
        source.side.ready(READ | GONE)
        assert (sink.messages(), sink.has_ended) == ([[b"last"]], True)


def test_a_damaged_box_ends_the_session_or_is_dropped(boxed: str) -> None:
    is_record = bool(Relay.suite)  # behind which nothing can be found
    for policy, kept in (("disconnect", [[b"a"]]), ("drop", [[b"a"], [b"c"]][: 2 - is_record])):
        with Relay(boxed=boxed, on_invalid=policy) as relay:
            both = ends(relay, boxed)
            source, sink = both if boxed == "downstream" else both[::-1]
            source.send(source.frame(b"a"))
            damaged = bytearray(source.frame(b"b"))
            damaged[-1] ^= 1
            source.send(bytes(damaged))
            if relay.session.reason is None:
                source.send(source.frame(b"spoiled") + source.frame(b"c"))
            assert sink.messages() == kept
            assert relay.invalid[0] == (Invalid.RECORD if is_record else Invalid.BOX)
            assert (relay.session.reason == Closed.INVALID_MESSAGE) == (policy == "disconnect" or is_record)


def test_a_plain_side_that_breaks_the_framing_always_ends_the_session(boxed: str) -> None:
    with Relay(boxed=boxed) as relay:
        both = ends(relay, boxed)
        plain = both[boxed == "downstream"]
        plain.send(b"\x08\x00")
        assert (relay.invalid, relay.session.reason) == ([Invalid.FRAMING], Closed.INVALID_MESSAGE)


def test_a_requester_awaits_a_reply(boxed: str) -> None:
    with Relay(boxed=boxed, kinds=(b"REQ", b"REP")) as relay:
        found = [relay.session.awaits_reply]
        for side in ends(relay, boxed):
            side.send_messages([[b"", b"x"]])
            found.append(relay.session.awaits_reply)
        assert found == [False, True, False]


@pytest.mark.parametrize("size", [1, 100], ids=["octet by octet", "in one piece"])
def test_what_is_still_to_come_of_a_handshake_is_not_relayed(size: int) -> None:
    versions = (Version(Dialect.V2, 0), Version(Dialect.V3, 1))
    with Relay(boxed="upstream", versions=versions, skip=2) as relay:
        plain, secure = ends(relay, "upstream", Dialect.V2)
        octets = zmtp.frame(b"") + zmtp.frame(b"") + zmtp.frame(b"message")
        for start in range(0, len(octets), size):
            plain.send(octets[start : start + size])
        assert secure.messages() == [[b""], [b"message"]], "an identity, and then two messages"
        secure.send_messages([[b"answer"]])
        assert plain.messages() == [[b"answer"]]
        assert (relay.session.messages_in, relay.session.octets_in) == (2, 7)


@pytest.mark.parametrize("come", [b"", b"\0", b"\0\0"], ids=len)
def test_who_leaves_in_the_last_octets_of_its_handshake_has_left(come: bytes) -> None:
    with Relay(boxed="upstream", versions=(Version(Dialect.V2, 0), Version(Dialect.V3, 1)), skip=2) as relay:
        plain, secure = ends(relay, "upstream", Dialect.V2)
        plain.send(come)
        plain.close()
        assert secure.messages() == []
        assert secure.socket.recv(1) == b""
        secure.close()
        assert relay.ended == Closed.CLIENT_CLOSED


def test_an_old_subscriber_has_all_asked_for_it_on_either_side(boxed: str) -> None:
    old, new = Version(Dialect.V1, 0), Version(Dialect.V3, 1)
    is_above = boxed == "downstream"
    versions, kinds = ((new, old), (b"PUB", b"SUB")) if is_above else ((old, new), (b"SUB", b"PUB"))
    with Relay(boxed=boxed, versions=versions, kinds=kinds) as relay:
        both = ends(relay, boxed)
        publisher = both[0] if is_above else both[1]
        relay.go_on()
        assert publisher.messages() == [[b"\1"]], "nothing more is told of a socket that has long been connected"


def test_what_is_invalid_in_either_direction_is_reported_with_who_has_sent_it(boxed: str) -> None:
    with Relay(boxed=boxed) as relay:
        downstream, upstream = ends(relay, boxed)
        downstream.send(downstream.frame(b"\1X", command=True))
        upstream.send(upstream.frame(b"\1X", command=True))
        assert relay.invalid == [Invalid.COMMAND] * 2
        assert relay.details == ["", "from the service" if boxed == "downstream" else "from the remote"]
        assert relay.session.reason is None


def test_a_session_whose_sides_have_both_gone_is_closed() -> None:
    with Relay() as relay:
        relay.service.shutdown(SHUT_WR)
        relay.far.ready(READ | GONE)
        relay.go_on()
        assert relay.session.reason == Closed.BACKEND_CLOSED
        relay.service.close()
        relay.far.ready(READ | WRITE | GONE)
        downstream = End(relay, "downstream", "downstream")
        downstream.send(downstream.frame(b"for nobody"))
        relay.client.close()
        relay.near.ready(READ | GONE)
        relay.go_on()
        assert relay.ended == Closed.BACKEND_CLOSED


def service_breaks_a_rule(relay: Relay) -> None:
    relay.service.send(zmtp.frame(b"unread") + b"\x08\x00")
    relay.far.ready(READ)


def client_breaks_a_rule(relay: Relay) -> None:
    relay.client.send(sealed(FIRST_NONCE, b"unread") + sealed(FIRST_NONCE, b"again"))
    relay.near.ready(READ)


def session_is_drained(relay: Relay) -> None:
    relay.session.drain()
    relay.go_on()
    relay.client.send(sealed(FIRST_NONCE, b"unread"))
    relay.near.ready(READ)


@pytest.mark.parametrize("begin", [service_breaks_a_rule, client_breaks_a_rule, session_is_drained])
def test_a_session_ends_with_its_second_direction_though_a_side_has_unread_octets(begin: Begin) -> None:
    with Relay(on_invalid="disconnect") as relay:
        begin(relay)
        relay.go_on()
        assert (relay.session.reason is not None, relay.ended) == (True, None)
        for sock, end in ((relay.client, relay.near), (relay.service, relay.far)):
            sock.shutdown(SHUT_WR)
            if relay.ended is None:
                end.ready(READ | GONE)
                relay.go_on()
        assert relay.ended == relay.session.reason
        reader = relay.client if begin is service_breaks_a_rule else relay.service
        assert reader.recv(100), "what was said before is still there"
        assert reader.recv(100) == b""


def test_a_heartbeat_asks_the_side_that_speaks_curve(boxed: str) -> None:
    with Relay(boxed=boxed) as relay:
        both = ends(relay, boxed)
        asked, other = both if boxed == "downstream" else both[::-1]
        relay.session.check_alive()
        relay.go_on()
        assert list(asked.hear()) == [zmtp.Frame(zmtp.COMMAND, OUR_PING)]
        asked.send(asked.frame(zmtp.command(b"PONG", OUR_CONTEXT), command=True))
        assert list(other.hear()) == [], "it is ours alone"
        for _ in range(2):
            assert relay.session.reason is None
            relay.session.check_alive()
            relay.go_on()
        assert (relay.ended, relay.session.reason) == (Closed.HEARTBEAT, Closed.HEARTBEAT)


def test_a_heartbeat_asks_nobody_who_may_take_it_for_data(boxed: str) -> None:
    old, new = Version(Dialect.V3, 0), Version(Dialect.V3, 1)
    with Relay(boxed=boxed, versions=(old, new) if boxed == "downstream" else (new, old)) as relay:
        relay.session.check_alive()
        relay.go_on()
        heard = [frame for end in ends(relay, boxed) for frame in end.hear()]
        assert heard == ([zmtp.Frame(zmtp.COMMAND, OUR_PING)] if Relay.suite else []), "whoever has records knows it"


@pytest.mark.parametrize(
    ("version", "shown"),
    [(Version(Dialect.V1, 0), "1.0"), (Version(Dialect.V2, 0), "2.0"), (Version(Dialect.V3, 1), "3.1")],
)
def test_the_version_that_is_shown_is_that_of_the_side_without_curve(boxed: str, version: Version, shown: str) -> None:
    versions = (Version(Dialect.V3, 0), version)
    with Relay(boxed=boxed, versions=versions if boxed == "downstream" else versions[::-1]) as relay:
        assert relay.session.dialect == shown


# --- a plain side of any age, whichever side it is


@pytest.mark.parametrize("version", OLD, ids=str)
@pytest.mark.parametrize("policy", ["disconnect", "drop"])
def test_messages_go_both_ways_to_a_plain_side_of_any_age(boxed: str, version: Version, policy: str) -> None:
    with facing(boxed, version, (b"DEALER", b"ROUTER"), on_invalid=policy) as (relay, secure, plain):
        secure.send_messages(MESSAGES)
        plain.send_messages(MESSAGES[::-1])
        assert plain.messages() == MESSAGES
        assert secure.messages() == MESSAGES[::-1]
        assert relay.invalid == []


@pytest.mark.parametrize("version", OLD, ids=str)
def test_a_plain_side_that_knows_no_ping_is_not_sent_one_and_it_is_answered(boxed: str, version: Version) -> None:
    with facing(boxed, version, (b"DEALER", b"ROUTER")) as (relay, secure, plain):
        secure.send(secure.frame(zmtp.ping(b"x"), command=True))
        relay.go_on()
        assert list(secure.hear()) == [zmtp.Frame(zmtp.COMMAND, zmtp.command(b"PONG", b"x"))]
        assert list(plain.hear()) == []


def test_of_an_old_publisher_only_what_was_subscribed_to_is_sealed(boxed: str) -> None:
    with facing(boxed, Version(Dialect.V1, 0), (b"SUB", b"PUB")) as (relay, secure, plain):
        plain.send_messages([[b"apple", b"1"]])
        secure.send(secure.frame(b"\1a"))
        secure.send(secure.frame(zmtp.command(b"SUBSCRIBE", b"c"), command=True))
        plain.send_messages([[b"apple", b"2"], [b"banana", b"3"], [b"cherry", b"4"]])
        secure.send(secure.frame(b"\0a"))
        plain.send_messages([[b"apple", b"5"], [b"cherry", b"6"]])
        assert secure.messages() == [[b"apple", b"2"], [b"cherry", b"4"], [b"cherry", b"6"]]
        assert list(plain.hear()) == [], "it stops reading when it is sent anything"
        assert relay.invalid == []


@pytest.mark.parametrize("version", OLD[1:], ids=str)
def test_a_publisher_is_sent_subscriptions_and_cancellations_of_those_only(boxed: str, version: Version) -> None:
    with facing(boxed, version, (b"SUB", b"PUB")) as (relay, secure, plain):
        for body in (b"\1a", b"\0b", b"\0a", b"no subscription"):
            secure.send(secure.frame(body))
        secure.send(secure.frame(zmtp.command(b"SUBSCRIBE", b"c"), command=True))
        assert plain.messages() == [[b"\1a"], [b"\0a"], [b"\1c"]]
        assert relay.invalid == [Invalid.NOT_SUBSCRIBED, Invalid.NOT_ACCEPTED]


@pytest.mark.parametrize(
    ("kinds", "refused", "taken"),
    [
        ((b"PULL", b"PUSH"), [b"anything"], None),
        ((b"REP", b"REQ"), [b"no delimiter"], [b"", b"reply"]),
        ((b"REQ", b"REP"), [b"no delimiter"], [b"", b"request"]),
    ],
    ids=["PUSH", "REQ", "REP"],
)
def test_what_an_old_library_aborts_at_is_kept_from_it(
    boxed: str, kinds: Kinds, refused: list[bytes], taken: list[bytes] | None
) -> None:
    with facing(boxed, Version(Dialect.V1, 0), kinds) as (relay, secure, plain):
        secure.send_messages([refused] + ([taken] if taken else []))
        assert plain.messages() == ([taken] if taken else [])
        assert relay.invalid == [Invalid.NOT_ACCEPTED]


# --- limits and ends


@pytest.mark.parametrize(
    ("side", "reason"), [(0, Closed.INVALID_MESSAGE), (1, Closed.LIMIT)], ids=["from the client", "from behind"]
)
def test_a_message_over_the_limit_ends_the_session_by_whoever_sent_it(boxed: str, side: int, reason: Closed) -> None:
    with Relay(boxed=boxed, on_invalid="disconnect") as relay:
        both = ends(relay, boxed)
        both[side].send(both[side].frame(bytes(LIMIT + 1))[:100])
        assert (relay.invalid, relay.session.reason) == ([Invalid.TOO_LARGE], reason)


def test_a_drained_session_ends_behind_the_reply_that_is_owed(boxed: str) -> None:
    with Relay(boxed=boxed, kinds=(b"REQ", b"REP")) as relay:
        client, service = ends(relay, boxed)
        client.send_messages([[b"", b"question"]])
        relay.session.drain()
        relay.go_on()
        assert service.messages() == [[b"", b"question"]]
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)
        service.send_messages([[b"", b"answer"]])
        assert client.messages() == [[b"", b"answer"]]
        assert client.socket.recv(1) == b"", "nothing follows"
        assert relay.session.reason == Closed.DRAINED


def test_a_probe_is_sent_away_and_nothing_is_relayed(boxed: str) -> None:
    with Relay(boxed=boxed) as relay:
        client, service = ends(relay, boxed)
        relay.session.dismiss()
        relay.go_on()
        assert (client.socket.recv(1), service.socket.recv(1)) == (b"", b"")
        assert relay.session.reason == Closed.PROBE
