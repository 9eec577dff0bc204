"""The handshake of ZMTP 2.0, which libzmq 3.2 speaks: a socket type, then an identity, from each side (RFC 15).

# type[1]   identity, a frame: 00 size[1] identity
"""

from collections.abc import Mapping

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect, frame, read_header
from curveproxy.wire.zmtp.greeting import MAJOR_END
from curveproxy.wire.zmtp.metadata import find

# RFC 15 has nine types; libzmq 3.2 sends two more, which there should appear as PUB and SUB.
TYPES = (b"PAIR", b"PUB", b"SUB", b"REQ", b"REP", b"DEALER", b"ROUTER", b"PULL", b"PUSH", b"XPUB", b"XSUB")
_SENT_AS = {b"XPUB": b"PUB", b"XSUB": b"SUB"}
_IDENTITY_AT = MAJOR_END + 1


class V2Initiator:
    """One handshake, behind our version. The face is that of ``null.NullPeer``.

    properties: the client's, of which this version knows Socket-Type and Identity.
    Raises PeerError, socket_type, for a type that it does not know.
    """

    dialect = Dialect.V2
    minor = 0

    def __init__(self, properties: Mapping[str, bytes]) -> None:
        self.done, self.rest = False, b""
        self.properties: Mapping[str, bytes] = {}
        told = find(properties, "Socket-Type") or b""
        told = _SENT_AS.get(told, told)
        if told not in TYPES:
            raise PeerError(Fault.SOCKET_TYPE, "ZMTP 2.0 does not know the client's")
        self._opening = bytes([TYPES.index(told)]) + frame(0, find(properties, "Identity") or b"")
        self._seen = b""

    def opening(self) -> bytes:
        """Our type and identity."""
        return self._opening

    def receive_untrusted(self, octets: bytes) -> bytes:
        """Take octets from the backend, its first ones first; there is nothing to send back.

        Raises PeerError: old_handshake.
        """
        seen = self._seen = self._seen + octets
        if len(seen) > MAJOR_END and seen[MAJOR_END] >= len(TYPES):
            raise PeerError(Fault.OLD_HANDSHAKE, "a socket type that ZMTP 2.0 does not know")
        if len(seen) > _IDENTITY_AT and seen[_IDENTITY_AT]:
            raise PeerError(Fault.OLD_HANDSHAKE, "no identity")
        header = read_header(seen, _IDENTITY_AT, len(seen), Dialect.V2)
        if header is not None and len(seen) >= header[1]:
            begin, end, _ = header
            self.properties = {"Socket-Type": TYPES[seen[MAJOR_END]]}
            if identity := seen[begin:end]:
                self.properties["Identity"] = identity
            self.rest, self.done = seen[end:], True
        return b""
