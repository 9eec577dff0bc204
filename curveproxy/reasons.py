"""The closed lists of reasons, which are metric labels, words of the log and of every hint.

Each list is a promise to those who wrote an alert on it: members are added with a line in the
changelog and never renamed. This module imports nothing of ours, every room may import it.
"""

from enum import StrEnum
from typing import Self


class Reasoned(StrEnum):
    """A word of a closed list.

    cause, remedy: what the on-call engineer should suspect, and what to try next, in the words that log, page, probe
        and docs/troubleshooting.md share. They belong to the member and not to the word: a client's time-out is
        another thing than a backend's.
    """

    cause: str
    remedy: str

    def __new__(cls, word: str, cause: str = "", remedy: str = "") -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.cause, member.remedy = cause, remedy
        return member

    @property
    def hint(self) -> str:
        """Both in one line, for the log."""
        return "; ".join(filter(None, (self.cause, self.remedy)))


class Outcome(Reasoned):
    """How a handshake ended. Every accepted connection has exactly one."""

    ADMITTED = "admitted"
    # before a key has been used
    NOT_ZMTP = (
        "not_zmtp",
        "the peer does not speak ZMTP: a browser, a scanner, TLS, or the wrong port",
        "correct its port, if it is one of yours",
    )
    ZMTP_VERSION = (
        "zmtp_version",
        "the client speaks ZMTP 1.0 or 2.0, which know no CURVE",
        "give it libzmq 4.0 or newer",
    )
    MECHANISM = (
        "mechanism",
        "the client does not use CURVE",
        "set curve_serverkey and a key pair of its own on its socket",
    )
    ROLE = (
        "role",
        "the peer calls itself a CURVE server: two servers face each other",
        "make one of them a client, with curve_serverkey instead of curve_server",
    )
    COMMAND = (
        "command",
        "a command that does not belong to this stage of the handshake",
        "replace the client's library, if it is one of yours",
    )
    HELLO_MALFORMED = (
        "hello_malformed",
        "HELLO is not the one of CurveZMQ 1.0: a broken client or a scanner",
        "replace the client's library, if it is one of yours",
    )
    HELLO_VERSION = (
        "hello_version",
        "the client speaks another version of CurveZMQ than 1.0",
        "give it a library that speaks 1.0",
    )
    HELLO_BOX = (
        "hello_box",
        "the HELLO box does not open: the client was given another server key",
        "give it this server's .key file",
    )
    INITIATE_MALFORMED = (
        "initiate_malformed",
        "INITIATE is not well formed: a broken client",
        "replace the client's library",
    )
    INITIATE_TOO_LARGE = (
        "initiate_too_large",
        "INITIATE is larger than max_initiate_bytes",
        "raise it if the client needs it",
    )
    COOKIE = (
        "cookie",
        "the cookie is not of this connection: a replayed handshake",
        "find out who listens in on the network, if it comes again",
    )
    INITIATE_BOX = (
        "initiate_box",
        "the INITIATE box does not open: a broken client or a forged handshake",
        "replace the client's library, if it is one of yours",
    )
    VOUCH = (
        "vouch",
        "the vouch is not for this server: the client's keys do not belong together, or it is relayed",
        "give the client both halves of one key pair",
    )
    # the client is who it says it is
    METADATA = (
        "metadata",
        "the metadata is malformed, or the identity is bound to another, over 255 octets, or begins with a zero octet",
        "correct the client's identity: the log has the detail",
    )
    IDENTITY_IN_USE = (
        "identity_in_use",
        "another client's key has a session with that identity now",
        "nothing where that one is about to end; else give each client an identity of its own",
    )
    CLIENT_UNKNOWN = (
        "client_unknown",
        "the client's key is not on the list",
        (
            "put its public key file into the clients directory, and start the client again: "
            'libzmq gives up when it is refused, unless refusal = "close"'
        ),
    )
    CERTIFICATE = (
        "certificate",
        "the client's certificate is not believed, or not for this: the detail begins with the flaw",
        "look the flaw up, and have the key signed anew",
    )
    CERTIFICATE_EXPIRED = (
        "certificate_expired",
        "the client's certificate has ended, or has not begun, by the clock here",
        "have its key signed again, or compare the clocks; the client comes again by itself",
    )
    CERTIFICATE_ASKED = (
        "certificate_asked",
        "an egress asked for the certificates of the server, and was given them: it comes again with CURVE",
        "nothing: it is no failure",
    )
    SOCKET_TYPE = (
        "socket_type",
        "the client's socket type does not fit the service's, as SUB does not fit ROUTER, or its certificate",
        "use the service's counterpart, as DEALER for ROUTER",
    )
    RECORDS = (
        "records",
        "records are required, and the client offers none that fit: it is no curveproxy, or its record_suites differ",
        'connect it by way of a [[egress]] of curveproxy, or set records = "auto"',
    )
    BACKEND_UNAVAILABLE = (
        "backend_unavailable",
        "the service behind the proxy does not answer as it should",
        "look for the line backend failed in the log, and start the service",
    )
    # no fault in what was said
    TIMEOUT = (
        "timeout",
        "the handshake was not finished within handshake_seconds",
        "look for a slow network, or raise it",
    )
    EVICTED = (
        "evicted",
        "the oldest handshake made room for a newcomer: max_half_open or descriptors are used up",
        "raise them, or find out who connects and stays silent",
    )
    SOURCE_LIMIT = (
        "source_limit",
        "one source has too many half-open connections (its oldest goes), too often new ones, or too many that fail",
        "raise max_half_open_per_source or handshakes_per_second_per_source: the log has the detail",
    )
    SESSIONS_LIMIT = (
        "sessions_limit",
        "max_sessions, or what the descriptors allow, is reached",
        "raise them, or find out who holds so many sessions",
    )
    CLIENT_SESSIONS_LIMIT = (
        "client_sessions_limit",
        "this client's key has as many sessions as it may: max_sessions_per_client, or max-sessions in its file",
        "raise it, or find out who else uses that key",
    )
    SERVICE_BUSY = (
        "service_busy",
        "the service is a PAIR on libzmq 2.x, which aborts at a second connection, and the first is still there",
        "let the other client leave; this one comes again by itself",
    )
    PEER_CLOSED = (
        "peer_closed",
        "the peer went away in the middle of the handshake: often a client with a short time-out",
        "raise the client's handshake interval, if it is one of yours",
    )
    PROBE = (
        "probe",
        "connected and went away without an octet: a load balancer or a port scan",
        "nothing: it is no failure",
    )
    SHUTDOWN = (
        "shutdown",
        "the proxy is shutting down and takes nobody new",
        "let the client come again: the next process takes it",
    )
    INTERNAL = (
        "internal",
        "an unexpected error of curveproxy",
        "report it with its traceback, which is in the log",
    )


