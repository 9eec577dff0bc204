"""What goes over TCP, as the kernel counts it: what ``ss -ti`` shows as bytes_received."""

import socket
import struct

SOCK_DIAG, SOCK_DIAG_BY_FAMILY, DUMP, DONE, ERROR = 4, 20, 0x301, 3, 2  # of linux/netlink.h, linux/sock_diag.h
ESTABLISHED, INFO = 1, 2  # of tcp_states.h, INET_DIAG_INFO of linux/inet_diag.h
HEADER = struct.Struct("=IHHII")  # nlmsghdr: size, type, flags, number, port
REQUEST = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states, and any socket
PORTS, ATTRIBUTES = 4, 72  # where in inet_diag_msg the ports are, and where it ends
RECEIVED = 128  # where in tcp_info tcpi_bytes_received is, of Linux 4.1
BUFFER = 1 << 16


def octets(port: int) -> int:
    """Octets that both ends of all connections to this port of the loopback have received. Raises OSError."""
    body = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << INFO - 1, 1 << ESTABLISHED)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as sock:
        sock.send(HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, DUMP, 1, 0) + body)
        found, last = 0, False
        while not last:
            part, last = _counted(sock.recv(BUFFER), port)
            found += part
    return found


def _counted(datagram: bytes, port: int) -> tuple[int, bool]:
    """Of the messages in it: the octets, and whether one of them is the last."""
    found, at = 0, 0
    while at < len(datagram):
        size, kind, *_ = HEADER.unpack_from(datagram, at)
        if kind == ERROR:
            raise OSError("the kernel does not count what its sockets receive")
        if kind == DONE:
            return found, True
        begin = at + HEADER.size
        if port in struct.unpack_from(">HH", datagram, begin + PORTS):
            found += _received(datagram[begin + ATTRIBUTES : at + size])
        at += _aligned(size)
    return found, False


def _received(attributes: bytes) -> int:
    at = 0
    while at < len(attributes):
        size, kind = struct.unpack_from("=HH", attributes, at)
        if kind == INFO:
            (octets,) = struct.unpack_from("=Q", attributes, at + 4 + RECEIVED)
            return int(octets)
        at += _aligned(size)
    return 0


def _aligned(size: int) -> int:
    return (size + 3) & ~3
