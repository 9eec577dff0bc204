"""One client's way to its service: which target, address and handshake is tried when, and that it ends once."""

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio
import trio.testing

from curveproxy.proxy.connect.address import Address, Target
from curveproxy.proxy.connect.approach import Approach, Judgement, Progress, Then
from curveproxy.proxy.connect.attempt import AttemptError, DialAttempt
from curveproxy.proxy.connect.dial_request import BACKLOG_RETRY_SECONDS, DialRequest
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.reasons import BackendFailure, Outcome
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.negotiation import PlainInitiator

V31 = Version(Dialect.V3, 1)
ONE, TWO, THREE = ((socket.AF_INET, (f"127.0.0.{number}", 7)) for number in (1, 2, 3))
SECONDS = 9.0
REFUSED = OSError(errno.ECONNREFUSED, "refused")
TIMEOUT = BackendFailure.TIMEOUT


class Attempt(DialAttempt):
    """It does what the test says. error: what ``begin`` raises."""

    def __init__(self, initiator: Initiator, error: OSError | None) -> None:
        self.initiator, self.error = initiator, error
        self.socket, self.is_connecting = None, True
        self.address: Address | None = None

    def begin(self, address: Address) -> None:
        self.address, self.socket = address, socket.socket()
        if self.error is not None:
            raise self.error

    def connected(self) -> None:
        self.is_connecting = False


class Scripted(Approach):
    """It judges as the test says, and keeps what it was asked.

    at: the addresses of its name, or its fixed one; kind: what it says of who was greeted.
    """

    def __init__(self, *at: Address, fixed: bool = False, hurries: bool = False) -> None:
        super().__init__(Target(Endpoint("tcp", "name.invalid", 7), allow_remote=True))
        self.is_of_a_name, self.hurries = not fixed, hurries
        self.at = list(at)
        if fixed:
            self.addresses = list(at)
        self.kind: bytes | Judgement | None = None
        self.then = Then.NEXT
        self.asked: list[tuple[AttemptError, Progress]] = []
        self.initiators: list[Initiator] = []

    async def resolve(self) -> None:
        await trio.lowlevel.checkpoint()
        self.addresses = list(self.at)

    def initiator(self) -> Initiator:
        self.initiators.append(PlainInitiator({}))
        return self.initiators[-1]

    def accept(self, negotiated: Negotiated) -> bytes | Judgement | None:
        assert negotiated.version == V31
        return self.kind

    def judge(self, error: AttemptError, progress: Progress) -> Judgement:
        self.asked.append((error, progress))
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return Judgement(RefusedError(Outcome.SESSIONS_LIMIT), Then.END)
        return Judgement(DialError(BackendFailure.REFUSED), self.then)

    def late(self, progress: Progress) -> DialError:
        return DialError(TIMEOUT, progress.name)

    def conclude(self) -> DialError:
        return self.failures[-1][1] if self.failures else DialError(BackendFailure.UNREACHABLE)

    def succeeded(self, peer: Established) -> None:
        raise AssertionError("its dialer tells it")

    def failed(self) -> None:
        raise AssertionError("its dialer tells it")


