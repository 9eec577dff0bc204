"""One client has each identity, over all workers."""

import trio
import trio.testing
from support.workers import worker

from curveproxy.app.process.shared_identities import SharedIdentities

NAME = {"service": "orders", "identity": "01"}


async def test_an_identity_belongs_to_one_key_until_it_is_released() -> None:
    identities = SharedIdentities()
    async with worker({}) as one, worker({}, index=1) as other:
        assert await identities.claim(one, **NAME, key="aa", number=1)
        assert not await identities.claim(other, **NAME, key="bb", number=1)
        identities.release(one, **NAME, key="aa", number=1)
        assert await identities.claim(other, **NAME, key="bb", number=2)


async def test_a_client_waits_for_the_end_of_its_session_in_another_worker() -> None:
    ended, asked = trio.Event(), []

    async def make_way(**facts: object) -> None:
        asked.append(facts)
        await ended.wait()

    identities = SharedIdentities()
    async with worker({"make_way": make_way}) as one, worker({}, index=1) as other, trio.open_nursery() as nursery:
        assert await identities.claim(one, **NAME, key="aa", number=7)
        answers: list[bool] = []

        async def claim() -> None:
            answers.append(await identities.claim(other, **NAME, key="aa", number=8))

        nursery.start_soon(claim)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (asked, answers) == ([{**NAME, "number": 7}], [])
        ended.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert answers == [True]
        # What the first worker releases now is not its any more.
        identities.release(one, **NAME, key="aa", number=7)
        assert not await identities.claim(one, **NAME, key="bb", number=9)


async def test_a_worker_that_has_ended_holds_nothing() -> None:
    identities = SharedIdentities()
    async with worker({}) as one, worker({}, index=1) as other:
        assert await identities.claim(one, **NAME, key="aa", number=1)
        one.kill()
        identities.forget(one)
        assert await identities.claim(one, **NAME, key="aa", number=2), "it hears so, and it holds nothing"
        assert await identities.claim(other, **NAME, key="bb", number=1)
