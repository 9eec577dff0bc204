"""The handshake of ZMTP 1.0, which libzmq 2.x speaks: each side sends its identity as one frame (RFC 13).

There is no version, no socket type and no metadata. The signature that asked for the version was the header of our
identity's frame, in its long form.

# identity, short: size[1] flags[1] identity    long: FF size[8] flags[1] identity    size counts the flags too
"""

from collections.abc import Mapping

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect, read_header


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
        if (header := read_header(seen, 0, len(seen), Dialect.V1)) is None:
            return b""
        begin, end, _ = header
        if not begin <= end <= begin + spec.IDENTITY_MAX:
            raise PeerError(Fault.OLD_HANDSHAKE, "its identity is too long, or has no size")
        if len(seen) >= end:
            identity = seen[begin:end]
            self.properties = {"Identity": identity} if identity else {}
            self.rest, self.done = seen[end:], True
        return b""
