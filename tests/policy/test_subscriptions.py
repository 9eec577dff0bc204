"""What one session has subscribed to, held against what the word means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curveproxy.policy.subscriptions import EACH, OCTETS_MAX, Subscriptions

# Octets at which an interval of strings has no end, or one that carries over.
texts = st.text("\0\1\xfe\xff", max_size=4).map(lambda text: text.encode("latin-1"))


@given(st.lists(st.tuples(st.booleans(), texts)), st.lists(texts))
def test_a_message_is_wanted_that_begins_with_a_topic(changes: list[tuple[bool, bytes]], messages: list[bytes]) -> None:
    topics, meant = Subscriptions(), set[bytes]()
    for adds, topic in changes:
        if adds:
            assert topics.add(topic)
            meant.add(topic)
        else:
            assert topics.remove(topic) == (topic in meant)
            meant.discard(topic)
        assert [topic in topics for topic in messages] == [topic in meant for topic in messages]
    for message in messages:
        assert topics.match(memoryview(message)) == message.startswith(tuple(meant))


def test_it_is_a_set() -> None:
    topics = Subscriptions()
    assert topics.add(b"a")
    assert topics.add(b"a")
    assert topics.remove(b"a")
    assert not topics.remove(b"a")
    assert not topics.match(memoryview(b"ax"))


def test_one_topic_of_each_length_is_found_among_all() -> None:
    topics = Subscriptions()
    for length in range(4000):
        assert topics.add(b"b" * length + b"a")
    assert topics.match(memoryview(b"b" * 3999 + b"a" + b"more"))
    assert topics.match(memoryview(b"b" * 17 + b"a"))
    assert not topics.match(memoryview(b"b" * 5000))
    assert not topics.match(memoryview(b"bc"))


@pytest.mark.parametrize("size", [0, 4000])
def test_there_is_an_end_to_them_and_room_again_behind_it(size: int) -> None:
    topics, each = Subscriptions(), 2 * (size + 4) + EACH
    fit = OCTETS_MAX // each
    names = [number.to_bytes(4, "big") + bytes(size) for number in range(fit + 1)]
    assert [topics.add(name) for name in names] == [True] * fit + [False]
    assert topics.add(names[0])  # the same again
    assert topics.remove(names[0])
    assert topics.add(names[fit])
    assert not topics.match(memoryview(names[0]))
    assert topics.match(memoryview(names[fit]))