class EgressOutcome(Reasoned):
    """How the handshake of a client of an egress ended, which speaks no CURVE.

    The same words as those of ``Outcome``, of which it can have these, with what is true for such a client.
    """

    ADMITTED = "admitted"
    NOT_ZMTP = (
        "not_zmtp",
        "the local peer does not speak ZMTP: a scanner, a health check, or the wrong endpoint",
        "correct its endpoint, if it is one of yours",
    )
    ZMTP_VERSION = (
        "zmtp_version",
        "the local client speaks a version of ZMTP that nobody knows",
        "replace its library",
    )
    MECHANISM = (
        "mechanism",
        "the local client uses CURVE or PLAIN",
        "take curve_serverkey, or user name and password, off its socket: the egress speaks CURVE for it",
    )
    COMMAND = (
        "command",
        "the local client sent a command that does not belong to this stage of the handshake",
        "replace its library, if it is one of yours",
    )
    METADATA = (
        "metadata",
        (
            "the local client's metadata is malformed, or leaves no room for the offer of records where they are "
            "required, or its identity is over 255 octets or begins with a zero octet"
        ),
        "correct its identity: the log has the detail",
    )
    CLIENT_UNKNOWN = (
        "client_unknown",
        "the client's process runs as a user that is not in allow_uids",
        "add that user's id, which the log has, or start the client as another user",
    )
    SOCKET_TYPE = (
        "socket_type",
        "the client's socket type does not fit the remote's, as SUB does not fit ROUTER, or ZMTP 1.0 can not tell it",
        "use the remote's counterpart, as DEALER for ROUTER, and set client_socket_type for clients of ZMTP 1.0",
    )
    BACKEND_UNAVAILABLE = (
        "backend_unavailable",
        "no remote of the egress lets it in, or answers as it should",
        "look for the line backend failed in the log: its reason says why; the client comes again by itself",
    )
    TIMEOUT = (
        "timeout",
        "the local client did not finish its handshake within handshake_seconds",
        "look whether it hangs, or raise it",
    )
    EVICTED = (
        "evicted",
        "the oldest handshake made room for a newcomer: max_half_open of the egress, or descriptors, are used up",
        "raise them, or find out which local process connects and stays silent",
    )
    SOURCE_LIMIT = (
        "source_limit",
        "one address has too many half-open connections to the egress, too often new ones, or too many that fail",
        "raise max_half_open of the egress: the log has the detail",
    )
    SESSIONS_LIMIT = (
        "sessions_limit",
        "max_sessions of the egress, or what the descriptors allow, is reached",
        "raise them, or find out which local process holds so many sessions",
    )
    PEER_CLOSED = (
        "peer_closed",
        "the local client went away in the middle of its handshake, as while a remote was dialled",
        "raise its handshake interval, or look why the remotes are slow",
    )
    PROBE = (
        "probe",
        "a local process connected and went away without an octet: a health check",
        "nothing: that is no failure",
    )
    SHUTDOWN = (
        "shutdown",
        "curveproxy is shutting down and takes no local client",
        "let it come again: the next process takes it",
    )
    INTERNAL = (
        "internal",
        "an unexpected error of curveproxy at an egress",
        "report it with its traceback, which is in the log",
    )


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
    EXPIRED = (
        "expired",
        "its client's certificate has ended, and no other has come in its place",
        "have its key signed again in time: into the clients directory here, or where the client presents it",
    )
    REPLACED = (
        "replaced",
        "its client came again with the same identity: it had lost its network, or another host has its key file",
        "give each host a key, or an identity, of its own",
    )
    DRAINED = "drained"
    PROBE = "probe"  # it came to see whether it would be let in, and has seen it
    LIMIT = "limit"
    MEMORY = (
        "memory",
        "others waited for memory that this session held and did not turn over: a message not finished, or not taken",
        "look whether its client, or what lies behind, hangs, or raise max_buffered_bytes",
    )
    INTERNAL = "internal"


