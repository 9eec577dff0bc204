"""Translates what goes wrong in a dial: into ``BackendFailure``, and where CURVE is spoken into ``ClientFailure``."""

import errno
from collections.abc import Mapping, Sequence

from curveproxy.policy.access.judgement import FLAWS, told
from curveproxy.proxy.connect.address import Address, address_text
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.net.sockets import EXHAUSTED
from curveproxy.reasons import BackendFailure, ClientFailure, DialFailure, Outcome
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

# What a fault of a CURVE server is called.
CAUSES: Mapping[Fault, ClientFailure] = {
    Fault.NOT_ZMTP: ClientFailure.NOT_ZMTP,
    Fault.ZMTP_VERSION: ClientFailure.ZMTP_VERSION,
    Fault.MECHANISM: ClientFailure.MECHANISM,
    Fault.ROLE: ClientFailure.ROLE,
    Fault.COMMAND: ClientFailure.COMMAND,
    Fault.WELCOME: ClientFailure.WELCOME,
    Fault.READY: ClientFailure.READY,
    Fault.METADATA: ClientFailure.READY,
    Fault.REFUSED: ClientFailure.REFUSED,
}

# What a fault of whoever was asked for certificates is called.
ASKED: Mapping[Fault, ClientFailure] = {
    Fault.NOT_ZMTP: ClientFailure.NOT_ZMTP,
    Fault.ZMTP_VERSION: ClientFailure.ZMTP_VERSION,
    Fault.MECHANISM: ClientFailure.MECHANISM,
    Fault.ROLE: ClientFailure.ROLE,
    Fault.COMMAND: ClientFailure.COMMAND,
    Fault.CERTIFICATE_TOO_LARGE: ClientFailure.CERTIFICATE,
    Fault.CERTIFICATE_MALFORMED: ClientFailure.CERTIFICATE,
}

# Errors of a connection that stood, if only for a moment.
CLOSED = (errno.ECONNRESET, errno.EPIPE)

_ERRNO = {
    errno.ECONNREFUSED: BackendFailure.REFUSED,
    errno.ENOENT: BackendFailure.REFUSED,  # the path of a Unix socket: its service has not started
    errno.ECONNRESET: BackendFailure.CLOSED,
    errno.EPIPE: BackendFailure.CLOSED,
    errno.ETIMEDOUT: BackendFailure.TIMEOUT,
}

_CONNECT = {
    errno.ECONNREFUSED: ClientFailure.CONNECT_REFUSED,
    errno.ENOENT: ClientFailure.CONNECT_REFUSED,
    errno.ETIMEDOUT: ClientFailure.CONNECT_TIMEOUT,
}

# Of several failures, the first of these is reported: it came nearest to an answer.
_NEAREST = (BackendFailure.TIMEOUT, BackendFailure.REFUSED, BackendFailure.CLOSED, BackendFailure.UNREACHABLE)
# From a remote that was greeted to one that was not even found.
_FURTHEST = (
    ClientFailure.SOCKET_TYPE,
    ClientFailure.RECORDS,
    ClientFailure.REFUSED,
    ClientFailure.READY,
    ClientFailure.READY_TIMEOUT,
    ClientFailure.READY_CLOSED,
    ClientFailure.WELCOME,
    ClientFailure.WELCOME_TIMEOUT,
    ClientFailure.WELCOME_CLOSED,
    ClientFailure.CERTIFICATE,
    ClientFailure.CERTIFICATE_EXPIRED,
    ClientFailure.CERTIFICATE_OLDER,
    ClientFailure.CERTIFICATE_NAME,
    ClientFailure.CERTIFICATE_NONE,
    ClientFailure.COMMAND,
    ClientFailure.ROLE,
    ClientFailure.MECHANISM,
    ClientFailure.ZMTP_VERSION,
    ClientFailure.NOT_ZMTP,
    ClientFailure.GREETING_TIMEOUT,
    ClientFailure.GREETING_CLOSED,
    ClientFailure.CONNECT_TIMEOUT,
    ClientFailure.CONNECT_REFUSED,
    ClientFailure.CONNECT,
    ClientFailure.RESOLVE_TIMEOUT,
    ClientFailure.RESOLVE,
    ClientFailure.KEYS,
)

# A server that closes later than that, awaited for WELCOME, has not closed because of what HELLO said.
AT_ONCE_SECONDS = 3.0

