"""Who has which identity at a service: one client's session at a time, in this process and in all of them."""

import pytest
import trio
import trio.testing
from support.fakes import CLIENT, OTHER_CLIENT, RecordingObserver, RecordingRegistry, RecordingSession, admitted

from curveproxy.policy.identities import RIVALS_REPLACE, RIVALS_SECONDS
from curveproxy.proxy.errors import RefusedError
from curveproxy.proxy.relay.env import AdmittedClient
from curveproxy.proxy.sessions.identities import SETTLE_SECONDS, IdentityTable
from curveproxy.reasons import Closed, Outcome


class Waiting:
    """A pending session."""

    def __init__(self, who: AdmittedClient) -> None:
        self.who, self.refusals = who, list[Outcome]()

    def cancel(self, error: RefusedError) -> None:
        self.refusals.append(error.outcome)


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def table(observer: RecordingObserver) -> IdentityTable:
    return IdentityTable("test", observer, None)


def test_an_identity_belongs_to_the_key_of_its_session_until_that_has_ended(table: IdentityTable) -> None:
    session = RecordingSession(admitted(b"me"))
    table.begun(session)
    assert table.has_session(b"me")
    assert table.is_of_another(b"me", OTHER_CLIENT)
    assert not table.is_of_another(b"me", CLIENT)
    assert not table.is_of_another(b"you", OTHER_CLIENT)
    table.ended(session)
    assert not table.has_session(b"me")
    assert not table.is_of_another(b"me", OTHER_CLIENT)


def test_a_client_that_is_about_to_have_a_session_has_its_identity_too(table: IdentityTable) -> None:
    waiting = Waiting(admitted(b"me"))
    assert table.expect(waiting) is False, "nobody else has it: nothing to claim"
    assert not table.has_session(b"me")
    assert table.is_of_another(b"me", OTHER_CLIENT)
    table.settled(waiting)
    assert not table.is_of_another(b"me", OTHER_CLIENT)


async def test_clients_without_an_identity_do_not_meet(table: IdentityTable) -> None:
    first, second = RecordingSession(admitted()), RecordingSession(admitted())
    table.begun(first)
    table.begun(second)
    waiting = Waiting(admitted())
    assert table.expect(waiting) is False
    assert table.expect(Waiting(admitted())) is False
    table.ended(first)
    assert not table.has_session(b"")
    assert (first.calls, second.calls, waiting.refusals) == ([], [], [])


async def test_whoever_comes_again_replaces_its_session(table: IdentityTable) -> None:
    session = RecordingSession(admitted(b"me"))
    table.begun(session)
    assert table.expect(Waiting(admitted(b"me"))) is True, "the service has to forget the first"
    assert session.calls == [Closed.REPLACED]


async def test_a_session_whose_client_has_closed_delivers_what_it_has(table: IdentityTable) -> None:
    session = RecordingSession(admitted(b"me"), finishes=True)
    table.begun(session)
    table.expect(Waiting(admitted(b"me")))
    assert session.calls == ["hurry"]


def test_whoever_comes_again_while_it_waits_takes_its_own_place(table: IdentityTable) -> None:
    first, second = Waiting(admitted(b"me")), Waiting(admitted(b"me"))
    table.expect(first)
    table.expect(second)
    assert (first.refusals, second.refusals) == ([Outcome.PEER_CLOSED], [])
    table.settled(first)
    assert table.is_of_another(b"me", OTHER_CLIENT), "it is the second's now"


def test_the_end_of_a_replaced_session_takes_nothing_from_its_successor(table: IdentityTable) -> None:
    first, second = RecordingSession(admitted(b"me")), RecordingSession(admitted(b"me"))
    table.begun(first)
    table.begun(second)
    table.ended(first)
    assert table.has_session(b"me")


