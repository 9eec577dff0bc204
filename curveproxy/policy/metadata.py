"""What a peer's metadata may say, and what of it is passed on."""

from collections.abc import Mapping

IDENTITY_MAX = 255

# A libzmq service believes these names, so only the proxy may set them (names in lower case). Routing-Id is what it
# calls Identity today, and reads where that is missing.
RESERVED = frozenset({"user-id", "peer-address", "routing-id", "x-curve-key", "x-peer-address"})
# So begin the names that libzmq gives to what it knows by itself, as __fd.
RESERVED_PREFIX = "__"

# Our own client asks with it for a clear word; no service needs to see it.
PROBE = "x-curveproxy-probe"


def is_safe_identity(identity: bytes | None) -> bool:
    """Whether a service survives this identity.

    One that begins with a zero octet may be the next that a ROUTER would make up, and libzmq then aborts.
    """
    return not identity or (len(identity) <= IDENTITY_MAX and identity[0] != 0)


def is_probe(properties: Mapping[str, bytes]) -> bool:
    """Whether it is our own client, that wants to know how it would fare."""
    return any(name.lower() == PROBE for name in properties)


def for_service(properties: Mapping[str, bytes], set_by_us: dict[str, bytes]) -> dict[str, bytes]:
    """A client's properties as the service is to see them: without what only we may say, then what we say."""
    ours = RESERVED | {PROBE} | {name.lower() for name in set_by_us}
    if is_probe(properties):
        ours |= {"identity"}  # the service would take it for that client
    return {
        name: value
        for name, value in properties.items()
        if name.lower() not in ours and not name.startswith(RESERVED_PREFIX)
    } | set_by_us


def droppable(properties: Mapping[str, bytes]) -> list[str]:
    """What may be left out when READY must be short, the least needed first: X- properties, others, the identity."""
    ranks = {"socket-type": 0, "identity": 1}

    def rank(name: str) -> int:
        return ranks.get(name.lower(), 3 if name.lower().startswith("x-") else 2)

    return sorted((name for name in list(properties)[::-1] if rank(name)), key=rank, reverse=True)