class Invalid(Reasoned):
    """What was wrong with a frame after the handshake."""

    FRAMING = "framing", "the stream is not made of ZMTP frames"
    NOT_MESSAGE = "not_message", "a frame that is not a CURVE MESSAGE"
    TOO_SHORT = "too_short", "a MESSAGE too short to hold a box"
    OUTER_MORE = "outer_more", "the outer flags say that parts follow, and the sealed ones do not: changed on the way"
    NONCE = "nonce", "a nonce that was used before: a repeated frame"
    GAP = "gap", "a nonce was left out, and not by a frame that was dropped here: one was taken out on the way"
    BOX = "box", "a box that does not open: damaged or forged on the way"
    RECORD = "record", "a record that does not open: damaged, forged, repeated or left out on the way"
    COMMAND = "command", "a command that is malformed, unknown, or a subscription between two parts of a message"
    TOO_LARGE = (
        "too_large",
        "a message larger than max_message_bytes, a subscription or group that is too long, or too many of them",
        'raise the limit, or send less at once; on_invalid = "drop" loses the message behind a part over the limit too',
    )
    NOT_ACCEPTED = (
        "not_accepted",
        "a message that the service, or the client of an egress, does not take by its socket type and version",
        "look at docs/operations.md, What a service is not sent; xpub_messages lets it through to a service's XPUB",
    )
    NOT_SUBSCRIBED = (
        "not_subscribed",
        "a cancellation of what the subscriber has not subscribed to, of which old publishers die",
        "nothing, now and then: a subscriber may say so whose subscriptions were lost before they were sent",
    )
    TOPIC = (
        "topic",
        "a subscription, or a published message, of a topic that is not among those of the client's key",
        "add its prefix to topics, or publish-topics, of its certificate or key file, if the client is to have it",
    )


