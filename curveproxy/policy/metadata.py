"""Which properties of a peer's metadata are safe, and which are forwarded."""

from collections.abc import Mapping
from typing import NamedTuple, Self

IDENTITY_MAX = 255

# A libzmq service trusts these properties, so only the proxy may set them (names in lower case). libzmq calls Identity
# Routing-Id today, and reads that where Identity is missing.
RESERVED = frozenset({"user-id", "peer-address", "routing-id", "x-curve-key", "x-peer-address"})
# libzmq's own properties begin with it, as __fd.
RESERVED_PREFIX = "__"

# Properties that begin with it are between two curveproxies: nobody behind either of them is told them, nor heard.
HOP_BY_HOP = "x-curveproxy-"

# No service is told properties that begin with one of these.
OURS_ALONE = (HOP_BY_HOP, RESERVED_PREFIX)

# ``curveproxy probe`` sends it to be told the outcome in plain words; it is not forwarded to the service.
PROBE = "x-curveproxy-probe"

# An egress and an ingress that face each other say it, and nobody else is told it: who sends it answers a PING, though
# it announces ZMTP 3.0. (We announce that because a subscription is a message there.)
ANSWERS_PING = "X-Curveproxy-Ping"
_ANSWERS_PING = ANSWERS_PING.lower()

# The certificate of the client's key, its whole text without comments.
CERTIFICATE = "X-Curveproxy-Certificate"
_CERTIFICATE = CERTIFICATE.lower()


class Said(NamedTuple):
    """What a client says of itself, and what we look at of that.

    socket_type: None when it says none; identity: may be empty.
    certificate: the text of the one that it presents; is_probe: it is ``curveproxy probe``.
    """

    properties: Mapping[str, bytes]
    socket_type: bytes | None
    identity: bytes
    certificate: bytes | None
    is_probe: bool

    @classmethod
    def of(cls, properties: Mapping[str, bytes]) -> Self:
        """Find what we look at, by its names in any case."""
        said = {name.lower(): value for name, value in properties.items()}
        found = said.get("socket-type"), said.get("identity", b""), said.get(_CERTIFICATE), PROBE in said
        return cls(properties, *found)


def is_safe_identity(identity: bytes | None) -> bool:
    """Whether an identity can do a service no harm.

    A ROUTER makes up identities that begin with a zero octet, and libzmq aborts when a client uses the next of them.
    """
    return not identity or (len(identity) <= IDENTITY_MAX and identity[0] != 0)


def is_probe(properties: Mapping[str, bytes]) -> bool:
    """Whether a client is ``curveproxy probe``, which only asks whether it would be admitted."""
    return PROBE in map(str.lower, properties)


def answers_ping(properties: Mapping[str, bytes]) -> bool:
    """Whether a peer is a proxy that answers a PING, whatever version it announces."""
    return _ANSWERS_PING in map(str.lower, properties)


def for_client(properties: Mapping[str, bytes], said: Mapping[str, bytes]) -> dict[str, bytes]:
    """A service's properties as its client is told them, which has ``said`` these of itself."""
    told = {name: value for name, value in properties.items() if not name.lower().startswith(HOP_BY_HOP)}
    if answers_ping(said):
        told[ANSWERS_PING] = b""
    return told


def for_service(properties: Mapping[str, bytes], set_by_us: dict[str, bytes]) -> dict[str, bytes]:
    """A client's properties as they are forwarded: without those that only we may set, then those that we set."""
    ours = RESERVED.union(map(str.lower, set_by_us))
    if is_probe(properties):
        ours |= {"identity"}  # the service would take it for that client
    return {
        name: value
        for name, value in properties.items()
        if (lowered := name.lower()) not in ours and not lowered.startswith(OURS_ALONE)
    } | set_by_us


def says_more(properties: Mapping[str, bytes]) -> bool:
    """Whether a client says more of itself than its socket type, so that it may be refused for that."""
    names = {name.lower() for name, value in properties.items() if value or name.lower() != "identity"}
    return any(name != "socket-type" and not name.startswith(HOP_BY_HOP) for name in names)


def droppable(properties: Mapping[str, bytes]) -> list[str]:
    """Properties that a short READY may leave out, the least needed first: X- properties, others, the identity."""
    ranks = {"socket-type": 0, "identity": 1}

    def rank(name: str) -> int:
        return ranks.get(name.lower(), 3 if name.lower().startswith("x-") else 2)

    return sorted((name for name in list(properties)[::-1] if rank(name)), key=rank, reverse=True)
