"""The header by which a load balancer tells whose connection it forwards: version 2 of HAProxy's PROXY protocol.

Only the sender's address is of interest. Whether to believe it is for others to decide.
"""

import ipaddress
import struct

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.spec import Octets

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16  # signature, version and command, family and transport, length
MOST = 536  # what fits into the smallest datagram, with all that balancers add
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
SIZES = {TCP4: 12, TCP6: 36}

# Host and port.
Address = tuple[str, int]


def header_mark_untrusted(seen: Octets) -> int:
    """Judge as much of a header as has come: how many octets of it are needed next, in the end all.

    Raises PeerError: not_zmtp.
    """
    if bytes(seen[: len(SIGNATURE)]) != SIGNATURE[: len(seen)]:
        raise PeerError(Fault.NOT_ZMTP, "no PROXY protocol header from the balancer")
    if len(seen) < FIXED:
        return FIXED if seen else 1  # the first octet tells a client that came without a balancer
    size = FIXED + int.from_bytes(seen[14:16], "big")
    if size > MOST:
        raise PeerError(Fault.NOT_ZMTP, "a PROXY protocol header of more than 536 octets")
    return size


def read_header_untrusted(header: bytes) -> Address | None:
    """Whose connection it is; None where the balancer speaks for itself, or of what has no address.

    header: whole, see ``header_mark_untrusted``. Raises PeerError: not_zmtp.
    """
    command, family = header[12], header[13]
    if command not in (LOCAL, PROXY):
        raise PeerError(Fault.NOT_ZMTP, "a PROXY protocol header of another version or command")
    size = SIZES.get(family)
    if command == LOCAL or size is None:
        return None
    if len(header) < FIXED + size:
        raise PeerError(Fault.NOT_ZMTP, "a PROXY protocol header without the address that it announces")
    address = header[FIXED : FIXED + size]
    half = (size - 4) // 2
    host = ipaddress.ip_address(address[:half])
    [port] = struct.unpack(">H", address[2 * half : 2 * half + 2])
    return str(host), port
