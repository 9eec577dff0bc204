"""Both ends of a connection in one process: the near one is the proxy's, the far one a test's."""

import socket
import struct

from curveproxy.proxy.net.endpoint import Endpoint
from support.process import free_port

SECONDS = 10  # that a far end waits at most


def tcp_pair(host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    """Near and far end of a connection over TCP; the near one does not block."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        far = socket.create_connection(listener.getsockname()[:2])
        near, _ = listener.accept()
    near.setblocking(False)
    far.settimeout(SECONDS)
    return near, far


def unix_pair() -> tuple[socket.socket, socket.socket]:
    """Near and far end of a connection in which octets are there as soon as they are sent."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(SECONDS)
    return near, far


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def has_closed(far: socket.socket) -> bool:
    """Whether the near end has closed and there is nothing more to read. Waits for it."""
    try:
        return far.recv(1) == b""
    except ConnectionResetError:
        return True


def free_endpoint() -> Endpoint:
    """One where nobody listens."""
    return Endpoint("tcp", "127.0.0.1", free_port())
