"""Metadata: the properties of a peer in INITIATE and READY (RFC 23, section "Metadata")."""

import string
import struct
from collections.abc import Mapping
from functools import lru_cache

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, LocalError, PeerError

# Each property:
# * size[1]: of the name
# * name
# * size[4]: of the value
# * value
_NAME_SIZE = struct.Struct("B")
_VALUE_SIZE = struct.Struct(">I")
_NAME_AT, _VALUE_AT = _NAME_SIZE.size, _VALUE_SIZE.size  # each behind its size
_NAME_MAX = 255
_NAMES_KNOWN = 64  # most peers say the same few
_NAME = frozenset((string.ascii_letters + string.digits + "-_.+").encode())


def encode(properties: Mapping[str, bytes]) -> bytes:
    """Properties as octets, in their order. Raises LocalError for what can not be a property."""
    parts = []
    for name, value in properties.items():
        if len(value) > spec.PROPERTY_VALUE_MAX:
            raise LocalError(f"{name!r} has too long a value")
        parts += [_encode_name(name), _VALUE_SIZE.pack(len(value)), value]
    return b"".join(parts)


@lru_cache(_NAMES_KNOWN)
def _encode_name(name: str) -> bytes:
    octets = name.encode("ascii")
    if not 0 < len(octets) <= _NAME_MAX or not _NAME.issuperset(octets):
        raise LocalError(f"{name!r} can not be a property")
    return _NAME_SIZE.pack(len(octets)) + octets


def size_of(properties: Mapping[str, bytes]) -> int:
    """How many octets ``encode`` would make of them."""
    names, values = "".join(properties), b"".join(properties.values())
    return len(properties) * (_NAME_AT + _VALUE_AT) + len(names) + len(values)


def read_untrusted(octets: bytes) -> dict[str, bytes]:
    """Octets as properties, in their order.

    Raises PeerError: metadata, for octets left over or missing, a name outside the RFC's grammar, or one that comes
    twice in any case. libzmq takes the first of two for what an application reads and the last for the routing id, so
    a check of one would let the other pass.
    """
    properties: dict[str, bytes] = {}
    count, at, end = 0, 0, len(octets)
    while at < end:
        name_at = at + _NAME_AT
        size_at = name_at + octets[at]
        value_at = size_at + _VALUE_AT
        at = value_at + int.from_bytes(octets[size_at:value_at], "big")
        if at > end:
            raise PeerError(Fault.METADATA, "metadata is cut short")
        properties[_read_name_untrusted(octets[name_at:size_at])] = octets[value_at:at]
        count += 1
    if len(set(map(str.lower, properties))) < count:
        raise PeerError(Fault.METADATA, "a property comes twice")
    return properties


@lru_cache(_NAMES_KNOWN)
def _read_name_untrusted(octets: bytes) -> str:
    if not octets or not _NAME.issuperset(octets):
        raise PeerError(Fault.METADATA, "a property's name is outside the grammar")
    return octets.decode("ascii")


def find(properties: Mapping[str, bytes], name: str) -> bytes | None:
    """A property's value by its name in any case, as the RFC has it."""
    if name in properties:
        return properties[name]
    lowered = name.lower()
    for said, value in properties.items():
        if said.lower() == lowered:
            return value
    return None
