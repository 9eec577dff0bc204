"""What a service may be sent, by its socket type and age: of each message whether it passes, and why not."""

import pytest

from curveproxy.policy.access.terms import NO_TERMS, KeyTerms
from curveproxy.proxy.relay.filters.backend_filter import filter_for
from curveproxy.proxy.relay.filters.legacy_pubsub import SubscriptionSink
from curveproxy.proxy.relay.filters.message_filter import Filter
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.framing import plain_frame
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.zmtp.frame import Dialect

V1, V2, V3 = Dialect.V1, Dialect.V2, Dialect.V3
NOT_ACCEPTED, NOT_SUBSCRIBED, TOO_LARGE = Invalid.NOT_ACCEPTED, Invalid.NOT_SUBSCRIBED, Invalid.TOO_LARGE
TOPIC = Invalid.TOPIC
LONGEST = b"\1" + bytes(4095)

Message = list[bytes]
AGES = {"2.x": (V1, 0), "3.2": (V2, 0), "4.0 to 4.3.2": (V3, 0), "4.3.3": (V3, 1)}
each_age = pytest.mark.parametrize("age", AGES)


def filter_of(
    kind: bytes, age: str, *, drops: bool = False, xpub_messages: bool = False, terms: KeyTerms = NO_TERMS
) -> Filter:
    dialect, minor = AGES[age]
    found = filter_for(Capabilities(minor, kind, dialect), drops=drops, xpub_messages=xpub_messages, terms=terms)
    assert found is not None
    return found


def frames(dialect: Dialect, *messages: Message) -> bytes:
    parts = [(int(number < len(message)), body) for message in messages for number, body in enumerate(message, 1)]
    return b"".join(plain_frame(more, body, dialect) for more, body in parts)


def run(the_filter: Filter, octets: bytes) -> tuple[bytes, list[Invalid]]:
    buffer = Buffer(len(octets) + 1)
    buffer.view[: len(octets)] = octets
    end, flaws = the_filter.filter_untrusted(buffer, len(octets))
    return bytes(buffer.view[:end]), flaws


def passes(the_filter: Filter, *messages: Message) -> list[Invalid | None]:
    """For each message why it is left out, or None where it passes unchanged."""
    verdicts = list[Invalid | None]()
    for message in messages:
        octets = frames(the_filter.dialect, message)
        came, flaws = run(the_filter, octets)
        assert (came, len(flaws)) in ((octets, 0), (b"", 1))
        verdicts += flaws or [None]
    return verdicts


@each_age
@pytest.mark.parametrize("kind", [b"ROUTER", b"DEALER", b"PULL", b"SUB", b"XSUB", b"PAIR", b"SERVER", b"DISH", None])
@pytest.mark.parametrize("xpub_messages", [False, True])
def test_most_services_have_none(kind: bytes | None, age: str, xpub_messages: bool) -> None:
    dialect, minor = AGES[age]
    assert filter_for(Capabilities(minor, kind, dialect), drops=False, xpub_messages=xpub_messages) is None


@pytest.mark.parametrize("kind", [b"REQ", b"REP"])
def test_only_an_old_requester_or_replier_has_one(kind: bytes) -> None:
    for dialect, minor in list(AGES.values())[1:]:
        assert filter_for(Capabilities(minor, kind, dialect), drops=False, xpub_messages=False) is None


@pytest.mark.parametrize("age", list(AGES)[1:])
@pytest.mark.parametrize("kind", [b"PUB", b"XPUB"])
@pytest.mark.parametrize("drops", [False, True])
def test_a_publisher_is_sent_subscriptions_and_no_messages(age: str, kind: bytes, drops: bool) -> None:
    found = passes(
        filter_of(kind, age, drops=drops, xpub_messages=kind == b"PUB"),
        [b"\1topic"],
        [b"\0topic"],
        [b"\1"],
        [b"\0"],
        [LONGEST],
        [b""],
        [b"\2topic"],
        [b"hello", b"\1topic"],
        [b"\1topic", b"\1topic"],
        [b"\1topic", b"hello"],
    )
    assert found == [*[None] * 5, *[NOT_ACCEPTED] * 5]


