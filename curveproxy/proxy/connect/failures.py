"""Translates what goes wrong while a service is dialled into ``BackendFailure``."""

import errno
from collections.abc import Mapping, Sequence

from curveproxy.proxy.connect.address import Address, address_text
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.net.sockets import EXHAUSTED
from curveproxy.reasons import BackendFailure, Outcome
from curveproxy.wire.errors import Fault, PeerError

FAILURES: Mapping[Fault, BackendFailure] = {
    Fault.NOT_ZMTP: BackendFailure.GREETING,
    Fault.ZMTP_VERSION: BackendFailure.GREETING,
    Fault.MECHANISM: BackendFailure.MECHANISM,
    Fault.COMMAND: BackendFailure.HANDSHAKE,
    Fault.READY: BackendFailure.HANDSHAKE,
    Fault.METADATA: BackendFailure.HANDSHAKE,
    Fault.OLD_HANDSHAKE: BackendFailure.HANDSHAKE,
    Fault.SOCKET_TYPE: BackendFailure.SOCKET_TYPE,
}

_ERRNO = {
    errno.ECONNREFUSED: BackendFailure.REFUSED,
    errno.ENOENT: BackendFailure.REFUSED,  # the path of a Unix socket: its service has not started
    errno.ECONNRESET: BackendFailure.CLOSED,
    errno.EPIPE: BackendFailure.CLOSED,
    errno.ETIMEDOUT: BackendFailure.TIMEOUT,
}

# After these, a check whether somebody listens is enough; after others only a dial for a client can tell.
NOBODY_LISTENS = (BackendFailure.REFUSED, BackendFailure.UNREACHABLE)

# Of several failures, the first of these is reported: it came nearest to an answer.
_NEAREST = (BackendFailure.TIMEOUT, BackendFailure.REFUSED, BackendFailure.CLOSED, BackendFailure.UNREACHABLE)


def failure_of(error: PeerError | OSError) -> DialError | RefusedError:
    """The failure for an error. RefusedError: the system has run out of something, and the service is not at fault."""
    if isinstance(error, PeerError):
        return DialError(FAILURES[error.fault], error.detail)
    number = error.errno or 0
    if number in EXHAUSTED:
        return RefusedError(Outcome.SESSIONS_LIMIT, EXHAUSTED[number])
    return DialError(_ERRNO.get(number, BackendFailure.UNREACHABLE), (error.strerror or "").lower())


def nearest(failures: Sequence[tuple[Address, DialError]]) -> DialError:
    """One failure for all addresses of a name."""
    failure = min((error.failure for _, error in failures), key=_NEAREST.index)
    return DialError(failure, "; ".join(f"{address_text(address)}: {error.detail}" for address, error in failures))
