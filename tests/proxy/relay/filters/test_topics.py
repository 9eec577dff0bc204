"""What goes through a relay of a client whose key is for some topics only: in each form, to services of each age."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from support import zmtp
from support.ends import FORMS, End, Message, ends
from support.relaying import Relay

from curveproxy.policy.access.terms import KeyTerms
from curveproxy.reasons import Invalid
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect

V31 = Version(Dialect.V3, 1)
AGES = [Version(Dialect.V1, 0), Version(Dialect.V2, 0), Version(Dialect.V3, 0), V31]
NEWER = AGES[1:]
TERMS = KeyTerms(topics=(b"a", b"bc"), publish_topics=(b"a", b"bc"))
TOLD = [Invalid.TOPIC]
# Of 100 octets and more, which come in several pieces; and over the buffers of a relay.
LONG = bytes(300)

every_age = pytest.mark.parametrize("version", AGES, ids=str)
all_but_the_oldest = pytest.mark.parametrize("version", NEWER, ids=str)
both_policies = pytest.mark.parametrize("policy", ["disconnect", "drop"])


@pytest.fixture(autouse=True, params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What messages are in on the client's side."""
    word: str = request.param
    monkeypatch.setattr(Relay, "suite", FORMS[word])
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)
    return word


@contextmanager
def facing(version: Version, kinds: tuple[bytes, bytes], **options: Any) -> Iterator[tuple[Relay, End, End]]:
    """A client before a service of this version. kinds: of client and service."""
    with Relay(versions=(V31, version), kinds=kinds, terms=TERMS, **options) as relay:
        client, service = ends(relay, "downstream", version.dialect)
        yield relay, client, service
        assert relay.session.reason is None


def subscribes(client: End, topic: bytes, *, by_command: bool, word: str = "SUBSCRIBE") -> None:
    if by_command:
        client.send(client.frame(zmtp.command(word.encode(), topic), command=True))
    else:
        client.send(client.frame(bytes([word == "SUBSCRIBE"]) + topic))


@all_but_the_oldest
@both_policies
@pytest.mark.parametrize("kind", [b"PUB", b"XPUB"])
@pytest.mark.parametrize("by_command", [False, True], ids=["message", "command"])
def test_a_subscription_goes_on_that_begins_with_a_prefix(
    version: Version, policy: str, kind: bytes, by_command: bool
) -> None:
    with facing(version, (b"SUB", kind), on_invalid=policy) as (relay, client, service):
        for topic in (b"", b"a", b"abc", b"b", b"bcd", b"zoo" + LONG):
            subscribes(client, topic, by_command=by_command)
        assert service.messages() == [[b"\1a"], [b"\1abc"], [b"\1bcd"]]
        assert (relay.invalid, relay.again) == (TOLD, {Invalid.TOPIC: 2})


@all_but_the_oldest
@pytest.mark.parametrize("by_command", [False, True], ids=["message", "command"])
def test_the_cancellation_of_what_was_left_out_is_left_out(version: Version, by_command: bool) -> None:
    with facing(version, (b"SUB", b"PUB")) as (relay, client, service):
        for word in ("SUBSCRIBE", "CANCEL"):
            for topic in (b"zoo", b"abc"):
                subscribes(client, topic, by_command=by_command, word=word)
        assert service.messages() == [[b"\1abc"], [b"\0abc"]]
        assert (relay.invalid, relay.again) == (TOLD, {Invalid.TOPIC: 1})


def test_of_a_publisher_that_filters_nothing_no_other_topic_comes() -> None:
    with facing(Version(Dialect.V1, 0), (b"SUB", b"PUB")) as (relay, client, service):
        for by_command in (False, True):
            for topic in (b"", b"zoo", b"ab"):
                subscribes(client, topic, by_command=by_command)
        service.send_messages([[b"apple", b"1"], [b"zoo", b"2"], [b"abacus", b"3"], [b"abba", LONG]])
        assert client.messages() == [[b"abacus", b"3"], [b"abba", LONG]]
        subscribes(client, b"ab", by_command=True, word="CANCEL")
        subscribes(client, b"", by_command=True, word="CANCEL")
        service.send_messages([[b"abba", b"5"]])
        assert client.messages() == []
        assert list(service.hear()) == [], "it stops reading when it is sent anything"
        assert (relay.invalid, relay.again) == (TOLD, {Invalid.TOPIC: 4})


