"""A peer that has been greeted: all that a session needs of it, whichever side connected."""

import socket
from collections.abc import Mapping

from attrs import frozen

from curveproxy.wire.security import Security, Version
from curveproxy.wire.zmtp.metadata import find


@frozen
class Established:
    """One end of a session to be. Its socket is registered with the sessions' reactor already.

    metadata: of its handshake, with its Socket-Type wherever that is known.
    leftover: octets that came behind its handshake.
    """

    socket: socket.socket
    metadata: Mapping[str, bytes]
    version: Version
    security: Security
    leftover: bytes = b""

    @property
    def socket_type(self) -> bytes | None:
        return find(self.metadata, "Socket-Type")
