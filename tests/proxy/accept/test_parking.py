"""Connections that wait for their service: all go on when it is up, and some before, drawn by lot."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from support.gates import RecordingGate

from curveproxy.proxy.accept.parking import Parking


class Half:
    """Stands for a half-open connection."""


class Parked:
    """A parking of two services, and whom it has scheduled."""

    def __init__(self) -> None:
        self.scheduled: list[Any] = []
        reactor: Any = SimpleNamespace(schedule=self.scheduled.append)
        self.parking = Parking(reactor)
        self.gates = RecordingGate("one"), RecordingGate("other")
        self.parking.configure(self.gates)

    def are_down(self, *down: bool) -> None:
        for gate, is_down in zip(self.gates, down, strict=True):
            gate.is_down = is_down


@pytest.mark.parametrize(("down", "waits"), [((True, True), True), ((True, False), False), ((False, False), False)])
def test_a_connection_waits_only_where_no_service_can_be_had(down: tuple[bool, bool], waits: bool) -> None:
    half: Any = Half()
    parked = Parked()
    parked.are_down(*down)
    assert parked.parking.park(half) is waits
    assert (half in parked.parking) is waits


def wait(parked: Parked, number: int) -> list[Any]:
    halves: list[Any] = [Half() for _ in range(number)]
    parked.are_down(True, True)
    assert all(parked.parking.park(half) for half in halves)
    return halves


async def test_all_go_on_when_one_service_is_up_again() -> None:
    parked = Parked()
    halves = wait(parked, 3)
    parked.gates[1].resume()
    assert parked.scheduled == halves
    assert not any(half in parked.parking for half in halves)


async def test_some_go_on_to_find_out_and_are_not_held_again() -> None:
    parked = Parked()
    halves = wait(parked, 10)
    parked.gates[0].probes, parked.gates[1].probes = 2, 4
    parked.parking.tick(trio.current_time())
    assert len(parked.scheduled) == len(set(parked.scheduled)) == 4, "as the service says that needs most"
    assert [gate.checks for gate in parked.gates] == [1, 1]
    drawn = parked.scheduled[0]
    assert not parked.parking.park(drawn)
    parked.parking.forget(drawn)
    assert parked.parking.park(drawn), "it is another connection now"
    assert sum(half in parked.parking for half in halves) == 7


async def test_more_probes_than_connections_are_no_harm_and_nobody_is_looked_for_in_vain() -> None:
    parked = Parked()
    parked.are_down(True, True)
    parked.parking.tick(trio.current_time())
    assert [gate.checks for gate in parked.gates] == [0, 0], "nobody waits"
    [half] = wait(parked, 1)
    parked.gates[0].probes = 32
    parked.parking.tick(trio.current_time())
    assert parked.scheduled == [half]


async def test_where_the_service_was_replaced_all_go_on_at_the_next_tick() -> None:
    parked = Parked()
    halves = wait(parked, 2)
    parked.are_down(True, False)
    parked.parking.tick(trio.current_time())
    assert parked.scheduled == halves


async def test_a_connection_that_has_ended_goes_nowhere() -> None:
    parked = Parked()
    halves = wait(parked, 2)
    parked.parking.forget(halves[0])
    parked.gates[0].resume()
    assert parked.scheduled == halves[1:]
