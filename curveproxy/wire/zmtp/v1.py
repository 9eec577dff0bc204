"""The handshake of ZMTP 1.0, which libzmq 2.x speaks: each side sends its identity as one frame (RFC 13).

There is no version, no socket type and no metadata. The signature that asked for the version was the header of our
identity's frame, in its long form.

# identity, short: size[1] flags[1] identity    long: FF size[8] flags[1] identity    size counts the flags too
"""

from collections.abc import Mapping

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect

IDENTITY_MAX = 255
_LONG = 0xFF
_SHORT_HEADER, _LONG_HEADER = 2, 10


class V1Initiator:
    """One handshake, behind the signature. The face is that of ``null.NullPeer``.

    identity: ours, as the signature has promised.
    """

    dialect = Dialect.V1
    minor = 0

    def __init__(self, identity: bytes) -> None:
        self.done, self.rest = False, b""
        self.properties: Mapping[str, bytes] = {}
        self._identity, self._seen = identity, b""

    def opening(self) -> bytes:
        """What is left to be sent of our identity."""
        return self._identity

    def receive_untrusted(self, octets: bytes) -> bytes:
        """Take octets from the backend, its first ones first; there is nothing to send back.

        Raises PeerError: old_handshake.
        """
        seen = self._seen = self._seen + octets
        header = _LONG_HEADER if seen[:1] == b"\xff" else _SHORT_HEADER
        if len(seen) < header:
            return b""
        size = int.from_bytes(seen[1:9], "big") if header == _LONG_HEADER else seen[0]
        if not 1 <= size <= IDENTITY_MAX + 1:
            raise PeerError(Fault.OLD_HANDSHAKE, "its identity is too long, or has no size")
        end = header + size - 1
        if len(seen) >= end:
            identity = seen[header:end]
            self.properties = {"Identity": identity} if identity else {}
            self.rest, self.done = seen[end:], True
        return b""
