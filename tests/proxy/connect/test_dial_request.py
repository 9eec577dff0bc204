"""One client's way to its service: which address and which pacing is tried when, and that it ends once."""

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from curveproxy.proxy.connect.address import Address
from curveproxy.proxy.connect.attempt import DialAttempt
from curveproxy.proxy.connect.dial_request import BACKLOG_RETRY_SECONDS, DialRequest
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.reasons import BackendFailure, Outcome
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.null import Pacing

V31 = Version(Dialect.V3, 1)
ONE, TWO, THREE = ((socket.AF_INET, (f"127.0.0.{number}", 7)) for number in (1, 2, 3))
SECONDS = 9.0


class Attempt(DialAttempt):
    """It does what the test says. error: what ``begin`` raises."""

    def __init__(self, pacing: Pacing, error: OSError | None) -> None:
        self.pacing, self.error = pacing, error
        self.socket, self.is_connecting = None, True
        self.address: Address | None = None
        self.has_version = False

    @property
    def knows_version(self) -> bool:
        return self.has_version

    def begin(self, address: Address) -> None:
        self.address, self.socket = address, socket.socket()
        if self.error is not None:
            raise self.error

    def connected(self, *, knows_version: bool = False) -> None:
        self.is_connecting, self.has_version = False, knows_version


class Dial:
    """A request, and its owner: a dialer that keeps what it is told.

    errors: what the next attempts raise as they begin.
    """

    def __init__(self, nursery: trio.Nursery, pacing: Pacing = Pacing.STEPWISE, *errors: OSError | None) -> None:
        self._nursery, self._errors = nursery, list(errors)
        self.attempts: list[Attempt] = []
        self.closed: list[socket.socket] = []
        self.ends: list[Any] = []
        self.kind: bytes | DialError | None = None
        handler: Any = None
        self.request = DialRequest(self, handler, {"Socket-Type": b"DEALER"}, pacing)
        self.request.deadline = trio.current_time() + SECONDS

    def begin(self, *addresses: Address, of_a_name: bool = False) -> Attempt:
        self.request.begin(addresses, of_a_name=of_a_name)
        return self.attempt

    @property
    def attempt(self) -> Attempt:
        return self.attempts[-1]

    def fail(self, failure: BackendFailure) -> None:
        self.request.attempt_failed(DialError(failure))

    # --- as a dialer

    def new_attempt(self, dial: DialRequest, pacing: Pacing) -> DialAttempt:
        assert dial is self.request
        self.attempts.append(Attempt(pacing, self._errors.pop(0) if self._errors else None))
        return self.attempt

    def close(self, sock: socket.socket) -> None:
        self.closed.append(sock)
        sock.close()

    def is_under_way(self, dial: DialRequest) -> bool:
        assert dial is self.request
        return not self.ends

    def type_of(self, dial: DialRequest, negotiated: Negotiated) -> bytes | DialError | None:
        assert negotiated.version == V31
        assert dial is self.request
        return self.kind

    def spawn(self, owner: object, work: Callable[[], Awaitable[None]]) -> None:
        assert owner is self.request
        self._nursery.start_soon(work)

    def dial_succeeded(self, dial: DialRequest, peer: Established) -> None:
        assert dial.address == self.attempt.address
        self.ends.append(peer)

    def dial_failed(self, dial: DialRequest, error: DialError) -> None:
        assert dial is self.request
        self.ends.append(error.failure)

    def dial_refused(self, dial: DialRequest, error: RefusedError) -> None:
        assert dial is self.request
        self.ends.append(error.outcome)

    def dial_broke(self, dial: DialRequest, error: Exception) -> None:
        assert dial is self.request
        self.ends.append(error)

    def ended(self, end: object) -> bool:
        """Whether that is the only end, and no socket is left open."""
        return self.ends == [end] and len(self.closed) == sum(each.address is not None for each in self.attempts)


async def test_a_service_that_is_greeted_is_handed_over_with_its_type(nursery: trio.Nursery) -> None:
    dial = Dial(nursery)
    dial.kind = b"ROUTER"
    dial.begin(ONE).connected()
    sock = dial.attempt.socket
    dial.request.greeted(Negotiated({"X-A": b"1"}, V31, Plain(), b"more"))
    [peer] = dial.ends
    assert (peer.socket, peer.metadata, peer.leftover) == (sock, {"Socket-Type": b"ROUTER", "X-A": b"1"}, b"more")
    assert dial.closed == [], "it is somebody's now"
    peer.socket.close()


@pytest.mark.parametrize(
    "metadata", [{"Identity": b"\0x"}, {"Identity": b"x" * 256}, {"Socket-Type": b"X" * 300}], ids=str
)
async def test_what_no_client_must_be_shown_ends_it(metadata: dict[str, bytes], nursery: trio.Nursery) -> None:
    dial = Dial(nursery)
    dial.begin(ONE).connected()
    dial.request.greeted(Negotiated(metadata, V31, Plain()))
    assert dial.ended(BackendFailure.HANDSHAKE)


