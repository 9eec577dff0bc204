"""The handshake of ZMTP 1.0, which libzmq 2.x speaks: each side sends its identity as one frame (RFC 13).

There is no version, no socket type and no metadata. The signature that asked for the version is the header of our
identity's frame, in its long form.

# identity, short: size[1] flags[1] identity    long: FF size[8] flags[1] identity    size counts the flags too
"""

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect, read_header


class V1Initiator(Initiator):
    """One handshake of ZMTP 1.0, behind the signature.

    identity: ours, of the size that the signature has announced.
    """

    def __init__(self, identity: bytes) -> None:
        super().__init__()
        self._identity = identity

    def start(self) -> bytes:
        return self._identity

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: old_handshake."""
        if (header := read_header(self._seen, 0, len(self._seen), Dialect.V1)) is None:
            return b""
        begin, end, _ = header
        if not begin <= end <= begin + spec.IDENTITY_MAX:
            raise PeerError(Fault.OLD_HANDSHAKE, "its identity is too long, or has no size")
        if len(self._seen) >= end:
            identity = self._seen[begin:end]
            properties = {"Identity": identity} if identity else {}
            self._negotiated = Negotiated(properties, Version(Dialect.V1, 0), Plain(), self._seen[end:])
        return b""
