"""Whether anybody listens at a service's endpoint, found out without a connection that the service would see.

libzmq 3.2 to 4.3.2 deals messages to whoever has connected, before any greeting: a connection that is only opened and
closed costs a PUSH or DEALER all that it has in its queue. So TCP is asked for its SYN-ACK, which is answered with
a reset: that connection never reaches accept. A Unix socket is asked by one of another type, whose error tells.
"""

import errno
import socket
import struct

import trio

from curveproxy.proxy.connect.address import Address, is_allowed, resolve
from curveproxy.proxy.net.endpoint import Endpoint

# How long a SYN may stay without an answer.
LOOK_SECONDS = 1.0

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


async def listens(endpoint: Endpoint, *, allow_remote: bool) -> bool:
    """Whether somebody listens there. Never raises: what can not be found out is a no, but for abstract Unix sockets.

    A name is resolved as for a dial; allow_remote: also where its address is not loopback.
    """
    if endpoint.transport == "ipc":
        return _listens_unix(endpoint)
    for address in await resolve(endpoint):
        if is_allowed(address, allow_remote=allow_remote) and await _listens_tcp(address):
            return True
    return False


async def _listens_tcp(address: Address) -> bool:
    family, place = address
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock, trio.move_on_after(LOOK_SECONDS):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)  # the ACK waits, and the reset comes first
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            if sock.connect_ex(place) not in (0, errno.EINPROGRESS):
                return False
            await trio.lowlevel.wait_writable(sock)
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    except OSError:
        pass
    return False


def _listens_unix(endpoint: Endpoint) -> bool:
    """A datagram socket can not connect to one for streams: EPROTOTYPE where there is one, and it hears nothing.

    The abstract namespace keeps the types apart: nothing can be told of it, and a client has to try.
    """
    if endpoint.host.startswith("@"):
        return True
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            return sock.connect_ex(endpoint.host) == errno.EPROTOTYPE
    except OSError:
        return False
