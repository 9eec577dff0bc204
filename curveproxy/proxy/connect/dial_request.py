"""A request to dial for one client: it tries targets in turn, of each all addresses, each in all ways of greeting."""

import errno
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import trio

from curveproxy.proxy.connect.address import Address
from curveproxy.proxy.connect.approach import Approach, Judgement, Progress, Then
from curveproxy.proxy.connect.attempt import AttemptError, DialAttempt
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.deadlines import Deadline
from curveproxy.proxy.net.reactor import FailsAlone
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated
from curveproxy.wire.zmtp.metadata import find

# A Unix socket with a full backlog does not report when there is room again.
BACKLOG_RETRY_SECONDS = 0.02


class DialHandler(Protocol):
    """Who wants a service. One of the three is called, once."""

    def connected(self, peer: Established) -> None:
        """The service has been greeted."""

    def refused(self, error: DialError | RefusedError) -> None:
        """The service can not be had. RefusedError: it is not at fault."""

    def failed(self, error: Exception) -> None:
        """The service can not be had, for an error of ours."""


class DialOwner(Protocol):
    """A dialer, to its dials."""

    def new_attempt(self, owner: "DialRequest", initiator: Initiator, /) -> DialAttempt:
        """Make an attempt by an initiator."""

    def close(self, sock: socket.SocketType) -> None:
        """Close a connection to the service."""

    def is_under_way(self, dial: "DialRequest") -> bool:
        """Whether its handler has not been called yet."""

    def renewed(self, dial: "DialRequest") -> None:
        """It has another deadline, behind those of all others."""

    def spawn(self, owner: FailsAlone, work: Callable[[], Awaitable[None]]) -> None:
        """Start a task."""

    def target_failed(self, dial: "DialRequest", error: DialError) -> None:
        """Its present target can not be had, and there is another."""

    def dial_succeeded(self, dial: "DialRequest", peer: Established) -> None: ...
    def dial_failed(self, dial: "DialRequest", error: DialError) -> None: ...
    def dial_refused(self, dial: "DialRequest", error: RefusedError) -> None: ...
    def dial_broke(self, dial: "DialRequest", error: Exception) -> None: ...


