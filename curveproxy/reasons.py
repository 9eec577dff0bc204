"""The closed lists of reasons, which are metric labels, words of the log and of every hint.

Each list is a promise to those who wrote an alert on it: members are added with a line in the
changelog and never renamed. This module imports nothing of ours, every room may import it.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """How a handshake ended. Every accepted connection has exactly one."""

    ADMITTED = "admitted"
    # before a key has been used
    NOT_ZMTP = "not_zmtp"
    ZMTP_VERSION = "zmtp_version"
    MECHANISM = "mechanism"
    ROLE = "role"
    COMMAND = "command"
    HELLO_MALFORMED = "hello_malformed"
    HELLO_VERSION = "hello_version"
    HELLO_BOX = "hello_box"
    INITIATE_MALFORMED = "initiate_malformed"
    INITIATE_TOO_LARGE = "initiate_too_large"
    COOKIE = "cookie"
    INITIATE_BOX = "initiate_box"
    VOUCH = "vouch"
    # the client is who it says it is
    METADATA = "metadata"
    CLIENT_UNKNOWN = "client_unknown"
    SOCKET_TYPE = "socket_type"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    # no fault in what was said
    TIMEOUT = "timeout"
    EVICTED = "evicted"
    SOURCE_LIMIT = "source_limit"
    SESSIONS_LIMIT = "sessions_limit"
    PEER_CLOSED = "peer_closed"
    PROBE = "probe"
    SHUTDOWN = "shutdown"
    INTERNAL = "internal"


class Closed(StrEnum):
    """How a session ended."""

    CLIENT_CLOSED = "client_closed"
    CLIENT_RESET = "client_reset"
    BACKEND_CLOSED = "backend_closed"
    BACKEND_RESET = "backend_reset"
    INVALID_MESSAGE = "invalid_message"
    IDLE = "idle"
    HEARTBEAT = "heartbeat"
    REVOKED = "revoked"
    DRAINED = "drained"
    LIMIT = "limit"
    INTERNAL = "internal"


class Invalid(StrEnum):
    """What was wrong with a frame after the handshake."""

    FRAMING = "framing"
    NOT_MESSAGE = "not_message"
    TOO_SHORT = "too_short"
    OUTER_MORE = "outer_more"
    NONCE = "nonce"
    GAP = "gap"
    BOX = "box"
    COMMAND = "command"
    TOO_LARGE = "too_large"


class BackendFailure(StrEnum):
    """Why a backend could not be used."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    GREETING = "greeting"
    MECHANISM = "mechanism"
    HANDSHAKE = "handshake"
    SOCKET_TYPE = "socket_type"
    CLOSED = "closed"


class ClientFailure(StrEnum):
    """Why our own client (``demo``, ``probe``) did not get through a CURVE handshake."""

    NOT_ZMTP = "not_zmtp"
    ZMTP_VERSION = "zmtp_version"
    MECHANISM = "mechanism"
    COMMAND = "command"
    WELCOME = "welcome"
    READY = "ready"
    REFUSED = "refused"


# What the on-call engineer should suspect, in the words that log, page and probe share.
HINTS: dict[StrEnum, str] = {
    Outcome.NOT_ZMTP: "the peer does not speak ZMTP: a browser, a scanner, TLS, or the wrong port",
    Outcome.ZMTP_VERSION: "the client speaks ZMTP 1.0 or 2.0, which know no CURVE: it needs libzmq 4.0 or newer",
    Outcome.MECHANISM: "the client does not use CURVE: its socket needs curve_serverkey and a key pair of its own",
    Outcome.ROLE: "the peer calls itself a CURVE server: two servers face each other, one of them must be a client",
    Outcome.COMMAND: "a command that does not belong to this stage of the handshake",
    Outcome.HELLO_MALFORMED: "HELLO is not the one of CurveZMQ 1.0: a broken client or a scanner",
    Outcome.HELLO_VERSION: "the client speaks another version of CurveZMQ than 1.0",
    Outcome.HELLO_BOX: "the HELLO box does not open: the client was given another server key",
    Outcome.INITIATE_MALFORMED: "INITIATE is not well formed: a broken client",
    Outcome.INITIATE_TOO_LARGE: "INITIATE is larger than max_initiate_bytes: raise it if the client needs it",
    Outcome.COOKIE: "the cookie is not of this connection: a replayed handshake",
    Outcome.INITIATE_BOX: "the INITIATE box does not open: a broken client or a forged handshake",
    Outcome.VOUCH: "the vouch is not for this server: the client's keys do not belong together, or it is relayed",
    Outcome.METADATA: "the metadata is malformed, or its identity begins with a zero octet or is over 255 octets",
    Outcome.CLIENT_UNKNOWN: "the client's key is not on the list: put its public key file into the clients directory",
    Outcome.SOCKET_TYPE: "the client's socket type does not fit the service's, as SUB does not fit ROUTER",
    Outcome.BACKEND_UNAVAILABLE: "the service behind the proxy does not answer as it should: see its own line",
    Outcome.TIMEOUT: "the handshake was not finished within handshake_seconds",
    Outcome.EVICTED: "the oldest handshake made room for a newcomer: max_half_open or descriptors are used up",
    Outcome.SOURCE_LIMIT: "one source has too many: max_half_open_per_source, handshakes_per_second_per_source",
    Outcome.SESSIONS_LIMIT: "max_sessions, or what the descriptors allow, is reached",
    Outcome.PEER_CLOSED: "the peer went away in the middle of the handshake: often a client with a short time-out",
    Outcome.PROBE: "connected and went away without an octet: a load balancer or a port scan",
    Outcome.SHUTDOWN: "the proxy is shutting down and takes nobody new",
    Outcome.INTERNAL: "an unexpected error, see its traceback",
    BackendFailure.REFUSED: "nobody listens on the backend's endpoint: is the service running",
    BackendFailure.TIMEOUT: "the backend did not answer within backend_connect_seconds",
    BackendFailure.UNREACHABLE: "the backend's address cannot be reached, resolved or is not allowed",
    BackendFailure.GREETING: "the backend does not answer with a ZMTP 3 greeting",
    BackendFailure.MECHANISM: "the backend wants another mechanism than NULL: is CURVE or PLAIN switched on there",
    BackendFailure.HANDSHAKE: "the backend's READY is missing, malformed or too large",
    BackendFailure.SOCKET_TYPE: "the backend's socket type does not fit the client's",
    BackendFailure.CLOSED: "the backend closed the connection during its handshake",
    Invalid.FRAMING: "the stream is not made of ZMTP frames",
    Invalid.NOT_MESSAGE: "a frame that is not a CURVE MESSAGE",
    Invalid.TOO_SHORT: "a MESSAGE too short to hold a box",
    Invalid.OUTER_MORE: "MORE in the outer flags, where nothing protects it",
    Invalid.NONCE: "a nonce that was used before: a repeated frame",
    Invalid.GAP: "a nonce was left out: a frame was taken out on the way",
    Invalid.BOX: "a box that does not open: damaged or forged on the way",
    Invalid.COMMAND: "a command that is malformed or unknown",
    Invalid.TOO_LARGE: "a message larger than max_message_bytes",
}
