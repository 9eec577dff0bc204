"""A peer whose handshake is complete: all that a session needs of it, whichever side connected."""

import socket
from collections.abc import Mapping
from typing import NamedTuple

from curveproxy.wire.security import Security, Version
from curveproxy.wire.zmtp.metadata import find


class Established(NamedTuple):
    """One side of a session that is to begin. Its socket is registered with the sessions' reactor.

    metadata: from its handshake, with Socket-Type where that is known.
    leftover: octets that came behind the handshake; skip: how many are still to come that belong to it.
    """

    socket: socket.SocketType
    metadata: Mapping[str, bytes]
    version: Version
    security: Security
    leftover: bytes = b""
    skip: int = 0

    @property
    def socket_type(self) -> bytes | None:
        return find(self.metadata, "Socket-Type")