async def test_a_type_that_does_not_fit_ends_it(nursery: trio.Nursery) -> None:
    dial = Dial(nursery)
    dial.kind = DialError(BackendFailure.SOCKET_TYPE)
    dial.begin(ONE).connected()
    dial.request.greeted(Negotiated({}, V31, Plain()))
    assert dial.ended(BackendFailure.SOCKET_TYPE)


async def test_addresses_are_tried_one_after_the_other(nursery: trio.Nursery) -> None:
    dial = Dial(nursery)
    dial.begin(ONE, TWO, of_a_name=True)
    dial.fail(BackendFailure.UNREACHABLE)
    assert [each.address for each in dial.attempts] == [ONE, TWO]
    dial.fail(BackendFailure.REFUSED)
    assert dial.ended(BackendFailure.REFUSED)
    assert [address for address, _ in dial.request.failures] == [ONE, TWO]


async def test_an_address_that_can_not_even_be_begun_is_left_for_the_next(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, Pacing.STEPWISE, OSError(errno.EHOSTUNREACH, "no route"))
    dial.begin(ONE, TWO, of_a_name=True)
    assert [each.address for each in dial.attempts] == [ONE, TWO]
    dial.fail(BackendFailure.REFUSED)
    assert dial.ended(BackendFailure.REFUSED)


async def test_what_the_system_has_too_little_of_ends_it_by_nobodys_fault(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, Pacing.STEPWISE, OSError(errno.ENOSPC, "full"))
    dial.begin(ONE, TWO)
    assert dial.ended(Outcome.SESSIONS_LIMIT)


async def test_an_address_that_does_not_answer_is_left_while_there_is_time(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    dial = Dial(nursery)
    dial.begin(ONE, TWO, THREE, of_a_name=True)
    await trio.sleep(SECONDS / 3 + 0.1)
    assert [each.address for each in dial.attempts] == [ONE, TWO]
    dial.attempt.connected()
    await trio.sleep(SECONDS / 3 + 0.1)
    assert len(dial.attempts) == 2, "it has the connection, and all of the time that is left"
    dial.request.give_up()
    assert dial.ended(BackendFailure.TIMEOUT)


async def test_a_backlog_that_is_full_is_tried_again_soon_until_nobody_wants_it(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    full = [BlockingIOError(errno.EAGAIN, "full") for _ in range(3)]
    dial = Dial(nursery, Pacing.STEPWISE, *full)
    dial.begin(ONE)
    await trio.sleep(1.5 * BACKLOG_RETRY_SECONDS)
    assert len(dial.attempts) == 2
    dial.request.refuse(RefusedError(Outcome.SHUTDOWN))
    await trio.sleep(1)
    assert len(dial.attempts) == 2
    assert dial.ended(Outcome.SHUTDOWN)


@pytest.mark.parametrize(
    ("pacing", "failure", "knows_version", "then"),
    [
        (Pacing.PIPELINED, BackendFailure.GREETING, False, Pacing.STEPWISE),
        (Pacing.PIPELINED, BackendFailure.CLOSED, True, Pacing.STEPWISE),
        (Pacing.PIPELINED, BackendFailure.MECHANISM, True, None),
        (Pacing.STEPWISE, BackendFailure.CLOSED, True, Pacing.PEER_FIRST),
        (Pacing.STEPWISE, BackendFailure.CLOSED, False, None),
        (Pacing.STEPWISE, BackendFailure.HANDSHAKE, True, None),
        (Pacing.PEER_FIRST, BackendFailure.CLOSED, True, None),
    ],
)
async def test_a_greeting_that_was_cut_short_is_tried_in_another_pacing(
    pacing: Pacing, failure: BackendFailure, knows_version: bool, then: Pacing | None, nursery: trio.Nursery
) -> None:
    dial = Dial(nursery, pacing)
    dial.begin(ONE).connected(knows_version=knows_version)
    dial.fail(failure)
    if then is None:
        assert dial.ended(failure)
    else:
        assert dial.attempt.pacing == then
        assert dial.attempt.address == ONE
        assert dial.ends == []
        dial.request.refuse(RefusedError(Outcome.SHUTDOWN))


async def test_an_error_of_ours_ends_it(nursery: trio.Nursery) -> None:
    dial, error = Dial(nursery), ValueError("ours")
    dial.begin(ONE)
    dial.request.failed(error)
    assert dial.ended(error)


async def test_what_takes_too_long_is_told_by_the_address_that_was_nearest(nursery: trio.Nursery) -> None:
    dial = Dial(nursery)
    dial.begin(ONE, TWO, of_a_name=True)
    dial.fail(BackendFailure.REFUSED)
    dial.request.give_up()
    assert dial.ended(BackendFailure.TIMEOUT)
    assert [error.failure for _, error in dial.request.failures] == [BackendFailure.REFUSED, BackendFailure.TIMEOUT]
    alone = Dial(nursery)
    alone.begin(ONE)
    alone.request.give_up()
    assert alone.ended(BackendFailure.TIMEOUT)
