"""What is to be seen of a proxy, as data: what of it is recent, what is trouble, and several processes as one."""

from typing import Any

import attrs
import pytest
import trio
from support.figures import service_figures
from trio.testing import MockClock

from curveproxy.app.admin.page import render
from curveproxy.app.observe.history import EventHistory, Series, joined
from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Level, Query, Status, Trouble, UnknownKey, status_of
from curveproxy.app.observe.text import duration, printable, short
from curveproxy.reasons import Closed, Outcome

REFUSED = "client refused", Outcome.CLIENT_UNKNOWN


async def test_what_was_told_is_recent_for_two_minutes(autojump_clock: MockClock) -> None:
    history = EventHistory()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.keep, service_figures)
        history.add(*REFUSED, "192.0.2.1:1")
        await trio.sleep(60.5)
        history.add(*REFUSED, "192.0.2.2:2", "why")
        assert history.recent(REFUSED) == 2
        await trio.sleep(65)
        assert history.recent(REFUSED) == 1
        await trio.sleep(60)
        assert history.recent(REFUSED) == 0
        assert history.counts[REFUSED] == 2
        assert (history.last[REFUSED].peer, history.last[REFUSED].detail) == ("192.0.2.2:2", "why")
        await trio.sleep(86_400)
        assert len(history.series.sessions) == 121, "a day later it is no more than two minutes"
        nursery.cancel_scope.cancel()


async def test_what_flows_is_told_by_the_second(autojump_clock: MockClock) -> None:
    history = EventHistory()
    for second, messages in enumerate((0, 10, 30, 30)):
        history.sample(service_figures(half_open=1, sessions=second, messages_in=messages, messages_out=messages))
        history.add(*REFUSED)
        history.add("client refused", Outcome.PROBE)
        history.add("session closed", Closed.CLIENT_CLOSED)
        await trio.sleep(2)
    assert history.series == Series([1, 1, 1, 1], [0, 1, 2, 3], [10, 20, 0], [0.5, 0.5, 0.5])


def test_histories_are_joined_at_their_newest_figures() -> None:
    old, young = Series([1, 2, 3], [1, 1, 1], [0.5, 0.5], [0, 0]), Series([10], [5], [], [])
    assert joined([old, young]) == Series([1, 2, 13], [1, 1, 6], [0.5, 0.5], [0, 0])
    assert joined([]) == Series([], [], [], [])


def count(word: str, total: int, recent: int, ago: float, event: str = "client refused") -> dict[str, Any]:
    return {
        "event": event,
        "word": word,
        "hint": "",
        "total": total,
        "recent": recent,
        "peer": f"peer {ago}",
        "detail": "",
        "ago": ago,
    }


def status(up: bool | None, sessions: int, *counts: dict[str, Any]) -> Status:
    """Of one process with one service, as it comes over a channel."""
    history = {"half_open": [0], "sessions": [sessions], "messages": [], "refusals": []}
    return status_of(
        {
            "version": "1",
            "codec": "c",
            "seconds": 10.0 * sessions,
            "troubles": [],
            "matching": sessions,
            "services": [
                {
                    "name": "orders",
                    "endpoint": "tcp://*:5556",
                    "backend": "tcp://127.0.0.1:5555",
                    "backend_up": up,
                    "half_open": {"value": 0, "limit": 50},
                    "sessions": {"value": sessions, "limit": 50},
                    "client_keys": 3,
                    "server_keys": 1,
                    **dict.fromkeys(("messages_in", "messages_out", "octets_in", "octets_out"), 7),
                    "admitted": 1,
                    "refused": 2,
                    "counts": list(counts),
                    "history": history,
                }
            ],
            "sessions": [
                {
                    "id": number,
                    "service": "orders",
                    "client": "alice",
                    "peer": "192.0.2.1:1",
                    "seconds": float(number),
                    "socket_type": "REQ",
                    "zmtp": "3.1",
                    **dict.fromkeys(("messages_in", "messages_out", "octets_in", "octets_out"), number),
                }
                for number in range(1, sessions + 1)
            ],
        }
    )