class CertificateFlaw(Reasoned):
    """Why a certificate is not believed, or not for who presents it: the cheaper a check, the earlier it is."""

    TOO_LARGE = (
        "too_large",
        "the certificate has more than 2,048 octets",
        "sign it anew for fewer services or topics, or with shorter ones",
    )
    MALFORMED = (
        "malformed",
        "the certificate is not one by its grammar, or was changed on its way: the detail tells where",
        "take the file as sign wrote it",
    )
    UNKNOWN_FIELD = (
        "unknown_field",
        "the certificate has a field that this curveproxy, or this kind of certificate, does not know: it may limit it",
        "take a newer curveproxy here, or sign it without that field",
    )
    VERSION = "version", "the certificate is of another version than 1", "take a newer curveproxy here"
    KIND = (
        "kind",
        "it is a server's certificate where a client's is wanted, or the other way round",
        "sign the key anew, with --server for a server's and without it for a client's",
    )
    OTHER_KEY = (
        "other_key",
        "the certificate is of another key than the one that was proved",
        "present it with the secret key that it belongs to",
    )
    AUTHORITY = (
        "authority",
        "the authority that the certificate names is not listed here",
        "list its .authority file among the authorities here, or have the key signed by one that is",
    )
    BOUNDS = (
        "bounds",
        "its authority may not sign that name here, or not for so long: names and max_days where it is listed",
        "sign it under another name or for fewer days, or change what is listed",
    )
    NOT_YET_VALID = (
        "not_yet_valid",
        "the certificate is not valid yet: the clock here, or that of its signer, is wrong",
        "compare both clocks, and set the wrong one",
    )
    EXPIRED = (
        "expired",
        "the certificate has ended, or the clock here is ahead",
        "have the key signed again; compare the clocks if it should still be valid",
    )
    REVOKED = (
        "revoked",
        "the certificate is on the revocation list: by its serial, its key, its name, or when it was signed",
        "make a new key and have it signed, if its owner is still wanted",
    )
    SERVICE = (
        "service",
        "the certificate is not for that service, socket type or identity, or not for the name of that server",
        "sign the key anew for what it is to be used for",
    )
    SIGNATURE = (
        "signature",
        "the signature is not of that text by that authority: the certificate was changed or forged",
        "take the file as sign wrote it; find out who changed it",
    )


class ClockJump(Reasoned):
    """How the wall clock was set, by which certificates are judged."""

    FORWARD = (
        "forward",
        "the clock was set forward: it is ahead now, so that certificates end early, or it was behind before",
        "compare it with another one, and find out who sets it",
    )
    BACK = (
        "back",
        "the clock was set back: it is behind now, so that certificates that have ended are believed, or was ahead",
        "compare it with another one, and find out who set it back",
    )


class BackendFailure(Reasoned):
    """Why a backend could not be used."""

    REFUSED = "refused", "nobody listens on the backend's endpoint", "start the service, or correct backend"
    TIMEOUT = (
        "timeout",
        "the backend did not answer within backend_connect_seconds",
        "look whether the service hangs",
    )
    UNREACHABLE = (
        "unreachable",
        "the backend's address can not be reached, resolved or is not allowed",
        "correct backend, or set allow_remote_backend",
    )
    GREETING = "greeting", "the backend does not speak ZMTP", "correct its port"
    MECHANISM = (
        "mechanism",
        "the backend wants another mechanism than NULL",
        "switch CURVE or PLAIN off there: the proxy stands before it",
    )
    HANDSHAKE = (
        "handshake",
        "the backend's READY or identity is missing, malformed or too large",
        "look at the service's own log",
    )
    SOCKET_TYPE = (
        "socket_type",
        "the backend's socket type does not fit the client's",
        "use the counterpart of the service's type, as DEALER for ROUTER",
    )
    CLOSED = (
        "closed",
        "the backend closed the connection during its handshake",
        "look at the service's own log",
    )


