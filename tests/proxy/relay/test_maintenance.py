"""When sessions are checked: so often, each of them, and an error in one stays there."""

from typing import Any

from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.relay.maintenance import Maintenance
from curveproxy.proxy.relay.session import IDLE_CHECKS
from curveproxy.proxy.settings import ServiceSettings


class Session:
    """Counts how often it is checked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.idle = self.alive = 0
        self.error, self.errors = error, list[Exception]()

    def check_idle(self) -> None:
        self.idle += 1
        if self.error is not None:
            raise self.error

    def check_alive(self) -> None:
        self.alive += 1

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


def settings(**seconds: float) -> ServiceSettings:
    everything: dict[str, Any] = {"server_keys": (), **seconds}
    return ServiceSettings("test", Endpoint("tcp", "*"), Endpoint("tcp", "127.0.0.1", 1), **everything)


def test_nobody_is_checked_where_that_is_off() -> None:
    session, maintenance = Session(), Maintenance()
    for now in range(1000):
        maintenance.tick(now, [session], settings())
    assert (session.idle, session.alive) == (0, 0)


def test_idleness_is_checked_in_parts_of_its_time_and_life_once_in_its_own() -> None:
    session, maintenance = Session(), Maintenance()
    for tick in range(10 * 80):  # eighty seconds, ten ticks in each
        maintenance.tick(100 + tick / 10, [session], settings(idle_seconds=40.0, heartbeat_seconds=20.0))
    assert (session.idle, session.alive) == (2 * IDLE_CHECKS, 4)


def test_a_setting_that_changes_counts_from_the_next_check_on() -> None:
    session, maintenance = Session(), Maintenance()
    maintenance.tick(0.0, [session], settings(heartbeat_seconds=10.0))
    maintenance.tick(5.0, [session], settings(heartbeat_seconds=1.0))
    assert session.alive == 1, "what was planned stays"
    for now in (10.0, 10.5, 11.0):
        maintenance.tick(now, [session], settings(heartbeat_seconds=1.0))
    assert session.alive == 3


def test_an_error_in_one_session_is_its_own() -> None:
    error = ValueError("ours")
    sessions = [Session(), Session(error), Session()]
    Maintenance().tick(0.0, sessions, settings(idle_seconds=1.0))
    assert [each.idle for each in sessions] == [1, 1, 1]
    assert [each.errors for each in sessions] == [[], [error], []]


def test_a_session_that_ends_while_it_is_checked_hides_none_of_the_others() -> None:
    sessions = {Session() for _ in range(3)}
    checked = list(sessions)

    class Ending(Session):
        def check_idle(self) -> None:
            super().check_idle()
            sessions.clear()

    sessions.add(Ending())
    Maintenance().tick(0.0, sessions, settings(idle_seconds=1.0))
    assert [each.idle for each in checked] == [1, 1, 1]
