"""The handshake of ZMTP 2.0, which libzmq 3.2 speaks: a socket type, then an identity, from each side (RFC 15).

# behind the version: type[1]   identity, a frame: 00 size[1] identity
"""

from collections.abc import Mapping

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect, frame, read_header
from curveproxy.wire.zmtp.greeting import MAJOR_END
from curveproxy.wire.zmtp.metadata import find

# RFC 15 has nine types. libzmq 3.2 sends two more, which are to appear as PUB and SUB in the handshake.
TYPES = (b"PAIR", b"PUB", b"SUB", b"REQ", b"REP", b"DEALER", b"ROUTER", b"PULL", b"PUSH", b"XPUB", b"XSUB")
_SENT_AS = {b"XPUB": b"PUB", b"XSUB": b"SUB"}
_TYPE_AT = MAJOR_END
_IDENTITY_AT = _TYPE_AT + 1


class V2Initiator(Initiator):
    """One handshake of ZMTP 2.0, behind our version.

    properties: ours, of which this version knows Socket-Type and Identity.
    Raises PeerError, socket_type, for a type that this version has no number for.
    """

    def __init__(self, properties: Mapping[str, bytes]) -> None:
        super().__init__()
        ours = find(properties, "Socket-Type") or b""
        ours = _SENT_AS.get(ours, ours)
        if ours not in TYPES:
            raise PeerError(Fault.SOCKET_TYPE, "ZMTP 2.0 does not know the client's")
        self._start = bytes([TYPES.index(ours)]) + frame(0, find(properties, "Identity") or b"")

    def start(self) -> bytes:
        return self._start

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: old_handshake."""
        seen = self._seen
        if len(seen) > _TYPE_AT and seen[_TYPE_AT] >= len(TYPES):
            raise PeerError(Fault.OLD_HANDSHAKE, "a socket type that ZMTP 2.0 does not know")
        if len(seen) > _IDENTITY_AT and seen[_IDENTITY_AT]:  # flags
            raise PeerError(Fault.OLD_HANDSHAKE, "no identity")
        header = read_header(seen, _IDENTITY_AT, len(seen), Dialect.V2)
        if header is not None and len(seen) >= header[1]:
            begin, end, _ = header
            properties = {"Socket-Type": TYPES[seen[_TYPE_AT]]}
            if begin < end:
                properties["Identity"] = seen[begin:end]
            self._negotiated = Negotiated(properties, Version(Dialect.V2, 0), Plain(), seen[end:])
        return b""