@each_age
def test_a_subscription_has_a_bound(age: str) -> None:
    the_filter = filter_of(b"PUB", age)
    good, large = frames(the_filter.dialect, [LONGEST]), frames(the_filter.dialect, [LONGEST + b"x"])
    came, flaws = run(the_filter, good + large + good)
    assert came == (b"" if age == "2.x" else good)
    assert (flaws, the_filter.has_ended) == ([TOO_LARGE], True)  # nothing is looked at behind it
    the_filter = filter_of(b"PUB", age, drops=True)
    came, flaws = run(the_filter, good + large + good)
    assert came == (b"" if age == "2.x" else 2 * good)
    assert (flaws, the_filter.has_ended) == ([TOO_LARGE], False)


@pytest.mark.parametrize("kind", [b"PUB", b"XPUB"])
def test_an_old_publisher_is_sent_a_cancellation_only_of_what_it_has(kind: bytes) -> None:
    said = [[b"\0a"], [b"\1a"], [b"\1a"], [b"\0ab"], [b"\0a"], [b"\0a"], [b"\0"], [b"\1"], [b"\0"]]
    refused = [NOT_SUBSCRIBED, None, None, NOT_SUBSCRIBED, None, NOT_SUBSCRIBED, NOT_SUBSCRIBED, None, None]
    for age in ("3.2", "4.0 to 4.3.2"):
        assert passes(filter_of(kind, age), *said) == refused
    assert passes(filter_of(kind, "4.3.3"), *said) == [None] * len(said)


def test_what_is_left_out_has_subscribed_to_nothing() -> None:
    the_filter = filter_of(b"PUB", "3.2", drops=True)
    assert passes(the_filter, [b"\1a", b"x"], [b"\0a"]) == [NOT_ACCEPTED, NOT_SUBSCRIBED]


@pytest.mark.parametrize("age", ["3.2", "4.3.3"])
def test_an_xpub_is_sent_messages_where_that_is_wanted(age: str) -> None:
    the_filter = filter_of(b"XPUB", age, drops=True, xpub_messages=True)
    found = passes(the_filter, [b""], [b"x", b"y"], [b"\1a"], [b"\1a", b"x"], [b"x", b"\1a"], [b"x", b"", b"\0a"])
    assert found == [None, None, None, *[NOT_ACCEPTED] * 3]


def test_what_is_wrong_behind_a_part_that_has_gone_on_ends_the_session() -> None:
    the_filter = filter_of(b"XPUB", "4.3.3", xpub_messages=True)
    part, subscription = plain_frame(1, b"x", V3), plain_frame(0, b"\1a", V3)
    assert run(the_filter, part) == (part, [])
    assert run(the_filter, subscription + subscription) == (b"", [NOT_ACCEPTED])
    assert the_filter.has_ended


@each_age
@pytest.mark.parametrize("kind", [b"PUB", b"PUSH"])
def test_a_message_is_left_out_over_any_cut(kind: bytes, age: str) -> None:
    the_filter = filter_of(kind, age)
    message = [b"hello", b"\1there", b"x" * 300]
    parts = [plain_frame(int(number < 3), body, the_filter.dialect) for number, body in enumerate(message, 1)]
    assert [run(the_filter, part) for part in parts] == [(b"", [NOT_ACCEPTED]), (b"", []), (b"", [])]
    assert run(the_filter, parts[2]) == (b"", [NOT_ACCEPTED])  # the next one
    assert not the_filter.has_ended


@pytest.mark.parametrize("kind", [b"PUB", b"XPUB"])
def test_a_publisher_that_heeds_nothing_is_sent_nothing_and_its_subscriptions_are_kept(kind: bytes) -> None:
    the_filter = filter_of(kind, "2.x", xpub_messages=True)
    assert isinstance(the_filter, SubscriptionSink)
    said = frames(V3, [b"\1a"], [b""], [b"zb"], [b"\1c"], [b"\0c"], [b"\0d"], [b"\1e", b"x"])
    assert run(the_filter, said) == (b"", [NOT_ACCEPTED, NOT_ACCEPTED, NOT_SUBSCRIBED, NOT_ACCEPTED])
    assert [topic in the_filter.topics for topic in (b"a", b"b", b"c", b"e")] == [True, False, False, False]


@each_age
@pytest.mark.parametrize("kind", [b"PUSH", b"SCATTER", b"RADIO"])
def test_who_only_sends_is_sent_nothing(kind: bytes, age: str) -> None:
    assert passes(filter_of(kind, age), [b""], [b"\1"], [b"x", b"y"]) == [NOT_ACCEPTED] * 3