# Of a server that closes when it is asked for certificates, as all do that do not know the question.
NO_ANSWER = "it closes when it is asked"

# How servers refuse a socket type, as they refuse a key.
UNWANTED = (ClientFailure.READY_CLOSED, ClientFailure.REFUSED)

# After these, a check whether somebody listens is enough; after others only a dial for a client can tell.
_NOBODY_LISTENS: Mapping[type, Sequence[DialFailure]] = {
    BackendFailure: (BackendFailure.REFUSED, BackendFailure.UNREACHABLE),
    ClientFailure: (
        ClientFailure.RESOLVE,
        ClientFailure.CONNECT,
        ClientFailure.CONNECT_REFUSED,
        ClientFailure.CONNECT_TIMEOUT,
    ),
}


def nobody_listens(failure: DialFailure) -> bool:
    """Whether it seems that nobody listens there. One word may stand in both lists and mean two things."""
    return failure in _NOBODY_LISTENS[type(failure)]


def exhausted(error: Exception) -> RefusedError | None:
    """Whether the system has run out of something, so that the service is not at fault."""
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        return RefusedError(Outcome.SESSIONS_LIMIT, EXHAUSTED[error.errno])
    return None


def failure_of(error: PeerError | OSError | EOFError) -> DialError | RefusedError:
    """The failure of a backend for an error. RefusedError: the backend is not at fault."""
    if isinstance(error, PeerError):
        return DialError(FAILURES[error.fault], error.detail)
    if isinstance(error, EOFError):
        return DialError(BackendFailure.CLOSED)
    return exhausted(error) or DialError(_ERRNO.get(error.errno or 0, BackendFailure.UNREACHABLE), _text(error))


def connect_failure(error: OSError) -> DialError:
    """The failure of a remote to which there is no connection."""
    return DialError(_CONNECT.get(error.errno or 0, ClientFailure.CONNECT), _text(error))


def handshake_failure(error: PeerError | OSError | EOFError, stage: str, seconds: float) -> DialError:
    """The failure of a handshake with a CURVE server, to an egress and to ``probe``.

    stage: what was awaited of it: greeting, welcome, ready; seconds: for how long.
    """
    if isinstance(error, PeerError):
        if error.fault == Fault.REFUSED and stage == "welcome":  # of HELLO: so it has another key
            return DialError(ClientFailure.WELCOME_CLOSED, f"it said ERROR {error.detail}".rstrip())
        detail = error.detail if error.fault != Fault.REFUSED or error.detail.isdecimal() else ""
        return DialError(CAUSES[error.fault], detail)
    late = isinstance(error, OSError) and error.errno == errno.ETIMEDOUT
    late |= stage == "welcome" and seconds > AT_ONCE_SECONDS
    return DialError(ClientFailure(f"{stage}_timeout" if late else f"{stage}_closed"))


def question_failure(error: PeerError | OSError | EOFError, *, is_curve: bool) -> DialError:
    """The failure of a question for certificates, to an egress and to ``probe``.

    is_curve: what the question has seen of a greeting says CURVE.
    """
    if not isinstance(error, PeerError):
        return DialError(ClientFailure.CERTIFICATE_NONE, NO_ANSWER)
    if error.fault == Fault.MECHANISM and is_curve:
        return DialError(ClientFailure.CERTIFICATE_NONE, NO_ANSWER)
    failure = ASKED[error.fault]
    is_flaw = failure == ClientFailure.CERTIFICATE
    return DialError(failure, told(FLAWS[error.fault], error.detail) if is_flaw else error.detail)


def _text(error: OSError) -> str:
    return (error.strerror or "").lower()


def nearest(failures: Sequence[tuple[Address, DialError]]) -> DialError:
    """One failure of a backend for all addresses of its name."""
    failure = min((error.failure for _, error in failures), key=_NEAREST.index)
    return DialError(failure, "; ".join(f"{address_text(address)}: {_said(error)}" for address, error in failures))


def _said(error: DialError) -> str:
    return error.detail or ("no answer" if error.failure == BackendFailure.TIMEOUT else str(error.failure))


def furthest(failures: Sequence[DialError]) -> DialError:
    """Of the failures of remotes, or of a remote's addresses, the one that came nearest to a session."""
    return min(failures, key=lambda each: _FURTHEST.index(each.failure))
