"""A peer's way through the units of a mechanism, without an admission: octets go in by pieces of any size."""

import socket
from collections.abc import Sequence

from curveproxy.proxy.accept.half_open import Authenticated, HalfOpen, Mechanism, Unit
from support.gates import RecordingGate, RecordingOwner
from support.loopback import unix_pair


class Walk:
    """One connection whose peer is ``far``. half: what is known of it; marks: all that were measured.

    authenticated: the end of the handshake, once it has come.
    """

    def __init__(self, mechanism: Mechanism, gates: Sequence[RecordingGate]) -> None:
        self.mechanism = mechanism
        near, self.far = unix_pair()
        self.far.setblocking(False)
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)  # each octet counts as many, sent by itself
        self.half = HalfOpen(RecordingOwner(), near, gates[0], 1, 10.0)
        self.marks: list[int] = []
        self.authenticated: Authenticated | None = None

    def close(self) -> None:
        self.half.socket.close()
        self.far.close()

    @property
    def due(self) -> Unit:
        """The unit that is due. The first row of the table is the admission's."""
        return self.mechanism.units[self.half.unit - 1]

    def feed(self, octets: bytes, size: int = 1 << 20) -> bytes:
        """Send octets in pieces of a size, and let what is whole be taken. Returns what is answered.

        Raises PeerError, RefusedError and OSError, as the units do.
        """
        for at in range(0, len(octets), size):
            self.far.sendall(octets[at : at + size])
            while self.authenticated is None and self._take():
                pass
        try:
            return self.far.recv(1 << 16)
        except BlockingIOError:
            return b""

    def _take(self) -> bool:
        """Take the unit that is due, if it is whole."""
        unit = self.due
        view = memoryview(bytearray(unit.most))
        have = self.half.peek(view, unit.most) or 0
        mark, begin, end = unit.measure(view[:have])
        self.marks.append(mark)
        if have < mark:
            self.half.wait(have, mark, unit.opening)
            return False
        body = bytes(view[begin:end])
        self.half.take(view, end)
        self.authenticated = unit.take(self.half, body)
        return True