async def test_a_claim_waits_for_the_older_session_and_until_the_service_has_read_the_last_of_it(
    table: IdentityTable, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    session = RecordingSession(admitted(b"me"), finishes=True)
    table.begun(session)
    table.expect(Waiting(admitted(b"me")))

    async def end() -> None:
        await trio.sleep(3)
        table.ended(session)

    nursery.start_soon(end)
    before = trio.current_time()
    with trio.testing.assert_checkpoints():
        await table.claim(admitted(b"me"))
    assert trio.current_time() - before == pytest.approx(3 + SETTLE_SECONDS)
    before = trio.current_time()
    await table.claim(admitted(b"me"))
    assert trio.current_time() == before, "it is free"


async def test_all_who_claim_one_identity_hear_that_it_is_free(
    table: IdentityTable, autojump_clock: trio.testing.MockClock
) -> None:
    session = RecordingSession(admitted(b"me"))
    table.begun(session)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(table.claim, admitted(b"me"))
        await trio.testing.wait_all_tasks_blocked()
        table.ended(session)


async def test_a_claim_asks_the_other_processes_and_its_release_tells_them(observer: RecordingObserver) -> None:
    registry = RecordingRegistry()
    table = IdentityTable("test", observer, registry)
    who = admitted(b"me", number=7)
    assert table.expect(Waiting(who)) is True
    await table.claim(who)
    table.release(who)
    facts = "test", b"me", CLIENT, 7
    assert registry.calls == [("claim", *facts), ("release", *facts)]


async def test_the_end_of_a_session_releases_its_identity_everywhere(observer: RecordingObserver) -> None:
    registry = RecordingRegistry()
    table = IdentityTable("test", observer, registry)
    for identity in (b"me", b""):
        session = RecordingSession(admitted(identity))
        table.begun(session)
        table.ended(session)
    assert registry.calls == [("release", "test", b"me", CLIENT, 1)]


async def test_a_claim_that_another_process_does_not_grant_is_refused(observer: RecordingObserver) -> None:
    table = IdentityTable("test", observer, RecordingRegistry(grants=False))
    with pytest.raises(RefusedError) as refused:
        await table.claim(admitted(b"me"))
    assert refused.value.outcome == Outcome.IDENTITY_IN_USE


async def test_a_client_that_came_again_elsewhere_has_its_session_here_replaced(
    table: IdentityTable, autojump_clock: trio.testing.MockClock
) -> None:
    session = RecordingSession(admitted(b"me", number=7))
    table.begun(session)
    await table.make_way(b"me", 6)
    await table.make_way(b"you", 7)
    assert session.calls == [], "that is another client"
    session.on_end = table.ended
    await table.make_way(b"me", 7)
    assert session.calls == [Closed.REPLACED]
    assert not table.has_session(b"me")


async def test_a_client_that_came_again_elsewhere_waits_here_no_more(table: IdentityTable) -> None:
    waiting = Waiting(admitted(b"me", number=7))
    table.expect(waiting)
    await table.make_way(b"me", 7)
    assert waiting.refusals == [Outcome.PEER_CLOSED]


async def test_two_hosts_with_one_identity_are_reported_now_and_then(
    table: IdentityTable, observer: RecordingObserver, mock_clock: trio.testing.MockClock
) -> None:
    def replace(number: int) -> None:
        table.begun(RecordingSession(admitted(b"me", number=number)))
        table.replace(b"me")

    for number in range(1, RIVALS_REPLACE + 1):
        assert observer.events == []
        replace(number)
    assert observer.take() == [("rivals", RIVALS_REPLACE)]
    for number in range(RIVALS_REPLACE - 1):
        replace(number)
    mock_clock.jump(RIVALS_SECONDS + 1)
    table.expire(trio.current_time())
    replace(9)
    assert observer.events == [], "what was long ago does not count"


# --- where somebody else decides who has an identity


@pytest.fixture
def shared(observer: RecordingObserver) -> IdentityTable:
    return IdentityTable("test", observer, RecordingRegistry(), may_share=True)


async def test_clients_that_may_share_an_identity_leave_each_other_alone(shared: IdentityTable) -> None:
    session, waiting = RecordingSession(admitted(b"me")), Waiting(admitted(b"me"))
    shared.begun(session)
    assert shared.expect(waiting) is shared.expect(Waiting(admitted(b"me"))) is False
    shared.replace(b"me")
    assert (session.calls, waiting.refusals) == ([], [])


async def test_one_that_has_closed_is_waited_for_also_where_identities_are_shared(
    shared: IdentityTable, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    closed = RecordingSession(admitted(b"me"), finishes=True)
    shared.begun(closed)
    assert shared.expect(Waiting(admitted(b"me"))) is True
    shared.begun(RecordingSession(admitted(b"me")))  # one that was on its way before that

    async def end() -> None:
        await trio.sleep(3)
        shared.ended(closed)

    nursery.start_soon(end)
    before = trio.current_time()
    await shared.claim(admitted(b"me"))
    assert trio.current_time() - before == pytest.approx(3 + SETTLE_SECONDS)
    assert closed.calls == ["hurry"]
