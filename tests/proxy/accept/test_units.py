"""The way through a table of units: looked at before it is taken, measured before it is read, waited for at no cost."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.gates import RecordingGate, RecordingOwner
from support.loopback import reset, tcp_pair, unix_pair
from support.reactor import LoneReactor

from curveproxy.proxy.accept.half_open import Authenticated, Gate, HalfOpen, Unit
from curveproxy.proxy.accept.parking import Parking
from curveproxy.proxy.accept.units import BALANCER, FIRST, UnitTable
from curveproxy.proxy.errors import RefusedError
from curveproxy.reasons import Outcome
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Plain, Version
from curveproxy.wire.spec import Octets
from curveproxy.wire.zmtp.frame import Dialect

SIZE = 4  # of each unit


class Mechanism:
    """Three units of four octets; the second waits for the service. It keeps what it was asked, in its order.

    errors: what the unit with a number raises, when it is measured or taken.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.errors: dict[tuple[str, int], Exception] = {}
        self.units: Sequence[Unit] = ()

    def configure(self, gates: Sequence[Gate]) -> None:
        self.calls.append(("configure", len(gates)))
        self.units = tuple(self.unit(number) for number in (1, 2, 3))

    def unit(self, number: int) -> Unit:
        def measure(seen: Octets) -> tuple[int, int, int]:
            self._call("measure", number, len(seen))
            return (SIZE, 1, SIZE) if seen else (1, 0, 0)

        def take(half: HalfOpen, body: bytes) -> Authenticated | None:
            self._call("take", number, body)
            return END if number == 3 else None

        opening = b"hello" if number == 1 else b""
        return Unit(SIZE + number, measure, take, opening, waits_for_service=number == 2)

    def _call(self, what: str, number: int, value: object) -> None:
        self.calls.append((what, number, value))
        if (error := self.errors.get((what, number))) is not None:
            raise error

    def error(self, reason: str) -> bytes:
        return reason.encode()


END = Authenticated(b"c" * 32, b"s" * 32, {}, Version(Dialect.V3, 0), lambda _: (b"ready", Plain()))


class Case:
    """One connection, and the table of its listener."""

    def __init__(self, pair: Any = unix_pair) -> None:
        self.mechanism, self.gate, self.reactor = Mechanism(), RecordingGate(), LoneReactor(8)
        self.parking = Parking(self.reactor)
        self.parking.configure([self.gate])
        balancer = Unit(100, lambda seen: (7, 0, 7), lambda half, body: self.mechanism.calls.append(("balancer", body)))
        self.table = UnitTable(balancer, self.mechanism, self.parking)
        self.table.configure([self.gate])
        self.mechanism.calls.clear()
        near, self.far = pair()
        self.half = HalfOpen(RecordingOwner(), near, self.gate, FIRST, 10.0)

    def advance(self, octets: bytes = b"", *, gone: bool = False) -> Authenticated | RefusedError | None:
        if octets:
            self.far.sendall(octets)
        return self.table.advance(self.half, gone)

    def ends_as(self, octets: bytes = b"", *, gone: bool = False) -> tuple[Outcome, str]:
        """Why the connection is refused now."""
        result = self.advance(octets, gone=gone)
        assert isinstance(result, RefusedError)
        return result.outcome, result.detail

    @property
    def unread(self) -> bytes:
        """What is still in the socket."""
        view = memoryview(bytearray(100))
        return bytes(view[: self.half.peek(view, 100) or 0])

    def close(self) -> None:
        self.half.socket.close()
        self.far.close()
        self.reactor.close()


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    case.close()


def test_nothing_is_read_before_it_is_whole(case: Case) -> None:
    assert case.advance() is None
    assert case.half.mark == 1, "one octet is enough to say more"
    for octet in (b"a", b"b", b"c"):
        assert case.advance(octet) is None
        assert case.half.mark == SIZE
    assert case.unread == b"abc"
    assert [call for call in case.mechanism.calls if call[0] == "take"] == []
    assert case.far.recv(100) == b"hello", "once"
    assert case.advance(b"d") is None
    assert ("take", 1, b"bcd") in case.mechanism.calls, "its body, which the measure has found"
    assert (case.half.unit, case.unread) == (2, b"")


