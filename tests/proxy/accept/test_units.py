"""Going through the units of a handshake, with a mechanism that is simpler than any real one."""

import socket
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from support.accepting import RecordingGate

from curveproxy.proxy.accept.half_open import Authenticated, Gate, HalfOpen, Unit
from curveproxy.proxy.accept.parking import Parking
from curveproxy.proxy.accept.units import BALANCER, FIRST, UnitTable
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Plain, Version
from curveproxy.wire.spec import Octets
from curveproxy.wire.zmtp.frame import Dialect

END = Authenticated(bytes(32), bytes(32), {}, Version(Dialect.V3, 1), Plain(), lambda _: b"")


def of_size(size: int) -> Any:
    """Measures a unit that has so many octets, of which the first is no part of its body; ``!`` is malformed."""

    def measure(seen: Octets) -> tuple[int, int, int]:
        if bytes(seen).startswith(b"!"):
            raise PeerError(Fault.COMMAND, "why")
        return size, 1, size

    return measure


class Mechanism:
    """Two units: four octets, then six, which waits for a service; the second is the end."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.gates: Sequence[Gate] = ()
        self.units: Sequence[Unit] = (
            Unit(10, of_size(4), self._take, opening=b"hello"),
            Unit(20, of_size(6), self._take_last, waits_for_service=True),
        )

    def configure(self, gates: Sequence[Gate]) -> None:
        self.gates = gates

    def error(self, reason: str) -> bytes:
        return reason.encode()

    def _take(self, _: HalfOpen, body: bytes) -> None:
        self.bodies.append(body)

    def _take_last(self, _: HalfOpen, body: bytes) -> Authenticated:
        self.bodies.append(body)
        if body == b"nobody":
            raise RefusedError(Outcome.VOUCH)
        return END


class Stage:
    """A table with its mechanism, and one half-open connection."""

    def __init__(self) -> None:
        self.gate, self.mechanism = RecordingGate(), Mechanism()
        reactor: Any = SimpleNamespace(schedule=lambda _: None)
        self.parking = Parking(reactor)
        self.parking.configure([self.gate])
        self.table = UnitTable(Unit(5, of_size(5), self._take_balancer), self.mechanism, self.parking)
        self.table.configure([self.gate])
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        owner: Any = SimpleNamespace()
        self.half = HalfOpen(owner, self.near, self.gate, FIRST, 0.0)

    def _take_balancer(self, half: HalfOpen, body: bytes) -> None:
        assert half is self.half
        self.mechanism.bodies.append(body)

    def come(self, octets: bytes, *, gone: bool = False) -> Authenticated | RefusedError | None:
        self.far.send(octets)
        return self.table.advance(self.half, gone)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    with made.near, made.far:
        yield made


def test_the_table_begins_with_the_balancers_and_is_as_large_as_its_largest_unit(stage: Stage) -> None:
    assert stage.table.largest == 20
    assert list(stage.mechanism.gates) == [stage.gate]
    stage.half.unit = BALANCER
    assert stage.come(b"-head-one-secon") is END
    assert stage.mechanism.bodies == [b"head", b"one", b"secon"]


def test_units_are_taken_as_they_come_octet_by_octet(stage: Stage) -> None:
    found = [stage.come(bytes([octet])) for octet in b"-one-secon"]
    assert found == [None] * 9 + [END]
    assert stage.mechanism.bodies == [b"one", b"secon"]
    assert stage.far.recv(100) == b"hello", "once"


def test_units_that_come_together_need_no_opening(stage: Stage) -> None:
    assert stage.come(b"-one-secon") is END
    with pytest.raises(BlockingIOError):
        stage.far.recv(1)


def test_what_is_behind_the_last_unit_stays_in_the_kernel(stage: Stage) -> None:
    assert stage.come(b"-one-seconmore") is END
    assert stage.near.recv(100) == b"more"


def test_it_is_marked_how_much_must_come(stage: Stage) -> None:
    stage.come(b"-")
    assert stage.half.mark == 4
    stage.come(b"one-")
    assert stage.half.mark == 6


def outcome(found: Authenticated | RefusedError | None) -> Outcome:
    assert isinstance(found, RefusedError)
    return found.outcome


def test_what_is_malformed_is_an_outcome_and_so_is_what_a_unit_refuses(stage: Stage) -> None:
    found = stage.come(b"!")
    assert outcome(found) == Outcome.COMMAND
    assert isinstance(found, RefusedError)
    assert found.detail == "why"
    other = Stage()
    with other.near, other.far:
        other.mechanism.units = (other.mechanism.units[0], Unit(20, of_size(7), other.mechanism._take_last))
        other.table.configure([other.gate])
        assert outcome(other.come(b"-one-nobody")) == Outcome.VOUCH


@pytest.mark.parametrize(
    ("before", "ends"), [(b"", Outcome.PROBE), (b"-o", Outcome.PEER_CLOSED), (b"-one", Outcome.PEER_CLOSED)]
)
def test_who_leaves_without_a_word_has_only_looked(before: bytes, ends: Outcome, stage: Stage) -> None:
    if before:
        assert stage.come(before) is None
    stage.far.shutdown(socket.SHUT_WR)
    assert outcome(stage.table.advance(stage.half, True)) == ends


def test_whoever_has_sent_all_and_closed_is_heard(stage: Stage) -> None:
    stage.far.send(b"-one-secon")
    stage.far.shutdown(socket.SHUT_WR)
    assert stage.table.advance(stage.half, True) is END


def test_an_error_of_the_socket_is_its_end(stage: Stage) -> None:
    stage.near.close()
    assert outcome(stage.table.advance(stage.half, False)) == Outcome.PROBE


def test_a_unit_that_needs_the_service_waits_for_it_untouched(stage: Stage) -> None:
    stage.gate.is_down = True
    assert stage.come(b"-one-secon") is None
    assert stage.half in stage.parking
    assert stage.table.advance(stage.half, False) is None
    assert stage.mechanism.bodies == [b"one"]
    stage.gate.is_down = False
    stage.gate.resume()
    assert stage.table.advance(stage.half, False) is END


def test_who_leaves_while_it_waits_has_closed(stage: Stage) -> None:
    stage.gate.is_down = True
    assert stage.come(b"-one-secon") is None
    assert outcome(stage.table.advance(stage.half, True)) == Outcome.PEER_CLOSED