class Dial:
    """A request, and its owner: a dialer that keeps what it is told.

    errors: what the next attempts raise as they begin.
    """

    def __init__(self, nursery: trio.Nursery, approaches: Sequence[Scripted], *errors: OSError | None) -> None:
        self._nursery, self._errors = nursery, list(errors)
        self.approaches = approaches
        self.attempts: list[Attempt] = []
        self.closed: list[socket.SocketType] = []
        self.left: list[BackendFailure] = []
        self.ends: list[Any] = []
        self.renewals = 0
        handler: Any = None
        self.request = DialRequest(self, handler, {"Socket-Type": b"DEALER"}, approaches, SECONDS)

    async def begin(self) -> Attempt:
        """The first attempt."""
        self.request.begin()
        await trio.testing.wait_all_tasks_blocked()
        return self.attempt

    @property
    def attempt(self) -> Attempt:
        return self.attempts[-1]

    @property
    def tried(self) -> list[Address | None]:
        return [each.address for each in self.attempts]

    def fail(self, error: AttemptError = REFUSED) -> None:
        self.request.attempt_failed(error)

    # --- as a dialer

    def new_attempt(self, dial: DialRequest, initiator: Initiator) -> DialAttempt:
        assert dial is self.request
        self.attempts.append(Attempt(initiator, self._errors.pop(0) if self._errors else None))
        return self.attempt

    def close(self, sock: socket.SocketType) -> None:
        self.closed.append(sock)
        sock.close()

    def is_under_way(self, dial: DialRequest) -> bool:
        assert dial is self.request
        return not self.ends

    def renewed(self, dial: DialRequest) -> None:
        assert trio.current_time() < dial.deadline <= trio.current_time() + SECONDS
        self.renewals += 1

    def spawn(self, owner: object, work: Callable[[], Awaitable[None]]) -> None:
        assert owner is self.request
        self._nursery.start_soon(work)

    def target_failed(self, dial: DialRequest, error: DialError) -> None:
        assert dial is self.request
        assert isinstance(error.failure, BackendFailure)
        self.left.append(error.failure)

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
    dial = Dial(nursery, [approach := Scripted(ONE)])
    approach.kind = b"ROUTER"
    (await dial.begin()).connected()
    sock = dial.attempt.socket
    dial.request.greeted(Negotiated({"X-A": b"1"}, V31, Plain(), b"more"))
    [peer] = dial.ends
    assert (peer.socket, peer.metadata, peer.leftover) == (sock, {"Socket-Type": b"ROUTER", "X-A": b"1"}, b"more")
    assert dial.closed == [], "it is somebody's now"
    peer.socket.close()


async def test_who_is_greeted_and_is_not_what_it_should_be_ends_it(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [approach := Scripted(ONE, TWO)])
    approach.kind = Judgement(DialError(BackendFailure.SOCKET_TYPE), Then.END)
    (await dial.begin()).connected()
    dial.request.greeted(Negotiated({}, V31, Plain()))
    assert dial.ended(BackendFailure.SOCKET_TYPE)


async def test_addresses_are_tried_one_after_the_other(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [approach := Scripted(ONE, TWO)])
    await dial.begin()
    dial.fail()
    assert dial.tried == [ONE, TWO]
    dial.fail()
    assert dial.ended(BackendFailure.REFUSED)
    assert [address for address, _ in approach.failures] == [ONE, TWO]
    assert [progress for _, progress in approach.asked] == [Progress.CONNECTING] * 2


async def test_a_name_without_an_address_ends_it(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [Scripted()])
    dial.request.begin()
    await trio.testing.wait_all_tasks_blocked()
    assert dial.ended(BackendFailure.UNREACHABLE)


async def test_an_address_that_can_not_even_be_begun_is_left_for_the_next(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [Scripted(ONE, TWO)], OSError(errno.EHOSTUNREACH, "no route"))
    await dial.begin()
    assert dial.tried == [ONE, TWO]
    dial.fail()
    assert dial.ended(BackendFailure.REFUSED)


async def test_what_the_system_has_too_little_of_ends_it_by_nobodys_fault(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [Scripted(ONE, TWO), Scripted(THREE)], OSError(errno.ENOSPC, "full"))
    await dial.begin()
    assert dial.ended(Outcome.SESSIONS_LIMIT)


