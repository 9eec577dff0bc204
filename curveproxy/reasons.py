"""The closed lists of reasons, which are metric labels, words of the log and of every hint.

Each list is a promise to those who wrote an alert on it: members are added with a line in the
changelog and never renamed. This module imports nothing of ours, every room may import it.
"""

from enum import StrEnum
from typing import Self


class Reasoned(StrEnum):
    """A word of a closed list.

    hint: what the on-call engineer should suspect, in the words that log, page and probe share. It belongs to the
        member and not to the word: a client's time-out is another thing than a backend's.
    """

    hint: str

    def __new__(cls, word: str, hint: str = "") -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.hint = hint
        return member


class Outcome(Reasoned):
    """How a handshake ended. Every accepted connection has exactly one."""

    ADMITTED = "admitted"
    # before a key has been used
    NOT_ZMTP = "not_zmtp", "the peer does not speak ZMTP: a browser, a scanner, TLS, or the wrong port"
    ZMTP_VERSION = (
        "zmtp_version",
        "the client speaks ZMTP 1.0 or 2.0, which know no CURVE: it needs libzmq 4.0 or newer",
    )
    MECHANISM = "mechanism", "the client does not use CURVE: its socket needs curve_serverkey and a key pair of its own"
    ROLE = "role", "the peer calls itself a CURVE server: two servers face each other, one of them must be a client"
    COMMAND = "command", "a command that does not belong to this stage of the handshake"
    HELLO_MALFORMED = "hello_malformed", "HELLO is not the one of CurveZMQ 1.0: a broken client or a scanner"
    HELLO_VERSION = "hello_version", "the client speaks another version of CurveZMQ than 1.0"
    HELLO_BOX = "hello_box", "the HELLO box does not open: the client was given another server key"
    INITIATE_MALFORMED = "initiate_malformed", "INITIATE is not well formed: a broken client"
    INITIATE_TOO_LARGE = (
        "initiate_too_large",
        "INITIATE is larger than max_initiate_bytes: raise it if the client needs it",
    )
    COOKIE = "cookie", "the cookie is not of this connection: a replayed handshake"
    INITIATE_BOX = "initiate_box", "the INITIATE box does not open: a broken client or a forged handshake"
    VOUCH = "vouch", "the vouch is not for this server: the client's keys do not belong together, or it is relayed"
    # the client is who it says it is
    METADATA = "metadata", "the metadata is malformed, or its identity begins with a zero octet or is over 255 octets"
    CLIENT_UNKNOWN = (
        "client_unknown",
        "the client's key is not on the list: put its public key file into the clients directory",
    )
    SOCKET_TYPE = "socket_type", "the client's socket type does not fit the service's, as SUB does not fit ROUTER"
    BACKEND_UNAVAILABLE = (
        "backend_unavailable",
        "the service behind the proxy does not answer as it should: see its own line",
    )
    # no fault in what was said
    TIMEOUT = "timeout", "the handshake was not finished within handshake_seconds"
    EVICTED = "evicted", "the oldest handshake made room for a newcomer: max_half_open or descriptors are used up"
    SOURCE_LIMIT = "source_limit", "one source has too many: max_half_open_per_source, handshakes_per_second_per_source"
    SESSIONS_LIMIT = "sessions_limit", "max_sessions, or what the descriptors allow, is reached"
    PEER_CLOSED = (
        "peer_closed",
        "the peer went away in the middle of the handshake: often a client with a short time-out",
    )
    PROBE = "probe", "connected and went away without an octet: a load balancer or a port scan"
    SHUTDOWN = "shutdown", "the proxy is shutting down and takes nobody new"
    INTERNAL = "internal", "an unexpected error, see its traceback"


class Closed(Reasoned):
    """How a session ended."""

    CLIENT_CLOSED = "client_closed"
    CLIENT_RESET = "client_reset"
    BACKEND_CLOSED = "backend_closed"
    BACKEND_RESET = "backend_reset"
    INVALID_MESSAGE = "invalid_message"
    IDLE = "idle"
    HEARTBEAT = "heartbeat"
    REVOKED = "revoked"
    REPLACED = "replaced"  # its client came again with the same identity
    DRAINED = "drained"
    LIMIT = "limit"
    INTERNAL = "internal"


class Invalid(Reasoned):
    """What was wrong with a frame after the handshake."""

    FRAMING = "framing", "the stream is not made of ZMTP frames"
    NOT_MESSAGE = "not_message", "a frame that is not a CURVE MESSAGE"
    TOO_SHORT = "too_short", "a MESSAGE too short to hold a box"
    OUTER_MORE = "outer_more", "MORE in the outer flags, where nothing protects it"
    NONCE = "nonce", "a nonce that was used before: a repeated frame"
    GAP = "gap", "a nonce was left out: a frame was taken out on the way"
    BOX = "box", "a box that does not open: damaged or forged on the way"
    COMMAND = "command", "a command that is malformed or unknown"
    TOO_LARGE = "too_large", "a message larger than max_message_bytes"


class BackendFailure(Reasoned):
    """Why a backend could not be used."""

    REFUSED = "refused", "nobody listens on the backend's endpoint: is the service running"
    TIMEOUT = "timeout", "the backend did not answer within backend_connect_seconds"
    UNREACHABLE = "unreachable", "the backend's address cannot be reached, resolved or is not allowed"
    GREETING = "greeting", "the backend does not speak ZMTP: is this its port"
    MECHANISM = "mechanism", "the backend wants another mechanism than NULL: is CURVE or PLAIN switched on there"
    HANDSHAKE = "handshake", "the backend's READY or identity is missing, malformed or too large"
    SOCKET_TYPE = "socket_type", "the backend's socket type does not fit the client's"
    CLOSED = "closed", "the backend closed the connection during its handshake"


class ClientFailure(Reasoned):
    """Why our own client (``demo``, ``probe``) did not get through a CURVE handshake."""

    NOT_ZMTP = "not_zmtp"
    ZMTP_VERSION = "zmtp_version"
    MECHANISM = "mechanism"
    COMMAND = "command"
    WELCOME = "welcome"
    READY = "ready"
    REFUSED = "refused"