class DialRequest(Deadline):
    """Makes attempts until one succeeds or nothing is left to try.

    handler: who wants the service; metadata: what the service is told of the client.
    approaches: to the targets, in the order in which they are tried; seconds: for each of them.
    approach: the one to the present target.
    left: the failures of targets before the present one; has_several: whether there is more than one.
    """

    __slots__ = (
        "_attempt",
        "_hurry",
        "_later",
        "_owner",
        "_seconds",
        "approach",
        "began",
        "handler",
        "has_several",
        "left",
        "metadata",
    )

    def __init__(
        self,
        owner: DialOwner,
        handler: DialHandler,
        metadata: Mapping[str, bytes],
        approaches: Sequence[Approach],
        seconds: float,
    ) -> None:
        self.handler, self.metadata, self._seconds, self.began = handler, metadata, seconds, trio.current_time()
        super().__init__(self.began + seconds)
        self.left: list[DialError] = []
        self.has_several = len(approaches) > 1
        self._owner = owner
        self.approach, *self._later = approaches
        self._hurry: trio.CancelScope | None = None  # of who watches over the present address
        self._attempt: DialAttempt | None = None

    def begin(self) -> None:
        """Begin with the first target."""
        if self.approach.is_prepared:
            self._try_address()
        else:
            self._owner.spawn(self, partial(self._prepare, self.approach))

    async def _prepare(self, approach: Approach) -> None:
        judgement = await approach.prepare()
        if not self._owner.is_under_way(self) or self.approach is not approach:
            return  # it took too long
        if judgement is None:
            self._try_address()
        else:
            self._go_on(judgement)

    def _try_address(self) -> None:
        address = self.approach.addresses[0]
        self._try()
        if self._may_hurry and self.address is address:
            patience = (self.deadline - trio.current_time()) / len(self.approach.addresses)
            self._hurry = trio.CancelScope()
            self._owner.spawn(self, partial(self._hurry_on, address, patience, self._hurry))

    @property
    def address(self) -> Address | None:
        """The address of the present attempt."""
        return next(iter(self.approach.addresses), None)

    @property
    def _may_hurry(self) -> bool:
        """Whether the present address has a part of the time only, which all that are left have alike."""
        approach = self.approach
        return len(approach.addresses) > 1 and (approach.hurries or self._progress == Progress.CONNECTING)

    def _try(self) -> None:
        address = self.approach.addresses[0]
        attempt = self._attempt = self._owner.new_attempt(self, self.approach.initiator())
        failure = None
        try:
            attempt.begin(address)
        except OSError as error:
            failure = error
        if isinstance(failure, BlockingIOError) and failure.errno == errno.EAGAIN:
            self._close_attempt()
            self._owner.spawn(self, partial(self._try_again, address))
        elif failure is not None:
            self.attempt_failed(failure)

    @property
    def _progress(self) -> Progress:
        if not self.approach.addresses:
            return Progress.RESOLVING
        is_connecting = self._attempt is None or self._attempt.is_connecting
        return Progress.CONNECTING if is_connecting else Progress.GREETING

    async def _try_again(self, address: Address) -> None:
        await trio.sleep(BACKLOG_RETRY_SECONDS)
        if self._owner.is_under_way(self) and self.address is address:
            self._try()

    async def _hurry_on(self, address: Address, patience: float, scope: trio.CancelScope) -> None:
        """Give up an address that does not answer while there is time for the next one."""
        with scope:
            await trio.sleep(patience)
            if self._owner.is_under_way(self) and self.address is address and self._may_hurry:
                late = self.approach.late(self._progress)
                self._leave_address()
                self._try_next(late)

    # --- told by the attempt

    def greeted(self, negotiated: Negotiated) -> None:
        """Check that service and client fit each other."""
        socket_type = self.approach.accept(negotiated)
        if isinstance(socket_type, Judgement):
            self._go_on(socket_type)
            return
        attempt, self._attempt = self._attempt, None
        self._leave_address()
        sock = None if attempt is None else attempt.release()
        assert sock is not None
        self._owner.dial_succeeded(self, _established(sock, negotiated, socket_type))

    def attempt_failed(self, error: AttemptError) -> None:
        """Try once more, or the next address, or the next target, or end."""
        self._go_on(self.approach.judge(error, self._progress))

    def _go_on(self, judgement: Judgement) -> None:
        found, then = judgement
        if isinstance(found, RefusedError):
            self.refuse(found)
            return
        if then == Then.AGAIN:
            self._close_attempt()
            self._try()
            return
        self._leave_address()
        if then == Then.AFRESH:
            self._owner.spawn(self, partial(self._prepare, self.approach))
        elif then == Then.NEXT:
            self._try_next(found)
        elif then == Then.LEAVE:
            self._leave_target(found)
        else:
            self._owner.dial_failed(self, found)

    def _try_next(self, error: DialError) -> None:
        if self.approach.leave_address(error):
            self._try_address()
        else:
            self._leave_target(self.approach.conclude() if self.approach.is_of_a_name else error)

    def _leave_target(self, error: DialError) -> None:
        """Go on with the next target, if there is one."""
        if not self._later:
            self._owner.dial_failed(self, error)
            return
        self._owner.target_failed(self, error)
        self.left.append(error)
        self.approach = self._later.pop(0)
        self.deadline = trio.current_time() + self._seconds
        self._owner.renewed(self)
        self._owner.spawn(self, partial(self._begin_next, self.approach))

    async def _begin_next(self, approach: Approach) -> None:
        if self._owner.is_under_way(self) and self.approach is approach:
            self.begin()

    # --- the end

    def give_up(self) -> None:
        """The deadline of the present target has passed."""
        approach = self.approach
        late = approach.late(self._progress)
        self._leave_address()
        if approach.failures and approach.addresses:
            approach.leave_address(late)
        self._leave_target(approach.conclude() if approach.failures else late)

    def refuse(self, error: RefusedError) -> None:
        """End it by no fault of the service."""
        self._leave_address()
        self._owner.dial_refused(self, error)

    def failed(self, error: Exception) -> None:
        self._leave_address()
        self._owner.dial_broke(self, error)

    def _leave_address(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
        self._close_attempt()

    def _close_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and (sock := attempt.release()) is not None:
            self._owner.close(sock)


def _established(sock: socket.SocketType, negotiated: Negotiated, socket_type: bytes | None) -> Established:
    """A service that was greeted. socket_type: what it is, whether it has said so or not."""
    metadata = negotiated.metadata
    if socket_type and not find(metadata, "Socket-Type"):
        metadata = {"Socket-Type": socket_type, **metadata}
    return Established(sock, metadata, negotiated.version, negotiated.security, negotiated.leftover)
