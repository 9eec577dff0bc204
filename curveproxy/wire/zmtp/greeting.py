"""The ZMTP 3 greeting: 64 octets that say version, mechanism and role (RFC 23, "Version Negotiation").

# signature[10]: FF padding[8] 7F   version[2]: major minor   mechanism[20]   as_server[1]   filler[31]
"""

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError

# Where each field ends. Between accept and a whole greeting we look at these marks, so that whatever is wrong
# is refused as soon as it has come, and no half of a greeting wakes us more than five times.
SIGNATURE_END = 10
MAJOR_END = 11
MINOR_AT = 11
MECHANISM_AT = 12
MECHANISM_END = MECHANISM_AT + spec.MECHANISM_SIZE
ROLE_END = 33

# RFC 13: a ZMTP 1.0 peer opens with its identity, a last frame; libzmq 2.1 sets the flags that nobody reads.
V1_FLAGS = (0x00, 0x7E)

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"


def greeting(mechanism: bytes, *, as_server: bool) -> bytes:
    """Our greeting, 64 octets, for a mechanism of 20 (``spec.CURVE``, ``spec.NULL``)."""
    return SIGNATURE + bytes([3, spec.MINOR]) + mechanism + bytes([as_server]) + bytes(31)


def check_greeting_untrusted(seen: spec.Octets, mechanism: bytes) -> int:
    """Judge as much of a greeting as has come.

    seen: the first octets of the connection, up to 64.
    mechanism: the only one that is acceptable (20 octets).
    Returns how many octets there must be before there is more to say; 64 for a whole and good greeting.
    Raises PeerError: not_zmtp, zmtp_version, mechanism. As-server is judged by ``check_client_untrusted``.
    """
    have = len(seen)
    if have < 1:
        return 1
    if seen[0] != 0xFF:
        if have > 1 and seen[0] and seen[1] in V1_FLAGS:
            raise PeerError(Fault.ZMTP_VERSION, "ZMTP 1.0")
        raise PeerError(Fault.NOT_ZMTP)
    if have < SIGNATURE_END:
        return SIGNATURE_END
    if not seen[9] & 1:
        raise PeerError(Fault.ZMTP_VERSION, "ZMTP 1.0")  # FF and 8 octets were the length of a long identity
    if have < MAJOR_END:
        return MAJOR_END
    if seen[10] < 3:
        raise PeerError(Fault.ZMTP_VERSION, "ZMTP 2.0")
    field = bytes(seen[MECHANISM_AT:MECHANISM_END])
    if not mechanism.startswith(field):
        known = {name: name.rstrip(b"\0").decode() for name in (spec.NULL, spec.CURVE, b"PLAIN".ljust(20, b"\0"))}
        raise PeerError(Fault.MECHANISM, f"it offers {known[field]}" if field in known else "")
    return ROLE_END if have < ROLE_END else spec.GREETING_SIZE


def check_client_untrusted(seen: spec.Octets) -> int:
    """Judge as much of a CURVE client's greeting as has come; see ``check_greeting_untrusted``.

    Raises PeerError: not_zmtp, zmtp_version, mechanism, role. RFC 25 has the client write as-server 0, and
    all known ones do; 1 means that two servers face each other.
    """
    mark = check_greeting_untrusted(seen, spec.CURVE)
    if len(seen) >= ROLE_END and seen[MECHANISM_END]:
        raise PeerError(Fault.ROLE)
    return mark
