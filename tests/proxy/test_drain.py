"""The end of a server: sessions are sent away one after the other, behind a reply where there is time for one."""

from collections.abc import Callable

import pytest
import trio
import trio.testing
from support.fakes import RecordingSession, admitted
from trio.testing import MockClock

from curveproxy.proxy.drain import ENDING_SHARE, POLL_SECONDS, end_sessions
from curveproxy.proxy.relay.session import Session
from curveproxy.reasons import Closed

SECONDS = 30.0
FIRST, SECOND = SECONDS * (1 - ENDING_SHARE), SECONDS * (1 - ENDING_SHARE / 2)


class Timed(RecordingSession):
    """Remembers when it was asked. Where it ``obeys`` it has ended then."""

    def __init__(self, *, obeys: str = "", asks: bool = False) -> None:
        super().__init__(admitted(), asks=asks)
        self.obeys, self.times = obeys, list[tuple[object, float]]()

    def _ask(self, what: object) -> None:
        self.times.append((what, trio.current_time()))
        if what == self.obeys:
            self.reason = Closed.DRAINED
            self.on_end(self)

    def drain(self) -> None:
        self._ask("drain")

    def drain_behind_reply(self) -> None:
        self._ask("drain_behind_reply")

    def abort(self, reason: Closed) -> None:
        self._ask(reason)


async def ended(*sessions: Timed, seconds: float = SECONDS, places: Callable[[], int] | None = None) -> float:
    """How long it takes to end these sessions."""
    inside: list[Session] = list(sessions)
    for session in sessions:
        session.on_end = inside.remove
    begin = trio.current_time()
    await end_sessions(lambda: list(inside), places or (lambda: len(inside)), seconds)
    return trio.current_time() - begin


async def test_nobody_is_waited_for_where_nobody_is_inside(autojump_clock: MockClock) -> None:
    assert await ended() == 0


async def test_whoever_leaves_by_itself_is_not_asked_to(autojump_clock: MockClock) -> None:
    session = Timed()

    async def leave() -> None:
        await trio.sleep(5)
        session.on_end(session)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        await trio.testing.wait_all_tasks_blocked()
        assert await ended(session) == pytest.approx(5, abs=2 * POLL_SECONDS)
    assert session.times == []


async def test_clients_that_are_about_to_come_in_are_waited_for_too(autojump_clock: MockClock) -> None:
    until = trio.current_time() + 3
    assert await ended(places=lambda: int(trio.current_time() < until)) == pytest.approx(3, abs=2 * POLL_SECONDS)


async def test_sessions_are_asked_to_leave_behind_a_reply_one_after_the_other(autojump_clock: MockClock) -> None:
    begin = trio.current_time()
    sessions = [Timed(obeys="drain_behind_reply") for _ in range(50)]
    assert await ended(*sessions) <= SECOND + POLL_SECONDS
    times = [at - begin for session in sessions for _, at in session.times]
    assert [what for session in sessions for what, _ in session.times] == ["drain_behind_reply"] * 50
    assert min(times) == pytest.approx(FIRST, abs=2 * POLL_SECONDS)
    assert max(times.count(at) for at in times) == 1, "never two at once"
    assert times == sorted(times)


async def test_whoever_has_not_asked_by_then_is_sent_away_once_more(autojump_clock: MockClock) -> None:
    begin = trio.current_time()
    sessions = [Timed(obeys="drain") for _ in range(10)]
    assert await ended(*sessions) < SECONDS, "the last one has time to take what it is owed"
    for session in sessions:
        assert [what for what, _ in session.times] == ["drain_behind_reply", "drain"]
        assert (
            FIRST <= session.times[0][1] - begin <= SECOND + POLL_SECONDS <= session.times[1][1] - begin + POLL_SECONDS
        )


async def test_whoever_waits_for_a_reply_has_until_the_end_and_is_then_cut_off(autojump_clock: MockClock) -> None:
    session = Timed(asks=True, obeys=str(Closed.DRAINED))
    assert await ended(session) == pytest.approx(SECONDS, abs=2 * POLL_SECONDS)
    assert [what for what, _ in session.times] == ["drain_behind_reply", Closed.DRAINED]


async def test_a_session_that_is_ending_already_is_only_waited_for(autojump_clock: MockClock) -> None:
    session = Timed()
    session.reason = Closed.CLIENT_CLOSED
    assert await ended(session) == pytest.approx(SECONDS, abs=2 * POLL_SECONDS)
    assert [what for what, _ in session.times] == [Closed.DRAINED]


async def test_without_time_all_are_cut_off_at_once(autojump_clock: MockClock) -> None:
    sessions = [Timed(), Timed(asks=True)]
    assert await ended(*sessions, seconds=0) == 0
    assert [what for session in sessions for what, _ in session.times] == [Closed.DRAINED] * 2
