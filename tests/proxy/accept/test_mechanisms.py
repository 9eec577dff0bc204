"""What every mechanism's table of units must be, whatever its units are: each mechanism is put through the same cases.

An admission knows nothing else of it.
"""

from collections.abc import Callable, Generator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import plain_steps
from support.curve_steps import CurveSteps
from support.gates import RecordingGate, egress
from support.mechanism import Walk

from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.curve_mechanism import CurveMechanism
from curveproxy.proxy.accept.half_open import Mechanism
from curveproxy.proxy.accept.plain_mechanism import PlainMechanism
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.errors import RefusedError
from curveproxy.wire.errors import PeerError

# A peer: what it says next, of what it was answered last. It ends with its last unit.
Honest = Callable[[RecordingGate], Generator[bytes, bytes, None]]


def curve_client(gate: RecordingGate) -> Generator[bytes, bytes, None]:
    client = CurveSteps(gate.settings.server_keys[0].public)
    yield client.greeting()
    welcome = yield client.hello()
    client.welcomed(welcome)
    yield client.initiate()


def plain_client(*said: bytes) -> Honest:
    def says(_: RecordingGate) -> Generator[bytes, bytes, None]:
        for octets in said:  # noqa: UP028 - a list is not sent answers
            yield octets

    return says


def curve() -> Mechanism:
    return CurveMechanism(CookieKeys(), TransientKeys())


# A mechanism, how large the keys are that it proves, and a peer.
MECHANISMS: dict[str, tuple[Callable[[], Mechanism], int, Honest]] = {
    "CURVE": (curve, 32, curve_client),
    **{f"plain {name}": (PlainMechanism, 0, plain_client(*said)) for name, said in plain_steps.HONEST.items()},
}


class Case:
    """A mechanism that is configured for one service, and an honest peer of it."""

    def __init__(self, name: str) -> None:
        make, self.key_size, self._honest = MECHANISMS[name]
        self.mechanism = make()
        self.gate = RecordingGate(egress=None if self.key_size else egress(client_socket_type="DEALER"))
        self.mechanism.configure([self.gate])

    def says(self, walk: Walk, size: int = 1 << 20) -> Iterator[bytes]:
        """Each of the peer's units, before it is fed."""
        peer = self._honest(self.gate)
        octets = next(peer)
        while True:
            yield octets
            answer = walk.feed(octets, size)
            try:
                octets = peer.send(answer)
            except StopIteration:
                return

    def walk(self) -> Walk:
        return Walk(self.mechanism, [self.gate])


@pytest.fixture(params=MECHANISMS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.mark.parametrize("size", [1, 3, 1 << 20], ids=["octet by octet", "by threes", "in one piece"])
def test_an_honest_peer_comes_to_the_end_by_its_last_unit(case: Case, size: int) -> None:
    walk, units = case.walk(), []
    for _ in case.says(walk, size):
        assert walk.authenticated is None
        units.append(walk.half.unit)
    assert units[0] == 1
    assert units == sorted(set(units)), "no unit comes twice"
    assert walk.authenticated is not None
    assert len(walk.authenticated.key) == len(walk.authenticated.server_key) == case.key_size
    assert walk.authenticated.ready({"Socket-Type": b"ROUTER"})
    walk.close()


def test_a_mark_is_beyond_what_is_there_until_a_unit_is_whole_and_fits(case: Case) -> None:
    walk = case.walk()
    for octets in case.says(walk):
        unit = walk.due
        assert unit.measure(b"")[0] >= 1, "there is nothing to say of nothing"
        marks = [unit.measure(octets[:have])[0] for have in range(len(octets))]
        assert all(mark > have for have, mark in enumerate(marks))
        assert marks == sorted(marks)
        assert all(mark <= len(octets) for mark in marks), "whoever waits for more waits for ever"
        mark, begin, end = unit.measure(octets)
        assert mark <= len(octets) == end <= unit.most
        assert 0 <= begin <= end
    walk.close()


def test_octets_wake_a_few_times_and_not_one_by_one(case: Case) -> None:
    walk = case.walk()
    for _ in case.says(walk, 1):
        pass
    assert len(set(walk.marks)) <= 6 * len(case.mechanism.units)
    walk.close()


def test_only_the_first_unit_may_be_opened_and_one_waits_for_the_service(case: Case) -> None:
    units = case.mechanism.units
    assert not any(unit.opening for unit in units[1:])
    assert not (units[0].opening and units[0].waits_for_service), "who is to be greeted would not be"
    assert sum(unit.waits_for_service for unit in units) == 1


def test_the_opening_is_the_beginning_of_what_is_answered_in_one_piece(case: Case) -> None:
    walk, slow = case.walk(), case.walk()
    octets = next(case.says(walk))
    whole = walk.feed(octets)
    opening = slow.feed(octets[:1])
    assert opening == case.mechanism.units[0].opening == whole[: len(opening)]
    assert opening + slow.feed(octets[1:]) == whole
    walk.close()
    slow.close()


@given(octets=st.binary(max_size=600), at=st.integers(0, 20))
@pytest.mark.parametrize("name", MECHANISMS)
def test_whatever_comes_is_measured_or_refused(name: str, octets: bytes, at: int) -> None:
    case = Case(name)
    unit = case.mechanism.units[at % len(case.mechanism.units)]
    try:
        mark, begin, end = unit.measure(octets[: unit.most])
    except (PeerError, RefusedError):
        return
    if mark <= len(octets):
        assert 0 <= begin <= end <= unit.most


def test_a_refusal_is_octets(case: Case) -> None:
    assert case.mechanism.error("400") != case.mechanism.error("sessions_limit") != b""


def test_it_may_be_configured_again_for_connections_that_are_half_open(case: Case) -> None:
    walk = case.walk()
    for _ in case.says(walk):
        case.mechanism.configure([case.gate, RecordingGate("another")])
    assert walk.authenticated is not None
    walk.close()
