"""Metadata: the properties that a peer tells in INITIATE and READY (RFC 23, section "Metadata").

# repeat: size[1] name[size]   size[4] value[size]
"""

import string
from collections.abc import Mapping

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, LocalError, PeerError

_NAME = frozenset((string.ascii_letters + string.digits + "-_.+").encode())


def encode(properties: Mapping[str, bytes]) -> bytes:
    """Properties as octets, in their order."""
    parts = []
    for name, value in properties.items():
        octets = name.encode("ascii")
        if not 0 < len(octets) < 256 or not _NAME.issuperset(octets) or len(value) > spec.PROPERTY_VALUE_MAX:
            raise LocalError(f"{name!r} can not be a property")
        parts += [bytes([len(octets)]), octets, len(value).to_bytes(4, "big"), value]
    return b"".join(parts)


def read_untrusted(octets: bytes) -> dict[str, bytes]:
    """Octets as properties, in their order.

    Raises PeerError: metadata, for octets left over or missing, a name outside the RFC's grammar, or one that comes
    twice in any case. libzmq takes the first of two for what an application reads and the last for the routing id, so
    a check of one would let the other pass.
    """
    properties: dict[str, bytes] = {}
    seen = set()
    at, end = 0, len(octets)
    while at < end:
        value_at = at + 1 + octets[at] + 4
        if value_at > end:
            raise PeerError(Fault.METADATA, "metadata is cut short")
        name = octets[at + 1 : value_at - 4]
        size = int.from_bytes(octets[value_at - 4 : value_at], "big")
        at = value_at + size
        if at > end:
            raise PeerError(Fault.METADATA, "metadata is cut short")
        if not name or not _NAME.issuperset(name):
            raise PeerError(Fault.METADATA, "a property's name is outside the grammar")
        text = name.decode("ascii")
        if text.lower() in seen:
            raise PeerError(Fault.METADATA, "a property comes twice")
        seen.add(text.lower())
        properties[text] = octets[value_at:at]
    return properties


def find(properties: Mapping[str, bytes], name: str) -> bytes | None:
    """A property's value by its name in any case, as the RFC has it."""
    if name in properties:
        return properties[name]
    lowered = name.lower()
    return next((value for key, value in properties.items() if key.lower() == lowered), None)
