"""Which properties of a peer's metadata are safe, and which are forwarded."""

from collections.abc import Mapping

IDENTITY_MAX = 255

# A libzmq service trusts these properties, so only the proxy may set them (names in lower case). libzmq calls Identity
# Routing-Id today, and reads that where Identity is missing.
RESERVED = frozenset({"user-id", "peer-address", "routing-id", "x-curve-key", "x-peer-address"})
# libzmq's own properties begin with it, as __fd.
RESERVED_PREFIX = "__"

# ``curveproxy probe`` sends it to be told the outcome in plain words; it is not forwarded to the service.
PROBE = "x-curveproxy-probe"


def is_safe_identity(identity: bytes | None) -> bool:
    """Whether an identity can do a service no harm.

    A ROUTER makes up identities that begin with a zero octet, and libzmq aborts when a client uses the next of them.
    """
    return not identity or (len(identity) <= IDENTITY_MAX and identity[0] != 0)


def is_probe(properties: Mapping[str, bytes]) -> bool:
    """Whether a client is ``curveproxy probe``, which only asks whether it would be admitted."""
    return any(name.lower() == PROBE for name in properties)


def for_service(properties: Mapping[str, bytes], set_by_us: dict[str, bytes]) -> dict[str, bytes]:
    """A client's properties as they are forwarded: without those that only we may set, then those that we set."""
    ours = RESERVED | {PROBE} | {name.lower() for name in set_by_us}
    if is_probe(properties):
        ours |= {"identity"}  # the service would take it for that client
    return {
        name: value
        for name, value in properties.items()
        if name.lower() not in ours and not name.startswith(RESERVED_PREFIX)
    } | set_by_us


def droppable(properties: Mapping[str, bytes]) -> list[str]:
    """Properties that a short READY may leave out, the least needed first: X- properties, others, the identity."""
    ranks = {"socket-type": 0, "identity": 1}

    def rank(name: str) -> int:
        return ranks.get(name.lower(), 3 if name.lower().startswith("x-") else 2)

    return sorted((name for name in list(properties)[::-1] if rank(name)), key=rank, reverse=True)
