"""Which socket types may talk to each other (RFC 23, "The Socket Type Property"; libzmq's drafts beside it)."""

REQ, REP, DEALER, ROUTER = b"REQ", b"REP", b"DEALER", b"ROUTER"
PUSH, PULL, PAIR = b"PUSH", b"PULL", b"PAIR"
PUB, SUB, XPUB, XSUB = b"PUB", b"SUB", b"XPUB", b"XSUB"
CLIENT, SERVER, RADIO, DISH, GATHER, SCATTER = b"CLIENT", b"SERVER", b"RADIO", b"DISH", b"GATHER", b"SCATTER"
PEER, CHANNEL = b"PEER", b"CHANNEL"

# A service's type -> the types of the clients that fit it.
_FITS: dict[bytes, frozenset[bytes]] = {
    REQ: frozenset({REP, ROUTER}),
    REP: frozenset({REQ, DEALER}),
    DEALER: frozenset({REP, DEALER, ROUTER}),
    ROUTER: frozenset({REQ, DEALER, ROUTER}),
    PUSH: frozenset({PULL}),
    PULL: frozenset({PUSH}),
    PUB: frozenset({SUB, XSUB}),
    XPUB: frozenset({SUB, XSUB}),
    SUB: frozenset({PUB, XPUB}),
    XSUB: frozenset({PUB, XPUB}),
    PAIR: frozenset({PAIR}),
    CLIENT: frozenset({SERVER}),
    SERVER: frozenset({CLIENT}),
    RADIO: frozenset({DISH}),
    DISH: frozenset({RADIO}),
    GATHER: frozenset({SCATTER}),
    SCATTER: frozenset({GATHER}),
    PEER: frozenset({PEER}),
    CHANNEL: frozenset({CHANNEL}),
}

SOCKET_TYPES = sorted(kind.decode() for kind in _FITS)
_THE_ONE = {kind: kind for kind in _FITS}

# The types that a service of ZMTP 1.0 may have, which does not say it, and what each most likely faces.
ZMTP1_COUNTERPARTS = {
    REQ: REP,
    REP: REQ,
    DEALER: ROUTER,
    ROUTER: DEALER,
    PUSH: PULL,
    PULL: PUSH,
    SUB: PUB,
    XSUB: PUB,
    PUB: SUB,
    XPUB: SUB,
    PAIR: PAIR,
}

SUBSCRIBERS = frozenset({SUB, XSUB})
PUBLISHERS = frozenset({PUB, XPUB})
PAIR_HINT = "one on libzmq 2.x aborts at a second connection, which each worker may make: workers = 1"
# Clients that wait for the replies of their service.
REQUESTERS = frozenset({REQ, DEALER})
# Services that read no message of their clients.
SENDERS = frozenset({PUSH, SCATTER, RADIO})
# Where one message that is dropped breaks what follows: a request without an answer stops its client for good, and a
# subscription that is lost is never made up for. What goes one way, or between DEALER and ROUTER, is only missing.
HARMED_BY_DROPPING = PUBLISHERS | {REQ, REP}
DROPPING_HINT = 'a dropped request or subscription is never repeated: on_invalid = "disconnect" lets clients recover'


def fits(client: bytes | None, service: bytes | None) -> bool:
    """Whether a client's socket type fits a service's. A type that is unknown or was not sent fits any."""
    if client not in _FITS or service not in _FITS:
        return True
    return client in _FITS[service]


def shared(socket_type: bytes | None) -> bytes | None:
    """The same type, as one object for all that keep it."""
    return socket_type if socket_type is None else _THE_ONE.get(socket_type, socket_type)


def known(socket_type: bytes | None) -> str:
    """A socket type as text for the log; ``unknown`` for any other octets, for those are a peer's own."""
    return socket_type.decode() if socket_type in _FITS else "unknown"
