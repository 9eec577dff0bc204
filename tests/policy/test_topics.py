"""What a client may subscribe to, or publish, held against what a prefix is."""

from hypothesis import given
from hypothesis import strategies as st

from curveproxy.policy.topics import Prefixes

texts = st.text("\0ab\xff", max_size=4).map(lambda text: text.encode("latin-1"))


@given(st.lists(texts), st.lists(texts))
def test_a_topic_may_go_on_that_begins_with_a_prefix(prefixes: list[bytes], topics: list[bytes]) -> None:
    allowed = Prefixes(prefixes)
    for topic in topics:
        assert allowed.allow(memoryview(topic)) == any(topic.startswith(each) for each in prefixes)


def test_a_topic_that_is_shorter_than_all_prefixes_is_none_of_them() -> None:
    allowed = Prefixes([b"orders.", b"prices"])
    assert [allowed.allow(memoryview(topic)) for topic in (b"", b"orders", b"orders.", b"pricesx")] == [
        False,
        False,
        True,
        True,
    ]


def test_without_a_prefix_nothing_may_go_on_and_without_a_list_anything() -> None:
    assert not Prefixes([]).allow(memoryview(b""))
    assert Prefixes.of(None) is None
    allowed = Prefixes.of((b"a",))
    assert allowed is not None
    assert allowed.allow(memoryview(b"ab"))