def test_several_processes_are_seen_as_one() -> None:
    unknown = str(Outcome.CLIENT_UNKNOWN)
    parts = [
        status(True, 3, count(unknown, 5, 1, 40)),
        status(None, 40, count(unknown, 1, 1, 3), count("cookie", 1, 0, 9)),
    ]
    whole = merged(parts, Query(sessions=4))
    [orders] = whole.services
    assert (orders.sessions.value, orders.sessions.limit, orders.messages_in, orders.client_keys) == (43, 100, 14, 3)
    assert orders.backend_up is True
    assert [(each.word, each.total, each.recent, each.peer) for each in orders.counts] == [
        (unknown, 6, 2, "peer 3"),
        ("cookie", 1, 0, "peer 9"),
    ]
    assert (whole.matching, whole.seconds) == (43, 400)
    assert [session.seconds for session in whole.sessions] == [40, 39, 38, 37]
    assert [trouble.word for trouble in whole.troubles] == [unknown]


def test_a_key_that_several_processes_have_refused_is_one() -> None:
    def known(*keys: UnknownKey) -> Status:
        one = status(True, 0)
        return attrs.evolve(one, services=[attrs.evolve(one.services[0], unknown_keys=list(keys))])

    parts = [
        known(UnknownKey("a", 2, "192.0.2.1:1", 30), UnknownKey("b", 1, "192.0.2.1:2", 40)),
        known(UnknownKey("a", 1, "192.0.2.1:3", 5)),
    ]
    assert merged(parts, Query()).services[0].unknown_keys == [
        UnknownKey("a", 3, "192.0.2.1:3", 5),
        UnknownKey("b", 1, "192.0.2.1:2", 40),
    ]


def test_a_backend_that_is_down_for_one_of_several_is_trouble() -> None:
    failed = count("refused", 1, 1, 3, "backend failed")
    [trouble, *_] = merged([status(True, 1), status(False, 1, failed)], Query()).troubles
    assert trouble == Trouble(
        "orders",
        True,
        "tcp://127.0.0.1:5555 is down: backend failed, 1 in two minutes, the last 3 s ago, peer 3",
        "refused",
        "",
    )


@pytest.mark.parametrize(("used", "told"), [((700, 100), []), ((700, 900), ["descriptors"])])
def test_one_pool_of_descriptors_that_is_nearly_empty_is_one_trouble(used: tuple[int, int], told: list[str]) -> None:
    parts = [attrs.evolve(status(True, 1), descriptors=Level(value, 1000)) for value in used]
    whole = merged(parts, Query())
    assert whole.descriptors == Level(sum(used), 2000)
    assert [trouble.word for trouble in whole.troubles] == told


def test_an_unexpected_error_is_bad_and_turns_nobody_away() -> None:
    failed = count("refused", 1, 1, 3, "backend failed")
    internal = count(Outcome.INTERNAL, 1, 1, 5, "unexpected error")
    whole = merged([status(False, 1, failed, internal)], Query())
    assert [(each.label, each.is_bad, each.is_down) for each in whole.troubles] == [
        ("down: refused", True, True),
        ("internal", True, False),
    ]
    html = render(whole, Query(), "")
    assert '<span class="pill bad">down: refused</span>' in html
    assert '<span class="pill bad">internal</span>' in html


def test_nobody_answering_is_nothing_to_see() -> None:
    assert merged([], Query()).services == []


def test_json_keeps_all_of_it() -> None:
    found = status(True, 3, count("cookie", 1, 0, 9))
    assert status_of(attrs.asdict(found)) == found


@pytest.mark.parametrize("text", [{"sessions": "1001"}, {"sessions": "-1"}, {"sessions": "x"}, {"sort": "none"}])
def test_a_query_is_checked(text: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Query.parse(text)


def test_words_for_figures() -> None:
    assert [short(number) for number in (0, 999, 1000, 12_345, 999_999, 5e12, 1e18)] == [
        "0",
        "999",
        "1 k",
        "12.3 k",
        "1 M",
        "5 T",
        "1e+06 T",
    ]
    assert [duration(seconds) for seconds in (-1, 0.9, 59, 60, 3_665, 90_000, 700_000)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1 h 1 min",
        "1 d 1 h",
        "8 d 2 h",
    ]
    assert printable("a\x1b[31m\nb") == r"a\x1b[31m\nb"