class ClientFailure(Reasoned):
    """Why we did not get through a CURVE handshake as the client: ``demo``, ``probe``, and an egress at its remotes.

    ``..._closed`` and ``..._timeout``: while that was awaited.
    """

    KEYS = (
        "keys",
        "a key file can not be used",
        "name the files that keygen or zmq.auth wrote: the server's .key, and the .key_secret of who connects to it",
    )
    RESOLVE = "resolve", "the name does not resolve", "check its spelling, or give an address"
    RESOLVE_TIMEOUT = "resolve_timeout", "the name server does not answer", "give an address, or mend this host's DNS"
    CONNECT = "connect", "the address can not be reached", "check the address, and the route to it"
    CONNECT_REFUSED = "connect_refused", "nobody listens there", "start the server there, or correct the port"
    CONNECT_TIMEOUT = (
        "connect_timeout",
        "nothing answers: a firewall swallows the connection, or the address is nobody's",
        "let the port through, or correct the address",
    )
    NOT_ZMTP = "not_zmtp", "the other side does not speak ZMTP", "correct the port"
    ZMTP_VERSION = (
        "zmtp_version",
        "the other side speaks ZMTP 1.0 or 2.0, which know no CURVE: an old service without a proxy",
        "connect to the proxy before it, not to the service itself",
    )
    MECHANISM = (
        "mechanism",
        "the other side does not use CURVE",
        "connect to the proxy before it, not to the service itself, or switch CURVE on there",
    )
    GREETING_CLOSED = (
        "greeting_closed",
        "the other side closed before its greeting was whole: a limit on connections, or no ZeroMQ",
        "try again from another host, and look for source_limit in the log of the proxy there",
    )
    GREETING_TIMEOUT = (
        "greeting_timeout",
        "the other side accepts and says nothing: it waits for another protocol, or its process hangs",
        "correct the port, or look at the process that listens there",
    )
    ROLE = (
        "role",
        "another CURVE client is at the other end: it has said HELLO",
        "make that one the server, with curve_server instead of curve_serverkey",
    )
    COMMAND = (
        "command",
        "the server sent a command that does not belong to this stage of the handshake",
        "replace the server's library",
    )
    WELCOME = (
        "welcome",
        "WELCOME is malformed or its box does not open: a broken server, or one that only claims the key",
        "look who is between here and the server",
    )
    WELCOME_CLOSED = (
        "welcome_closed",
        "the server closed after HELLO: its key is not the server key that is expected here",
        "put the server's own .key file in place of it",
    )
    WELCOME_TIMEOUT = (
        "welcome_timeout",
        "the server is silent after HELLO: it has another key, or it is a proxy whose service is down",
        "check the server key, then the service behind the proxy there",
    )
    READY = "ready", "READY is malformed or its box does not open: a broken server", "replace the server's library"
    READY_CLOSED = (
        "ready_closed",
        "the server closed after INITIATE: the service behind it is down, or it does not want this key or socket type",
        "look at the log there; put the public key on its list, and use the counterpart of its socket type",
    )
    READY_TIMEOUT = (
        "ready_timeout",
        "the server is silent after INITIATE: who decides on its clients, or the service behind it, does not answer",
        "look at its ZAP handler, or at the service behind the proxy there",
    )
    REFUSED = (
        "refused",
        "the server's key is right, and it does not want the key of who connects, or can not decide: detail 500",
        (
            "put its public key file into the clients directory there, where the log says client refused; "
            "at 500 look at its ZAP handler"
        ),
    )
    RECORDS = (
        "records",
        "records are required, and the server agrees to none: it is no curveproxy, or its settings do not fit",
        'put curveproxy before it, compare record_suites, or set records = "auto"',
    )
    CERTIFICATE = (
        "certificate",
        "the server's certificate is not believed here: the detail begins with the flaw",
        "look the flaw up, and have the server's key signed anew, or list the authority that signed it",
    )
    CERTIFICATE_EXPIRED = (
        "certificate_expired",
        "the server's certificate has ended, or has not begun, by the clock here",
        "have the server's key signed again there, or compare the clocks",
    )
    CERTIFICATE_NAME = (
        "certificate_name",
        "none of the server's certificates is for the server_name that is expected here",
        "correct server_name, or have the server's key signed for that name",
    )
    CERTIFICATE_OLDER = (
        "certificate_older",
        "the server's certificate was signed before one that was seen there: an old one is passed off, or put back",
        "put the newest certificate there; look who is between here and the server",
    )
    CERTIFICATE_NONE = (
        "certificate_none",
        "the server closes at the question for its certificates, is silent, or has none",
        "set certificates at the service there, or name a file as server_certificate here",
    )
    SOCKET_TYPE = (
        "socket_type",
        "the socket type of the service there does not fit the client's",
        "use its counterpart, as DEALER for ROUTER",
    )


# Why what lies behind the proxy could not be used: a backend in plain ZMTP, or the remote of an egress.
DialFailure = BackendFailure | ClientFailure
