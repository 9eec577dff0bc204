"""One question for certificates: whom it asks when, and that it ends once."""

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
import trio.testing
from support.tasks import spawner

from curveproxy.proxy.connect.address import Address
from curveproxy.proxy.connect.attempt import AttemptOwner, DialAttempt
from curveproxy.proxy.connect.dial_request import BACKLOG_RETRY_SECONDS
from curveproxy.proxy.connect.failures import NO_ANSWER
from curveproxy.proxy.connect.remotes.inquiry import SILENT, Inquiry
from curveproxy.proxy.errors import DialError
from curveproxy.proxy.net.reactor import FailsAlone
from curveproxy.reasons import ClientFailure, Outcome
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect

ONE, TWO, THREE = ((socket.AF_INET, (f"127.0.0.{number}", 7)) for number in (1, 2, 3))
ANSWERED = Negotiated({}, Version(Dialect.V3, 0), Plain())
SECONDS = 9.0


class Attempt(DialAttempt):
    """It does what the test says. error: what ``begin`` raises."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.socket, self.is_connecting = None, True
        self.address: Address | None = None

    def begin(self, address: Address) -> None:
        self.address, self.socket = address, socket.socket()
        if self.error is not None:
            raise self.error

    def connected(self) -> None:
        self.is_connecting = False


class Asking:
    """An inquiry, and its dialer. errors: what the next attempts raise as they begin; found: of the texts, in turn."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *at: Address,
        errors: Sequence[Exception | None] = (),
        found: Sequence[DialError | None] = (None,),
    ) -> None:
        self.attempts: list[Attempt] = []
        self.closed: list[socket.SocketType] = []
        self.told: list[Exception] = []
        self._errors, self._found, self._spawn = list(errors), list(found), spawner(nursery)
        self.inquiry = Inquiry(at, self, self._learn, SECONDS)
        self.spawn(self.inquiry, self.inquiry.run)

    def _learn(self, texts: Sequence[bytes]) -> DialError | None:
        assert texts == []
        return self._found.pop(0)

    async def attempt(self) -> Attempt:
        """The present one."""
        await trio.testing.wait_all_tasks_blocked()
        return self.attempts[-1]

    @property
    def tried(self) -> list[Address | None]:
        return [each.address for each in self.attempts]

    async def is_over(self) -> bool:
        """Whether it has ended, and no socket is left open."""
        await trio.testing.wait_all_tasks_blocked()
        opened = [each for each in self.attempts if each.address is not None]
        return self.inquiry.is_over and len(self.closed) == len(opened)

    # --- as a dialer

    def new_attempt(self, owner: AttemptOwner, initiator: Initiator, /) -> DialAttempt:
        assert owner is self.inquiry
        assert not initiator.done
        self.attempts.append(Attempt(self._errors.pop(0) if self._errors else None))
        return self.attempts[-1]

    def close(self, sock: socket.SocketType, /) -> None:
        self.closed.append(sock)
        sock.close()

    def failed(self, error: Exception, /) -> None:
        self.told.append(error)

    @property
    def spawn(self) -> Callable[[FailsAlone, Callable[[], Awaitable[None]]], None]:
        return self._spawn


def words(asking: Asking) -> list[tuple[Address, str]]:
    return [(address, str(error.failure)) for address, error in asking.inquiry.failures]


async def test_who_gives_what_is_believed_is_the_last_that_is_asked(nursery: trio.Nursery) -> None:
    asking = Asking(nursery, ONE, TWO)
    (await asking.attempt()).connected()
    asking.inquiry.greeted(ANSWERED)
    assert await asking.is_over()
    assert (asking.inquiry.address, asking.tried, asking.inquiry.failures) == (ONE, [ONE], [])
    await asking.inquiry.wait()