async def test_an_address_that_does_not_answer_is_left_while_there_is_time(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    dial = Dial(nursery, [Scripted(ONE, TWO, THREE)])
    await dial.begin()
    await trio.sleep(SECONDS / 3 + 0.1)
    assert dial.tried == [ONE, TWO]
    dial.attempt.connected()
    await trio.sleep(SECONDS / 3 + 0.1)
    assert len(dial.attempts) == 2, "it has the connection, and all of the time that is left"
    dial.request.give_up()
    assert dial.ended(TIMEOUT)


async def test_where_handshakes_are_hurried_too_a_silent_address_is_left_for_the_next(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    dial = Dial(nursery, [approach := Scripted(ONE, TWO, hurries=True)])
    (await dial.begin()).connected()
    await trio.sleep(SECONDS / 2 + 0.1)
    assert dial.tried == [ONE, TWO]
    dial.attempt.connected()
    await trio.sleep(SECONDS / 2)
    assert len(dial.attempts) == 2, "the last has what is left"
    dial.request.give_up()
    assert dial.ended(TIMEOUT)
    assert [error.detail for _, error in approach.failures] == ["GREETING", "GREETING"]


async def test_nobody_watches_over_an_address_that_is_settled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    dial = Dial(nursery, [approach := Scripted(ONE, TWO, THREE, hurries=True)])
    await dial.begin()
    assert len(nursery.child_tasks) == 1
    dial.fail()
    await trio.testing.wait_all_tasks_blocked()
    assert len(nursery.child_tasks) == 1, "the next one's"
    dial.attempt.connected()
    approach.then = Then.AGAIN
    dial.fail()
    await trio.sleep(SECONDS / 2 + 0.1)
    assert dial.tried == [ONE, TWO, TWO, THREE], "it has its time for all attempts"
    dial.attempt.connected()
    dial.request.greeted(Negotiated({}, V31, Plain()))
    await trio.testing.wait_all_tasks_blocked()
    assert not nursery.child_tasks
    dial.ends[0].socket.close()


async def test_a_backlog_that_is_full_is_tried_again_soon_until_nobody_wants_it(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    full = [BlockingIOError(errno.EAGAIN, "full") for _ in range(3)]
    dial = Dial(nursery, [Scripted(ONE, fixed=True)], *full)
    await dial.begin()
    await trio.sleep(1.5 * BACKLOG_RETRY_SECONDS)
    assert len(dial.attempts) == 2
    dial.request.refuse(RefusedError(Outcome.SHUTDOWN))
    await trio.sleep(1)
    assert len(dial.attempts) == 2
    assert dial.ended(Outcome.SHUTDOWN)


async def test_once_more_is_at_the_same_address_with_another_handshake(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [approach := Scripted(ONE, TWO)])
    approach.then = Then.AGAIN
    (await dial.begin()).connected()
    dial.fail(EOFError())
    assert dial.tried == [ONE, ONE]
    assert [each.initiator for each in dial.attempts] == approach.initiators
    assert dial.ends == []
    approach.then = Then.END
    dial.attempt.connected()
    dial.fail(EOFError())
    assert dial.ended(BackendFailure.REFUSED)
    assert [progress for _, progress in approach.asked] == [Progress.GREETING] * 2


async def test_behind_a_targets_last_address_comes_the_next_target_with_all_of_the_time(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [Scripted(ONE), Scripted(TWO, fixed=True), last := Scripted(THREE)])
    await dial.begin()
    for address in (TWO, THREE):
        dial.fail()
        await trio.testing.wait_all_tasks_blocked()
        assert dial.attempt.address == address
    assert dial.left == [BackendFailure.REFUSED] * 2
    assert dial.renewals == 2
    assert dial.request.approach is last
    last.then = Then.END
    dial.fail()
    assert dial.ended(BackendFailure.REFUSED)
    assert [error.failure for error in dial.request.left] == dial.left


async def test_a_target_that_is_late_is_left_for_the_next_wherever_it_is(nursery: trio.Nursery) -> None:
    silent, unresolved = Scripted(ONE), Scripted(TWO)
    dial = Dial(nursery, [silent, unresolved, last := Scripted(THREE)])
    (await dial.begin()).connected()
    dial.request.give_up()
    dial.request.give_up()  # before the name of the second is resolved
    await trio.testing.wait_all_tasks_blocked()
    assert dial.left == [TIMEOUT] * 2
    assert dial.tried == [ONE, THREE]
    assert dial.request.approach is last
    dial.request.give_up()
    assert dial.ended(TIMEOUT)


async def test_who_is_no_longer_wanted_begins_no_other_target(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [Scripted(ONE), Scripted(TWO)])
    await dial.begin()
    dial.fail()
    dial.request.refuse(RefusedError(Outcome.SHUTDOWN))
    await trio.testing.wait_all_tasks_blocked()
    assert dial.tried == [ONE]
    assert dial.ended(Outcome.SHUTDOWN)


async def test_an_error_of_ours_ends_it(nursery: trio.Nursery) -> None:
    dial, error = Dial(nursery, [Scripted(ONE)]), ValueError("ours")
    await dial.begin()
    dial.request.failed(error)
    assert dial.ended(error)


async def test_what_takes_too_long_is_told_by_all_addresses(nursery: trio.Nursery) -> None:
    dial = Dial(nursery, [approach := Scripted(ONE, TWO)])
    await dial.begin()
    dial.fail()
    dial.request.give_up()
    assert dial.ended(TIMEOUT)
    assert [error.failure for _, error in approach.failures] == [BackendFailure.REFUSED, TIMEOUT]
    alone = Dial(nursery, [Scripted(ONE)])
    await alone.begin()
    alone.request.give_up()
    assert alone.ended(TIMEOUT)
