"""The ZMTP 3 greeting: 64 octets that say version, mechanism and role (RFC 23, "Version Negotiation")."""

import struct

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError

# The greeting, 64 octets:
# * signature[10]: FF padding[8] 7F
# * version[2]: major, minor
# * mechanism[20]: a name, filled up with zeros
# * as_server[1]: 0 or 1
# * filler[31]: zeros
#
# Here is where its fields begin and end. Between accept and a whole greeting we look at the ends, so that whatever is
# wrong is refused as soon as it has come, and the octets of a greeting wake us at most five times.
SIGNATURE_LAST_AT = 9
SIGNATURE_END = MAJOR_AT = 10
MAJOR_END = MINOR_AT = 11
MECHANISM_AT = 12
MECHANISM_END = ROLE_AT = MECHANISM_AT + spec.MECHANISM_SIZE
ROLE_END = ROLE_AT + 1
_LAYOUT = struct.Struct(f"> {SIGNATURE_END}s B B {spec.MECHANISM_SIZE}s ? {spec.GREETING_SIZE - ROLE_END}x")

SIGNATURE_FIRST, SIGNATURE_LAST = 0xFF, 0x7F
SIGNATURE = bytes([SIGNATURE_FIRST, *bytes(8), SIGNATURE_LAST])

# The flags of a ZMTP 1.0 peer's first frame, its identity: a last frame (RFC 13). libzmq 2.1 sets those that nobody
# reads.
V1_FLAGS = (0x00, 0x7E)

# Other protocols that may answer on a port, by their first octets.
_FAMILIAR = {b"HTTP/": "HTTP", b"\x15\x03": "TLS", b"\x16\x03": "TLS", b"SSH-": "SSH"}

_KNOWN = {name.ljust(spec.MECHANISM_SIZE, b"\0"): name.decode() for name in (b"NULL", b"CURVE", b"PLAIN")}


def greeting(mechanism: bytes, *, as_server: bool) -> bytes:
    """Our greeting, 64 octets, for a mechanism of 20 (``spec.CURVE``, ``spec.NULL``)."""
    return _LAYOUT.pack(SIGNATURE, spec.MAJOR, spec.MINOR, mechanism, as_server)


def has_version(seen: spec.Octets) -> bool:
    """Whether a version follows a signature. In ZMTP 1.0 its octets are the header of a long frame that ends."""
    return bool(seen[SIGNATURE_LAST_AT] & 1)


def check_greeting_untrusted(seen: spec.Octets, *mechanisms: bytes) -> int:
    """Judge as much of a greeting as has come.

    seen: the first octets of the connection, up to 64.
    mechanisms: those that are acceptable (20 octets each).
    Returns how many octets there must be before there is more to say; 64 for a whole and good greeting.
    Raises PeerError: not_zmtp, zmtp_version, mechanism. As-server is judged by ``check_client_untrusted``.
    """
    have = len(seen)
    if have < 1:
        return 1
    if seen[0] != SIGNATURE_FIRST:
        if have > 1 and seen[0] and seen[1] in V1_FLAGS:
            raise PeerError(Fault.ZMTP_VERSION, "ZMTP 1.0")
        raise PeerError(Fault.NOT_ZMTP)
    if have < SIGNATURE_END:
        return SIGNATURE_END
    if not has_version(seen):
        raise PeerError(Fault.ZMTP_VERSION, "ZMTP 1.0")
    if have < MAJOR_END:
        return MAJOR_END
    if seen[MAJOR_AT] < spec.MAJOR:
        raise PeerError(Fault.ZMTP_VERSION, "ZMTP 2.0")
    field = bytes(seen[MECHANISM_AT:MECHANISM_END])
    if field not in mechanisms and not any(mechanism.startswith(field) for mechanism in mechanisms):
        raise PeerError(Fault.MECHANISM, f"it offers {_KNOWN[field]}" if field in _KNOWN else "")
    return ROLE_END if have < ROLE_END else spec.GREETING_SIZE


def check_client_untrusted(seen: spec.Octets, *others: bytes) -> int:
    """Judge as much of a CURVE client's greeting as has come; see ``check_greeting_untrusted``.

    others: mechanisms that are acceptable beside CURVE.
    Raises PeerError: not_zmtp, zmtp_version, mechanism, role. RFC 25 has the client write as-server 0, and
    all known clients do; 1 means that two servers face each other.
    """
    mark = check_greeting_untrusted(seen, spec.CURVE, *others)
    if len(seen) >= ROLE_END and seen[ROLE_AT]:
        raise PeerError(Fault.ROLE)
    return mark


def check_server_untrusted(seen: spec.Octets, mechanism: bytes) -> int:
    """Judge as much of the greeting of a server that we connect to as has come; see ``check_greeting_untrusted``.

    Raises PeerError: not_zmtp, with the protocol's name where it is a familiar one, zmtp_version, mechanism.
    """
    have = bytes(seen)
    for sign, protocol in _FAMILIAR.items():
        if have.startswith(sign):
            raise PeerError(Fault.NOT_ZMTP, f"it looks like {protocol}")
        if sign.startswith(have):
            return len(have) + 1
    return check_greeting_untrusted(seen, mechanism)