async def test_who_is_not_believed_or_not_there_is_left_for_the_next(nursery: trio.Nursery) -> None:
    unbelieved = DialError(ClientFailure.CERTIFICATE, "expired")
    asking = Asking(nursery, ONE, TWO, THREE, errors=[OSError(errno.EHOSTUNREACH, "no")], found=[unbelieved, None])
    (await asking.attempt()).connected()
    asking.inquiry.greeted(ANSWERED)
    (await asking.attempt()).connected()
    asking.inquiry.greeted(ANSWERED)
    assert await asking.is_over()
    assert asking.inquiry.address == THREE
    assert words(asking) == [(ONE, "connect"), (TWO, "certificate")]


@pytest.mark.parametrize(
    ("error", "connecting", "word"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), True, ClientFailure.CONNECT_REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "no"), True, ClientFailure.CERTIFICATE_NONE),
        (ConnectionResetError(errno.ECONNRESET, "no"), False, ClientFailure.CERTIFICATE_NONE),
        (EOFError(), False, ClientFailure.CERTIFICATE_NONE),
    ],
)
async def test_a_connection_that_was_closed_is_told_from_one_that_never_was(
    nursery: trio.Nursery, error: OSError | EOFError, connecting: bool, word: ClientFailure
) -> None:
    asking = Asking(nursery, ONE)
    (await asking.attempt()).is_connecting = connecting
    asking.inquiry.attempt_failed(error)
    assert await asking.is_over()
    assert words(asking) == [(ONE, word)]
    assert asking.inquiry.address is None
    assert (asking.inquiry.failures[0][1].detail == NO_ANSWER) == (word == ClientFailure.CERTIFICATE_NONE)


async def test_all_addresses_have_the_same_time(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    asking = Asking(nursery, ONE, TWO, THREE)
    await asking.attempt()
    assert asking.inquiry.late().failure == ClientFailure.CONNECT_TIMEOUT
    await trio.sleep(SECONDS / 3 + 0.1)
    assert asking.tried == [ONE, TWO]
    asking.attempts[-1].connected()
    assert asking.inquiry.late().failure == ClientFailure.CERTIFICATE_NONE
    assert asking.inquiry.late().detail == SILENT
    await trio.sleep(SECONDS * 2 / 3)
    assert await asking.is_over()
    none = ClientFailure.CERTIFICATE_NONE
    assert words(asking) == [
        (ONE, ClientFailure.CONNECT_TIMEOUT),
        (TWO, none),
        (THREE, ClientFailure.CONNECT_TIMEOUT),
    ]


async def test_a_backlog_that_is_full_is_tried_again_soon(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    asking = Asking(nursery, ONE, errors=[BlockingIOError(errno.EAGAIN, "full")] * 2)
    await trio.sleep(3 * BACKLOG_RETRY_SECONDS)
    assert len(asking.attempts) == 3
    asking.inquiry.greeted(ANSWERED)
    assert await asking.is_over()
    assert asking.inquiry.address == ONE


async def test_what_the_system_has_too_little_of_ends_it_by_nobodys_fault(nursery: trio.Nursery) -> None:
    asking = Asking(nursery, ONE, TWO, errors=[OSError(errno.EMFILE, "none left")])
    assert await asking.is_over()
    assert asking.inquiry.refusal is not None
    assert asking.inquiry.refusal.outcome == Outcome.SESSIONS_LIMIT
    assert (asking.tried, asking.inquiry.failures, asking.told) == ([ONE], [], [])


@pytest.mark.parametrize("where", ["in the reactor", "in its task"])
async def test_an_error_of_ours_ends_it_and_is_told(nursery: trio.Nursery, where: str) -> None:
    error = ValueError("ours")
    asking = Asking(nursery, ONE, TWO, errors=[error] if where == "in its task" else ())
    await asking.attempt()
    if where == "in the reactor":
        asking.inquiry.failed(error)
    assert await asking.is_over()
    assert asking.told == [error]
    assert asking.inquiry.refusal is not None
    assert asking.inquiry.refusal.outcome == Outcome.INTERNAL
