"""What has happened of late: how often, what flows, and several histories as one."""

import trio
from support.figures import service_figures
from trio.testing import MockClock

from curveproxy.app.observe.history import EventHistory, Series, joined
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