@pytest.mark.parametrize(
    ("pieces", "looks"),
    [([b"1abc", b"2def", b"3ghi"], 3), ([b"1abc2def3ghi"], 3), ([b"1abc2", b"def3ghi"], 4), ([b"1a", b"bc"], 2)],
    ids=["a unit each", "all at once", "more than one", "a half each"],
)
def test_nobody_looks_where_nothing_can_be(
    case: Case, pieces: list[bytes], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, peek = list[int | None](), HalfOpen.peek

    def look(half: HalfOpen, view: memoryview, most: int) -> int | None:
        looked.append(found := peek(half, view, most))
        return found

    monkeypatch.setattr(HalfOpen, "peek", look)
    for piece in pieces:
        case.advance(piece)
    assert len(looked) == looks
    assert all(looked), "each has found something"


def test_octet_by_octet_it_comes_to_the_end(case: Case) -> None:
    found = [case.advance(bytes([octet])) for octet in b"1abc2def3ghi"]
    assert found == [None] * 11 + [END]


def test_it_is_measured_again_with_each_look_and_taken_once(case: Case) -> None:
    case.advance(b"ab")
    case.advance(b"cd")
    assert case.mechanism.calls == [("measure", 1, 2), ("measure", 1, 4), ("take", 1, b"bcd")]


def test_all_that_is_there_is_taken_to_the_end_and_nothing_beyond(case: Case) -> None:
    assert case.advance(b"1abc2def3ghi4") is END
    assert [call for call in case.mechanism.calls if call[0] == "take"] == [
        ("take", 1, b"abc"),
        ("take", 2, b"def"),
        ("take", 3, b"ghi"),
    ]
    assert case.unread == b"4", "it is the session's"
    case.far.setblocking(False)
    with pytest.raises(BlockingIOError):
        case.far.recv(1)  # who sends at once is not opened


def test_no_more_is_looked_at_than_the_unit_may_have(case: Case) -> None:
    case.advance(b"1abc2def3ghi4")
    assert [call[2] for call in case.mechanism.calls if call[0] == "measure"] == [SIZE + 1, SIZE + 2, SIZE + 1]


def test_a_balancer_s_header_is_the_row_before_the_mechanism_s(case: Case) -> None:
    case.half.unit = BALANCER
    assert case.advance(b"PROXY") is None
    assert case.mechanism.calls == []
    assert case.advance(b"..1abc") is None
    assert case.mechanism.calls[0] == ("balancer", b"PROXY..")
    assert case.half.unit == 2


def test_the_largest_unit_is_known_and_known_again_when_it_changes(case: Case) -> None:
    assert case.table.largest == 100
    case.table.configure([case.gate, case.gate])
    assert case.mechanism.calls == [("configure", 2)]


# --- a service that is down


def test_a_unit_that_waits_for_a_service_is_not_taken_while_there_is_none(case: Case) -> None:
    case.gate.is_down = True
    assert case.advance(b"1abc2def") is None
    assert case.half in case.parking
    assert case.unread == b"2def", "the kernel keeps it"
    case.mechanism.calls.clear()
    assert case.advance(b"3ghi") is None
    assert case.mechanism.calls == [], "it costs nothing"


def test_it_goes_on_when_the_service_is_up_again(case: Case) -> None:
    case.gate.is_down = True
    case.advance(b"1abc2def3ghi")
    case.gate.is_down = False
    case.gate.resume()
    assert case.advance() is END


def test_half_a_unit_waits_for_its_other_half_and_not_for_the_service(case: Case) -> None:
    case.gate.is_down = True
    case.advance(b"1abc2d")
    assert case.half not in case.parking
    assert case.half.mark == SIZE


def test_what_is_wrong_is_said_before_anybody_waits(case: Case) -> None:
    case.gate.is_down = True
    case.mechanism.errors["measure", 2] = PeerError(Fault.HELLO)
    assert case.ends_as(b"1abc2def")[0] == Outcome.HELLO_MALFORMED


# --- the ends


@pytest.mark.parametrize(
    ("octets", "outcome"),
    [
        (b"", Outcome.PROBE),
        (b"1", Outcome.PEER_CLOSED),
        (b"1abc", Outcome.PEER_CLOSED),
        (b"1abc2", Outcome.PEER_CLOSED),
    ],
    ids=["silent", "half of the first unit", "one unit", "half of another"],
)
def test_who_goes_before_the_end_has_closed_and_who_was_silent_has_only_looked(
    case: Case, octets: bytes, outcome: Outcome
) -> None:
    assert case.ends_as(octets, gone=True) == (outcome, "")


@pytest.mark.parametrize(("octets", "outcome"), [(b"", Outcome.PROBE), (b"1abc", Outcome.PEER_CLOSED)])
def test_an_end_is_seen_without_its_event_where_nothing_is_left_to_read(
    case: Case, octets: bytes, outcome: Outcome
) -> None:
    case.advance(octets)
    case.far.close()
    assert case.ends_as() == (outcome, "")


def test_who_goes_behind_a_whole_handshake_has_come(case: Case) -> None:
    assert case.advance(b"1abc2def3ghi", gone=True) is END


def test_who_goes_while_it_waits_for_a_service_has_closed(case: Case) -> None:
    case.gate.is_down = True
    assert case.ends_as(b"1abc2def", gone=True) == (Outcome.PEER_CLOSED, "")
    other = Case()
    other.gate.is_down = True
    assert other.advance(b"1abc2def") is None
    assert other.ends_as(gone=True) == (Outcome.PEER_CLOSED, "")
    other.close()


@pytest.mark.parametrize(("octets", "outcome"), [(b"", Outcome.PROBE), (b"1abc", Outcome.PEER_CLOSED)])
def test_a_reset_is_an_end_as_well(octets: bytes, outcome: Outcome) -> None:
    case = Case(tcp_pair)
    case.advance(octets)
    reset(case.far)
    assert case.ends_as() == (outcome, "")
    case.close()


@pytest.mark.parametrize("what", ["measure", "take"])
@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (PeerError(Fault.COOKIE), Outcome.COOKIE, ""),
        (PeerError(Fault.MECHANISM, "it offers NULL"), Outcome.MECHANISM, "it offers NULL"),
        (RefusedError(Outcome.SOURCE_LIMIT, "too often"), Outcome.SOURCE_LIMIT, "too often"),
        (BrokenPipeError(), Outcome.PEER_CLOSED, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_a_unit_raises_has_its_outcome(
    case: Case, what: str, error: Exception, outcome: Outcome, detail: str
) -> None:
    case.mechanism.errors[what, 2] = error
    assert case.ends_as(b"1abc2def") == (outcome, detail)


def test_an_error_of_ours_is_nobody_s_refusal(case: Case) -> None:
    case.mechanism.errors["take", 1] = ValueError("ours")
    with pytest.raises(ValueError, match="ours"):
        case.advance(b"1abc")
