"""A request to dial a service for one client: it tries addresses in turn, and each pacing that the service may need."""

import errno
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Protocol

import trio

from curveproxy.policy.metadata import is_safe_identity
from curveproxy.proxy.connect.address import Address
from curveproxy.proxy.connect.attempt import DialAttempt
from curveproxy.proxy.connect.failures import failure_of, nearest
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.deadlines import Deadline
from curveproxy.proxy.net.reactor import FailsAlone
from curveproxy.reasons import BackendFailure
from curveproxy.wire import spec
from curveproxy.wire.security import Negotiated
from curveproxy.wire.zmtp.metadata import find
from curveproxy.wire.zmtp.null import Pacing

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

    def new_attempt(self, dial: "DialRequest", pacing: Pacing) -> DialAttempt:
        """Make an attempt with the client's metadata."""

    def close(self, sock: socket.socket) -> None:
        """Close a connection to the service."""

    def is_under_way(self, dial: "DialRequest") -> bool:
        """Whether its handler has not been called yet."""

    def type_of(self, dial: "DialRequest", negotiated: Negotiated) -> bytes | DialError | None:
        """The socket type of the service, or why it does not fit the client's."""

    def spawn(self, owner: FailsAlone, work: Callable[[], Awaitable[None]]) -> None:
        """Start a task."""

    def dial_succeeded(self, dial: "DialRequest", peer: Established) -> None: ...
    def dial_failed(self, dial: "DialRequest", error: DialError) -> None: ...
    def dial_refused(self, dial: "DialRequest", error: RefusedError) -> None: ...
    def dial_broke(self, dial: "DialRequest", error: Exception) -> None: ...


class DialRequest(Deadline):
    """Makes attempts until one succeeds or nothing is left to try.

    handler: who wants the service; metadata: what the service is told of the client.
    failures: of addresses that were tried or ruled out.
    """

    __slots__ = (
        "_addresses",
        "_attempt",
        "_of_a_name",
        "_owner",
        "_pacing",
        "_patience",
        "began",
        "failures",
        "handler",
        "metadata",
    )

    def __init__(self, owner: DialOwner, handler: DialHandler, metadata: Mapping[str, bytes], pacing: Pacing) -> None:
        super().__init__(inf)
        self.handler, self.metadata, self.began = handler, metadata, inf
        self.failures: list[tuple[Address, DialError]] = []
        self._owner, self._pacing = owner, pacing
        self._addresses: list[Address] = []
        self._of_a_name = False
        self._patience = inf
        self._attempt: DialAttempt | None = None

    def rule_out(self, addresses: Sequence[Address], why: str) -> None:
        """Record addresses that must not be dialled."""
        self.failures += [(each, DialError(BackendFailure.UNREACHABLE, why)) for each in addresses]

    @property
    def address(self) -> Address:
        """The address of the present attempt."""
        return self._addresses[0]

    def begin(self, addresses: Sequence[Address], *, of_a_name: bool = False) -> None:
        """Begin with these addresses. Each has an equal part of the time to accept the connection."""
        self._addresses, self._of_a_name = list(addresses), of_a_name
        self._patience = (self.deadline - trio.current_time()) / len(addresses)
        self._try()

    def _try(self) -> None:
        attempt = self._attempt = self._owner.new_attempt(self, self._pacing)
        failure = None
        try:
            attempt.begin(self.address)
        except OSError as error:
            failure = error
        if failure is None:
            if self._is_connecting and len(self._addresses) > 1:
                self._owner.spawn(self, partial(self._hurry, self.address))
        elif isinstance(failure, BlockingIOError) and failure.errno == errno.EAGAIN:
            self._close_attempt()
            self._owner.spawn(self, self._try_again)
        else:
            self.attempt_failed(failure_of(failure))

    @property
    def _is_connecting(self) -> bool:
        return self._attempt is None or self._attempt.is_connecting

    async def _try_again(self) -> None:
        await trio.sleep(BACKLOG_RETRY_SECONDS)
        if self._owner.is_under_way(self):
            self._try()

    async def _hurry(self, address: Address) -> None:
        """Give up an address that does not answer while there is time for the next one."""
        await trio.sleep(self._patience)
        if self._owner.is_under_way(self) and self._is_connecting and self.address is address:
            self.attempt_failed(DialError(BackendFailure.TIMEOUT, "no answer"))

    # --- told by the attempt

    def greeted(self, negotiated: Negotiated) -> None:
        """Check that service and client fit each other."""
        socket_type = _fault_of(negotiated.metadata) or self._owner.type_of(self, negotiated)
        if isinstance(socket_type, DialError):
            self.attempt_failed(socket_type)
            return
        attempt, self._attempt = self._attempt, None
        assert attempt is not None
        sock = attempt.release()
        assert sock is not None
        metadata = negotiated.metadata
        if socket_type and not find(metadata, "Socket-Type"):
            metadata = {"Socket-Type": socket_type, **metadata}
        self._owner.dial_succeeded(
            self,
            Established(sock, metadata, negotiated.version, negotiated.security, negotiated.leftover),
        )

    def attempt_failed(self, error: DialError | RefusedError) -> None:
        """Try the next address, or another pacing, or end."""
        if isinstance(error, RefusedError):
            self.refuse(error)
            return
        failure, was_connecting = error.failure, self._is_connecting
        knows_version = self._attempt is not None and self._attempt.knows_version
        self._close_attempt()
        if was_connecting and failure != BackendFailure.CLOSED:
            self._try_next(error)
        elif self._pacing == Pacing.PIPELINED and failure in (BackendFailure.GREETING, BackendFailure.CLOSED):
            self._greet_again(Pacing.STEPWISE)  # another program may listen there now
        elif self._pacing == Pacing.STEPWISE and failure == BackendFailure.CLOSED and knows_version:
            self._greet_again(Pacing.PEER_FIRST)  # libzmq closes so when the socket types do not fit
        else:
            self._owner.dial_failed(self, error)

    def _try_next(self, error: DialError) -> None:
        self.failures.append((self._addresses.pop(0), error))
        if self._addresses:
            self._try()
        else:
            self._owner.dial_failed(self, nearest(self.failures) if self._of_a_name else error)

    def _greet_again(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._try()

    # --- the end

    def give_up(self) -> None:
        """The deadline has passed."""
        self._close_attempt()
        if self.failures and self._addresses:
            self.failures.append((self.address, DialError(BackendFailure.TIMEOUT, "no answer")))
        late = nearest(self.failures) if self.failures else DialError(BackendFailure.TIMEOUT)
        self._owner.dial_failed(self, late)

    def refuse(self, error: RefusedError) -> None:
        """End it by no fault of the service."""
        self._close_attempt()
        self._owner.dial_refused(self, error)

    def failed(self, error: Exception) -> None:
        self._close_attempt()
        self._owner.dial_broke(self, error)

    def _close_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and (sock := attempt.release()) is not None:
            self._owner.close(sock)


def _fault_of(metadata: Mapping[str, bytes]) -> DialError | None:
    """What a client must not be shown of a service's metadata."""
    if not is_safe_identity(find(metadata, "Identity")):
        return DialError(BackendFailure.HANDSHAKE, "its identity is too long or begins with a zero octet")
    if len(find(metadata, "Socket-Type") or b"") > spec.SOCKET_TYPE_MAX:
        return DialError(BackendFailure.HANDSHAKE, "its socket type is too long")
    return None
