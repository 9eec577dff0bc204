"""The header by which a load balancer tells whose connection it forwards: version 2 of HAProxy's PROXY protocol.

Only the sender's address is of interest. The caller decides whether to believe it.
"""

import ipaddress
import struct

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.spec import Octets

# The fixed part of a header, 16 octets:
# * signature[12]
# * command[1]: with the version in its upper half
# * family[1]: with the transport in its lower half
# * size[2]: of what follows
FIXED = struct.Struct("> 12s B B H")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MOST = 536  # what fits into the smallest datagram, with all that balancers add
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21

# What follows for TCP: source[4 or 16] destination[4 or 16] source_port[2] destination_port[2]
ADDRESSES = {TCP4: struct.Struct("> 4s 4x H 2x"), TCP6: struct.Struct("> 16s 16x H 2x")}

# Host and port.
Address = tuple[str, int]


def header_mark_untrusted(seen: Octets) -> int:
    """Judge as much of a header as has come. Returns how many octets of it are needed next, in the end all of them.

    Raises PeerError: not_zmtp.
    """
    if bytes(seen[: len(SIGNATURE)]) != SIGNATURE[: len(seen)]:
        raise PeerError(Fault.NOT_ZMTP, "no PROXY protocol header from the balancer")
    if len(seen) < FIXED.size:
        return FIXED.size if seen else 1  # the first octet tells a client that came without a balancer
    _, _, _, size = FIXED.unpack_from(seen)
    if FIXED.size + size > MOST:
        raise PeerError(Fault.NOT_ZMTP, f"a PROXY protocol header of more than {MOST} octets")
    return FIXED.size + int(size)


def read_header_untrusted(header: bytes) -> Address | None:
    """The address of the client; None where the balancer speaks for itself, or for a client without an address.

    header: whole, see ``header_mark_untrusted``. Raises PeerError: not_zmtp.
    """
    _, command, family, _ = FIXED.unpack_from(header)
    if command not in (LOCAL, PROXY):
        raise PeerError(Fault.NOT_ZMTP, "a PROXY protocol header of another version or command")
    addresses = ADDRESSES.get(family)
    if command == LOCAL or addresses is None:
        return None
    if len(header) < FIXED.size + addresses.size:
        raise PeerError(Fault.NOT_ZMTP, "a PROXY protocol header without the address that it announces")
    host, port = addresses.unpack_from(header, FIXED.size)
    return str(ipaddress.ip_address(host)), port
