"""Whether a service is down, and how it is found out that it is up again."""

import pytest
import trio
import trio.testing
from support.fakes import RecordingObserver
from support.tasks import spawner

from curveproxy.proxy.connect import recovery
from curveproxy.proxy.connect.recovery import EXCUSED_MAX, Recovery
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import BackendFailure, ClientFailure

SETTINGS = ServiceSettings("test", Endpoint("tcp", "*"), Endpoint("tcp", "127.0.0.1", 1), ())


class Found:
    """The recovery of a service that listens when the test says so."""

    def __init__(self, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listens, self.looks, self.recovered = False, 0, 0
        self.observer = RecordingObserver()

        self.recovery = Recovery(self.observer, spawner(nursery), self._has_recovered)
        monkeypatch.setattr(recovery, "listens", self._look)

    async def _look(self, endpoint: Endpoint, *, allow_remote: bool) -> bool:
        assert (endpoint, allow_remote) == (SETTINGS.backend, False)
        self.looks += 1
        return self.listens

    def _has_recovered(self) -> None:
        self.recovered += 1

    async def seconds(self, number: int) -> None:
        """Look whenever it is time to."""
        for _ in range(4 * number):
            await trio.sleep(0.25)
            self.recovery.check_listener(trio.current_time(), SETTINGS)
            await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def found(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> Found:
    return Found(nursery, monkeypatch)


@pytest.mark.deep
async def test_before_the_first_dial_nothing_is_known_and_nothing_is_looked_for(found: Found) -> None:
    await found.seconds(5)
    assert (found.recovery.up, found.recovery.is_down, found.looks) == (None, False, 0)


async def test_where_nobody_listens_it_is_looked_once_a_second_until_somebody_does(found: Found) -> None:
    found.recovery.dial_failed(BackendFailure.REFUSED)
    assert (found.recovery.up, found.recovery.is_down) == (False, True)
    await found.seconds(3)
    assert (found.looks, found.recovered) == (3, 0)
    found.listens = True
    await found.seconds(3)
    assert (found.looks, found.recovered) == (4, 1)
    assert not found.recovery.is_down
    assert found.recovery.up is False, "it listens, which is not yet an answer"


async def test_where_somebody_listens_and_does_not_answer_only_clients_can_find_out(found: Found) -> None:
    found.recovery.dial_failed(BackendFailure.TIMEOUT)
    await found.seconds(3)
    assert found.looks == 0
    assert found.recovery.allow_probes(trio.current_time()) == 1
    found.recovery.dialled(trio.current_time())
    assert found.recovery.allow_probes(trio.current_time()) == 0
    found.recovery.succeeded()
    assert (found.recovery.up, found.recovery.is_down, found.recovered) == (True, False, 1)


async def test_a_few_failures_in_a_row_may_be_their_clients(found: Found) -> None:
    assert not found.recovery.excuses(), "nobody has been served"
    found.recovery.succeeded()
    assert [found.recovery.excuses() for _ in range(EXCUSED_MAX + 1)] == [True] * EXCUSED_MAX + [False]
    found.recovery.succeeded()
    assert found.recovery.excuses()
    found.recovery.dial_failed(ClientFailure.READY_CLOSED)
    assert not found.recovery.excuses()


@pytest.mark.deep
async def test_remotes_are_looked_for_where_nobody_listened_at_any(found: Found) -> None:
    found.recovery.dial_failed(ClientFailure.REFUSED, ClientFailure.CONNECT_REFUSED)
    await found.seconds(3)
    assert found.looks == 0
    found.recovery.forget()
    found.recovery.dial_failed(ClientFailure.CONNECT_TIMEOUT, ClientFailure.CONNECT_REFUSED)
    await found.seconds(3)
    assert found.looks == 3


async def test_another_service_is_not_known_and_a_look_at_the_one_before_changes_nothing(found: Found) -> None:
    found.recovery.dial_failed(BackendFailure.REFUSED)
    found.listens = True
    await trio.sleep(1)
    found.recovery.check_listener(trio.current_time(), SETTINGS)
    found.recovery.forget()
    found.recovery.dial_failed(BackendFailure.REFUSED)
    await trio.testing.wait_all_tasks_blocked()
    assert found.looks == 1
    assert found.recovery.is_down, "that look was for another one"


@pytest.mark.deep
async def test_a_look_that_hangs_is_the_only_one(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, answer = 0, trio.Event()

    async def hangs(*_: object, **__: object) -> bool:
        nonlocal looks
        looks += 1
        await answer.wait()
        return True

    monkeypatch.setattr(recovery, "listens", hangs)
    found.recovery.dial_failed(BackendFailure.UNREACHABLE)
    await found.seconds(5)
    assert looks == 1
    answer.set()
    await trio.testing.wait_all_tasks_blocked()
    assert not found.recovery.is_down


async def test_an_error_of_ours_in_a_look_is_reported(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> bool:
        raise ValueError("ours")

    monkeypatch.setattr(recovery, "listens", fails)
    found.recovery.dial_failed(BackendFailure.REFUSED)
    await found.seconds(1)
    assert [str(error) for error in found.observer.errors] == ["ours"]
    assert found.recovery.is_down
