"""The handshake of ZMTP 1.0, which libzmq 2.x speaks: each side sends its identity as one frame (RFC 13).

There is no version, no socket type and no metadata. The signature that asked for the version is the header of our
identity's frame, in its long form.

# identity, short: size[1] flags[1] identity    long: FF size[8] flags[1] identity    size counts the flags too
"""

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import LONG_LAYOUT, Dialect, Span, read_header

_LAST = b"\0"  # flags of a frame that no other follows


def identity_frame(identity: bytes) -> bytes:
    """An identity, of at most 255 octets, as a whole frame."""
    size = len(_LAST) + len(identity)
    is_short = len(identity) <= spec.V1_SHORT_BODY_MAX
    return (bytes([size]) if is_short else LONG_LAYOUT.pack(spec.V1_LONG, size)) + _LAST + identity


def identity_span_untrusted(seen: spec.Octets) -> Span:
    """Judge as much of an identity's frame as has come. Raises PeerError: old_handshake."""
    have = len(seen)
    if (header := read_header(seen, 0, have, Dialect.V1)) is None:
        return Span(spec.SHORT_HEADER if have < spec.SHORT_HEADER else spec.V1_LONG_HEADER, 0, 0)
    begin, end, _ = header
    if not begin <= end <= begin + spec.IDENTITY_MAX:
        raise PeerError(Fault.OLD_HANDSHAKE, "its identity is too long, or has no size")
    return Span(end, begin, end)


def negotiated(identity: bytes, leftover: bytes = b"") -> Negotiated:
    """What is known of a peer with this identity."""
    properties = {"Identity": identity} if identity else {}
    return Negotiated(properties, Version(Dialect.V1, 0), Plain(), leftover)


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
        mark, begin, end = identity_span_untrusted(self._seen)
        if len(self._seen) >= mark:
            self._negotiated = negotiated(self._seen[begin:end], self._seen[end:])
        return b""