@every_age
@both_policies
@pytest.mark.parametrize("kind", [b"SUB", b"XSUB"])
def test_a_message_goes_on_whose_first_part_begins_with_a_prefix(version: Version, policy: str, kind: bytes) -> None:
    good: list[Message] = [[b"a"], [b"abc", b"", LONG], [b"bc" + LONG, b"zoo"], [b"bc" + bytes(900)]]
    bad: list[Message] = [[b""], [b"zoo", b"abc"], [b"b", LONG, b"abc"], [b"zoo" + bytes(900)], [LONG, b"a"]]
    with facing(version, (b"PUB", kind), on_invalid=policy) as (relay, client, service):
        if version.dialect == Dialect.V1:
            relay.go_on()
            assert client.messages() == [[b"\1"]], "it never subscribes"
        client.send_messages([message for pair in zip(bad, good, strict=False) for message in pair] + bad[4:])
        assert service.messages() == good
        assert (relay.invalid, relay.again) == (TOLD, {Invalid.TOPIC: 4})


def test_a_message_is_left_out_before_its_last_part_has_come() -> None:
    with facing(V31, (b"PUB", b"SUB"), on_invalid="disconnect") as (relay, client, service):
        client.send(client.frame(b"abc", more=True) + client.frame(b"zoo")[:-1])
        assert [frame.body for frame in service.hear()] == [b"abc"]
        assert relay.invalid == []
    with facing(V31, (b"PUB", b"SUB"), on_invalid="disconnect") as (relay, client, service):
        client.send(client.frame(b"zoo", more=True))
        assert relay.invalid == TOLD
        client.send(client.frame(b"abc", more=True) + client.frame(b"abc") + client.frame(b"a"))
        assert service.messages() == [[b"a"]]
        assert relay.again == {}


@all_but_the_oldest
def test_pings_and_subscriptions_from_behind_go_on_beside_it(version: Version) -> None:
    with facing(version, (b"XPUB", b"SUB")) as (relay, client, service):
        service.send(service.frame(b"\1zoo"))
        assert client.messages() == [[b"\1zoo"]], "it is the service that wants it"
        client.send(client.frame(zmtp.ping(b"x"), command=True))
        heard = list(service.hear() if version.minor else client.hear())
        assert heard == [zmtp.Frame(zmtp.COMMAND, zmtp.ping(b"x") if version.minor else zmtp.command(b"PONG", b"x"))]
        assert relay.invalid == []


@pytest.mark.parametrize("version", [Version(Dialect.V3, 0), V31], ids=str)
def test_messages_to_an_xpub_pass_as_ever(version: Version) -> None:
    with facing(version, (b"XSUB", b"XPUB"), xpub_messages=True) as (relay, client, service):
        client.send_messages([[b"zoo", b"x"], [b"\1zoo"], [b""], [b"\1a"]])
        assert service.messages() == [[b"zoo", b"x"], [b""], [b"\1a"]]
        assert relay.invalid == TOLD


@pytest.mark.parametrize("kinds", [(b"DEALER", b"ROUTER"), (b"PULL", b"PUSH"), (b"PAIR", b"PAIR")], ids=str)
def test_topics_mean_nothing_to_other_services(kinds: tuple[bytes, bytes]) -> None:
    with facing(V31, kinds) as (relay, client, service):
        service.send_messages([[b"zoo"]])
        assert client.messages() == [[b"zoo"]]
        if kinds[1] != b"PUSH":
            client.send_messages([[b"\1zoo"], [b"zoo"]])
            assert service.messages() == [[b"\1zoo"], [b"zoo"]]
        assert relay.invalid == []


def test_the_session_goes_on_however_much_is_left_out_and_hears_of_the_first() -> None:
    with facing(V31, (b"PUB", b"SUB"), max_invalid_per_minute=1) as (relay, client, service):
        client.send_messages([[b"zoo"]] * 50 + [[b"a"]])
        assert service.messages() == [[b"a"]]
        assert (relay.invalid, relay.again, relay.details) == (TOLD, {Invalid.TOPIC: 49}, [""])
    with Relay(kinds=(b"SUB", b"PUB"), terms=TERMS, max_invalid_per_minute=1, on_invalid="disconnect") as relay:
        client, service = ends(relay, "downstream")
        for _ in range(50):
            client.send(client.frame(b"\1zoo"))
        assert (relay.session.reason, relay.again) == (None, {Invalid.TOPIC: 49})
