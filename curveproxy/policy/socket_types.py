"""Which socket types may talk to each other (RFC 23, "The Socket Type Property"; libzmq's drafts beside it)."""

# A service's type -> the types of the clients that fit it.
_FITS: dict[bytes, frozenset[bytes]] = {
    service: frozenset(clients.split())
    for service, clients in {
        b"REQ": b"REP ROUTER",
        b"REP": b"REQ DEALER",
        b"DEALER": b"REP DEALER ROUTER",
        b"ROUTER": b"REQ DEALER ROUTER",
        b"PUSH": b"PULL",
        b"PULL": b"PUSH",
        b"PUB": b"SUB XSUB",
        b"XPUB": b"SUB XSUB",
        b"SUB": b"PUB XPUB",
        b"XSUB": b"PUB XPUB",
        b"PAIR": b"PAIR",
        b"CLIENT": b"SERVER",
        b"SERVER": b"CLIENT",
        b"RADIO": b"DISH",
        b"DISH": b"RADIO",
        b"GATHER": b"SCATTER",
        b"SCATTER": b"GATHER",
        b"PEER": b"PEER",
        b"CHANNEL": b"CHANNEL",
    }.items()
}

SOCKET_TYPES = sorted(kind.decode() for kind in _FITS)

# The types that a service of ZMTP 1.0 may have, which does not tell it, and what each most likely faces.
ZMTP1_COUNTERPARTS = {
    b"REQ": b"REP",
    b"REP": b"REQ",
    b"DEALER": b"ROUTER",
    b"ROUTER": b"DEALER",
    b"PUSH": b"PULL",
    b"PULL": b"PUSH",
    b"SUB": b"PUB",
    b"XSUB": b"PUB",
    b"PUB": b"SUB",
    b"XPUB": b"SUB",
    b"PAIR": b"PAIR",
}

SUBSCRIBERS = frozenset({b"SUB", b"XSUB"})
PUBLISHERS = frozenset({b"PUB", b"XPUB"})
PAIR = b"PAIR"
PAIR_HINT = "one on libzmq 2.x aborts at a second connection, which each worker may make: workers = 1"
# Services that read no message of their clients.
SENDERS = frozenset({b"PUSH", b"SCATTER", b"RADIO"})
# Where one message that is dropped breaks what follows: a request without an answer stops its client for good, and a
# subscription that is lost is never made up for. What goes one way, or between DEALER and ROUTER, is only missing.
HARMED_BY_DROPPING = PUBLISHERS | {b"REQ", b"REP"}
DROPPING_HINT = 'a dropped request or subscription is never repeated: on_invalid = "disconnect" lets clients recover'


def fits(client: bytes | None, service: bytes | None) -> bool:
    """Whether a client's socket type fits a service's. What we do not know, or were not told, we do not judge."""
    if client not in _FITS or service not in _FITS:
        return True
    return client in _FITS[service]


def known(socket_type: bytes | None) -> str:
    """A socket type as text for the log, when it is one that we know; a peer's own words are not repeated."""
    return socket_type.decode() if socket_type in _FITS else "unknown"