@pytest.mark.parametrize("drops", [False, True])
def test_a_reply_to_an_old_requester_begins_with_an_empty_part(drops: bool) -> None:
    the_filter = filter_of(b"REQ", "2.x", drops=drops)
    found = passes(the_filter, [b"", b"reply"], [b"reply"], [b""], [b"x", b"", b"reply"], [b"", b"", b"a", b""])
    assert found == [None, NOT_ACCEPTED, NOT_ACCEPTED, NOT_ACCEPTED, None]


def test_a_request_to_an_old_replier_has_an_empty_part_and_something_behind_it() -> None:
    the_filter = filter_of(b"REP", "2.x", drops=True)
    good = [[b"", b"ask"], [b"hop", b"", b"ask"], [b"", b""], [b"", b"a", b"", b"b"]]
    bad = [[b"ask"], [b""], [b"hop", b"ask"], [b"hop", b""]]
    assert passes(the_filter, *good, *bad, *good) == [*[None] * 4, *[NOT_ACCEPTED] * 4, *[None] * 4]
    the_filter = filter_of(b"REP", "2.x")
    assert passes(the_filter, *good, [b"ask"], [b""]) == [*[None] * 4, NOT_ACCEPTED, NOT_ACCEPTED]
    assert run(the_filter, plain_frame(1, b"hop", V1))[1] == []
    assert run(the_filter, plain_frame(0, b"ask", V1)) == (b"", [NOT_ACCEPTED])
    assert the_filter.has_ended


# --- clients whose keys are for some topics only

LIMITED = KeyTerms(topics=(b"a", b"bc"), publish_topics=(b"a", b"bc"))


@pytest.mark.parametrize("age", list(AGES)[1:])
@pytest.mark.parametrize("drops", [False, True])
def test_a_subscription_begins_with_one_of_its_prefixes(age: str, drops: bool) -> None:
    the_filter = filter_of(b"PUB", age, drops=drops, terms=LIMITED)
    found = passes(
        the_filter, [b"\1a"], [b"\1bcd"], [b"\1"], [b"\1b"], [b"\0b"], [b"\0"], [b"\0a"], [b"x"], [b"\1a", b""]
    )
    assert found == [None, None, TOPIC, TOPIC, TOPIC, TOPIC, None, NOT_ACCEPTED, NOT_ACCEPTED]
    assert not the_filter.has_ended


def test_a_publisher_of_2_x_keeps_no_subscription_to_another_topic() -> None:
    the_filter = filter_of(b"XPUB", "2.x", terms=LIMITED)
    assert isinstance(the_filter, SubscriptionSink)
    assert run(the_filter, frames(V3, [b"\1ab"], [b"\1b"], [b"\1"], [b"\0b"])) == (b"", [TOPIC] * 3)
    assert [topic in the_filter.topics for topic in (b"ab", b"b", b"")] == [True, False, False]


def test_a_subscription_that_is_too_large_ends_the_session_whatever_its_topic() -> None:
    the_filter = filter_of(b"PUB", "4.3.3", terms=LIMITED)
    assert passes(the_filter, [LONGEST + b"x"]) == [TOO_LARGE]
    assert the_filter.has_ended


@each_age
@pytest.mark.parametrize("kind", [b"SUB", b"XSUB"])
@pytest.mark.parametrize("drops", [False, True])
def test_a_publication_begins_with_one_of_its_prefixes(age: str, kind: bytes, drops: bool) -> None:
    the_filter = filter_of(kind, age, drops=drops, terms=LIMITED)
    found = passes(the_filter, [b"a"], [b"bcd", b"zoo"], [b""], [b"b"], [b"zoo", b"a"], [b"\1a"], [b"ab", b"", b"x"])
    assert found == [None, None, TOPIC, TOPIC, TOPIC, TOPIC, None]
    assert not the_filter.has_ended


def test_of_what_is_left_out_for_its_topic_there_is_one_first() -> None:
    the_filter = filter_of(b"SUB", "4.3.3", terms=LIMITED)
    assert [the_filter.is_first_off_topic() for _ in range(3)] == [True, False, False]


@each_age
def test_who_may_publish_anything_is_not_looked_at(age: str) -> None:
    dialect, minor = AGES[age]
    side, terms = Capabilities(minor, b"SUB", dialect), KeyTerms(topics=(b"a",))
    assert filter_for(side, drops=False, xpub_messages=False, terms=terms) is None
