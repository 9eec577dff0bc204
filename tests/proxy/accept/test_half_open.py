"""A half-open connection: what it learns, and what it does with its socket, which keeps all the octets."""

import socket
from collections.abc import Iterator

import pytest
from support.gates import RecordingGate, RecordingOwner
from support.loopback import has_closed, reset, tcp_pair

from curveproxy.proxy.accept.half_open import HalfOpen
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.reactor import GONE, READ
from curveproxy.wire.curve.keys import KeyPair

SERVER = KeyPair.generate()


class Case:
    """One connection, and who owns it."""

    def __init__(self) -> None:
        near, self.far = tcp_pair()
        self.owner, self.gate = RecordingOwner(), RecordingGate()
        self.half = HalfOpen(self.owner, near, self.gate, 1, 10.0)
        self.view = memoryview(bytearray(16))

    @property
    def mark(self) -> int:
        """The mark that the kernel has."""
        return self.half.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)

    def close(self) -> None:
        self.half.socket.close()
        self.far.close()


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    case.close()


def test_nothing_is_known_of_a_new_one(case: Case) -> None:
    half = case.half
    assert (half.unit, half.mark, half.noted, half.source, half.claimed_address) == (1, 0, 0, None, None)
    assert (half.gate, half.deadline) == (case.gate, 10.0)
    assert not hasattr(half, "server")
    assert not hasattr(half, "__dict__"), "a dozen words"


def test_octets_are_looked_at_and_stay_in_the_socket(case: Case) -> None:
    assert case.half.peek(case.view, 16) is None, "nothing is there"
    case.far.sendall(b"abcdef")
    assert [case.half.peek(case.view, most) for most in (6, 6, 4)] == [6, 6, 4]
    assert bytes(case.view[:6]) == b"abcdef"


def test_a_unit_that_is_taken_makes_the_next_one_due(case: Case) -> None:
    case.far.sendall(b"abcdef")
    case.half.peek(case.view, 16)
    case.half.take(case.view, 4)
    assert case.half.unit == 2
    assert case.half.peek(case.view, 16) == 2
    assert bytes(case.view[:2]) == b"ef"


def test_an_end_is_no_octet_and_a_reset_is_an_error(case: Case) -> None:
    case.far.shutdown(socket.SHUT_WR)
    assert case.half.peek(case.view, 16) == 0
    other = Case()
    reset(other.far)
    with pytest.raises(ConnectionResetError):
        other.half.peek(other.view, 16)
    other.close()


def test_it_is_greeted_once_and_waits_until_there_is_more_to_say(case: Case) -> None:
    for have, mark in ((0, 1), (1, 10), (10, 64)):
        case.half.wait(have, mark, b"hello")
        assert case.half.mark == case.mark == mark
    assert case.far.recv(100) == b"hello"
    case.half.wait(10, 64, b"")
    case.half.answer(b"more")
    assert case.far.recv(100) == b"more"


def test_a_mark_that_stands_is_not_set_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[int] = []
    monkeypatch.setattr(sockets, "set_mark", lambda _, mark: marks.append(mark))
    for have, mark in ((0, 1), (0, 1), (1, 10), (2, 10)):
        case.half.wait(have, mark, b"")
    case.half.expect_any()
    case.half.expect_any()
    assert marks == [10, 1], "a socket begins with 1"


@pytest.mark.parametrize(
    ("have", "mark", "needs"),
    [(0, 1, 1), (0, 10, 1), (10, 11, 11), (9, 11, 11), (2, 202, 202)],
    ids=["anything", "the first octet", "the last octet", "two octets", "the rest of a frame"],
)
def test_a_mark_is_for_whoever_sends_a_unit_in_pieces(case: Case, have: int, mark: int, needs: int) -> None:
    case.half.wait(have, mark, b"")
    assert case.half.mark == case.mark == needs


def test_where_it_comes_from_is_learned_from_its_address_or_a_balancer(case: Case) -> None:
    case.half.wait(12, 28, b"")
    case.half.count_to(7)
    case.half.forwarded_for(("192.0.2.1", 4242))
    assert (case.half.source, case.half.claimed_address) == (7, ("192.0.2.1", 4242))
    assert (case.half.mark, case.mark) == (0, 1), "nothing of the mechanism has come, and nothing was said"


def test_what_units_tell_is_kept_for_the_next(case: Case) -> None:
    other = RecordingGate("other")
    case.half.note(1)
    case.half.chose(other, SERVER, b"12345678")
    assert (case.half.noted, case.half.gate, case.half.server) == (1, other, SERVER)
    assert case.half.hello_nonce == b"12345678"


@pytest.mark.parametrize("numbered", [True, False], ids=["a number", "chance"])
def test_what_binds_a_cookie_is_no_other_connection_s(
    case: Case, numbered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not numbered:
        monkeypatch.setattr(sockets, "number_of", lambda _: None)
    other = Case()
    assert case.half.cookie_binding() == case.half.cookie_binding()
    assert case.half.cookie_binding() != other.half.cookie_binding()
    assert (case.half.binding is None) is numbered, "memory only where the system has no number"
    other.close()


def test_events_go_to_its_owner(case: Case) -> None:
    case.half.ready(READ)
    case.half.ready(READ | GONE)
    case.half.resume()
    case.half.failed(ValueError("ours"))
    assert case.owner.advanced == [(case.half, False), (case.half, True), (case.half, False)]
    assert case.owner.errors == ["ours"]


def test_an_answer_to_who_has_gone_is_an_error(case: Case) -> None:
    case.half.socket.shutdown(socket.SHUT_WR)
    assert has_closed(case.far)
    with pytest.raises(BrokenPipeError):
        case.half.answer(b"more")
