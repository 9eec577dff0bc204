"""One question for the certificates of a remote, for all dials that need its answer."""

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from curveproxy.proxy.connect.address import Address
from curveproxy.proxy.connect.attempt import AttemptError, AttemptOwner, DialAttempt
from curveproxy.proxy.connect.dial_request import BACKLOG_RETRY_SECONDS
from curveproxy.proxy.connect.failures import CLOSED, connect_failure, exhausted, question_failure
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.net.reactor import FailsAlone
from curveproxy.reasons import ClientFailure, Outcome
from curveproxy.wire.curve.asking import CertificateQuestion
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated

SILENT = "it does not answer"


class Connector(Protocol):
    """A dialer, to whoever needs a connection that is no client's."""

    def new_attempt(self, owner: AttemptOwner, initiator: Initiator, /) -> DialAttempt:
        """Make an attempt by an initiator."""

    def close(self, sock: socket.SocketType, /) -> None:
        """Close its connection."""

    def failed(self, error: Exception, /) -> None:
        """Report an error of ours."""

    @property
    def spawn(self) -> Callable[[FailsAlone, Callable[[], Awaitable[None]]], None]:
        """Starts a task."""


class Inquiry:
    """Asks at addresses in turn until one gives what is believed; all have the same time.

    learn: takes the texts of an answer; returns why none of them is believed.
    seconds: for all of it.
    address: who has answered; failures: of those before it; refusal: why nobody could be asked, by no fault of theirs.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        connector: Connector,
        learn: Callable[[Sequence[bytes]], DialError | None],
        seconds: float,
    ) -> None:
        self.address: Address | None = None
        self.failures: list[tuple[Address, DialError]] = []
        self.refusal: RefusedError | None = None
        self._left, self._connector, self._learn, self._seconds = list(addresses), connector, learn, seconds
        self._over, self._settled = trio.Event(), trio.Event()
        self._question = CertificateQuestion()
        self._attempt: DialAttempt | None = None

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    async def wait(self) -> None:
        """Until it is over."""
        await self._over.wait()

    async def run(self) -> None:
        """Ask."""
        ends = trio.current_time() + self._seconds
        while self._left and self.address is None and self.refusal is None:
            with trio.move_on_after(max(0.0, ends - trio.current_time()) / len(self._left)):
                await self._ask(self._left[0])
            if not self._settled.is_set():
                self._end(self.late())
        self._over.set()

    async def _ask(self, address: Address) -> None:
        self._settled, self._question = trio.Event(), CertificateQuestion()
        while True:
            attempt = self._attempt = self._connector.new_attempt(self, self._question)
            failure = None
            try:
                attempt.begin(address)
            except OSError as error:
                failure = error
            if not isinstance(failure, BlockingIOError) or failure.errno != errno.EAGAIN:
                break
            self._release()
            await trio.sleep(BACKLOG_RETRY_SECONDS)
        if failure is not None:
            self.attempt_failed(failure)
        await self._settled.wait()

    def late(self) -> DialError:
        """What it is called that there is no answer yet."""
        if self._attempt is None or self._attempt.is_connecting:
            return DialError(ClientFailure.CONNECT_TIMEOUT)
        return DialError(ClientFailure.CERTIFICATE_NONE, SILENT)

    # --- told by the attempt

    def greeted(self, _negotiated: Negotiated) -> None:
        self._end(self._learn(self._question.texts))

    def attempt_failed(self, error: AttemptError) -> None:
        is_connecting = self._attempt is None or self._attempt.is_connecting
        if (refusal := exhausted(error)) is not None:
            self._end(refusal)
        elif is_connecting and isinstance(error, OSError) and error.errno not in CLOSED:
            self._end(connect_failure(error))
        else:
            self._end(question_failure(error, is_curve=self._question.is_curve))

    def failed(self, error: Exception) -> None:
        """End it for an error of ours, also one in its task."""
        self._connector.failed(error)
        self._release()
        self.refusal = RefusedError(Outcome.INTERNAL)
        self._settled.set()
        self._over.set()

    def _end(self, found: DialError | RefusedError | None) -> None:
        """The present address is settled."""
        self._release()
        self._settled.set()
        address = self._left.pop(0)
        if isinstance(found, RefusedError):
            self.refusal = found
        elif found is not None:
            self.failures.append((address, found))
        else:
            self.address = address

    def _release(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and (sock := attempt.release()) is not None:
            self._connector.close(sock)
