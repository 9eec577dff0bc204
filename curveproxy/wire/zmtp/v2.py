"""The handshake of ZMTP 2.0, which libzmq 3.2 speaks: a socket type, then an identity, from each side (RFC 15).

# behind the version: type[1]   identity, a frame: 00 size[1] identity
"""

from collections.abc import Mapping

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect, Span, frame, read_header
from curveproxy.wire.zmtp.greeting import MAJOR_END
from curveproxy.wire.zmtp.metadata import find

# RFC 15 has nine types. libzmq 3.2 sends two more, which are to appear as PUB and SUB in the handshake.
TYPES = (b"PAIR", b"PUB", b"SUB", b"REQ", b"REP", b"DEALER", b"ROUTER", b"PULL", b"PUSH", b"XPUB", b"XSUB")
_SENT_AS = {b"XPUB": b"PUB", b"XSUB": b"SUB"}
_TYPE_AT = MAJOR_END
_IDENTITY_AT = _TYPE_AT + 1


def check_type_untrusted(number: int) -> None:
    """Judge the octet of a socket type. Raises PeerError: old_handshake."""
    if number >= len(TYPES):
        raise PeerError(Fault.OLD_HANDSHAKE, "a socket type that ZMTP 2.0 does not know")


def identity_span_untrusted(seen: spec.Octets) -> Span:
    """Judge as much of an identity's frame as has come. Raises PeerError: old_handshake."""
    have = len(seen)
    if have and seen[0]:  # flags
        raise PeerError(Fault.OLD_HANDSHAKE, "no identity")
    if (header := read_header(seen, 0, have, Dialect.V2)) is None:
        return Span(spec.SHORT_HEADER, 0, 0)
    begin, end, _ = header
    return Span(end, begin, end)


def negotiated(number: int, identity: bytes, leftover: bytes = b"") -> Negotiated:
    """What is known of a peer of this type, with this identity."""
    properties = {"Socket-Type": TYPES[number]} | ({"Identity": identity} if identity else {})
    return Negotiated(properties, Version(Dialect.V2, 0), Plain(), leftover)


def type_octet(kind: bytes) -> bytes:
    """A socket type as it is told. Raises PeerError: socket_type, for one that this version has no number for."""
    kind = _SENT_AS.get(kind, kind)
    if kind not in TYPES:
        raise PeerError(Fault.SOCKET_TYPE, "ZMTP 2.0 does not know the client's")
    return bytes([TYPES.index(kind)])


def identity_frame(identity: bytes) -> bytes:
    """An identity, of at most 255 octets, as a whole frame."""
    return frame(0, identity)


class V2Initiator(Initiator):
    """One handshake of ZMTP 2.0, behind our version.

    properties: ours, of which this version knows Socket-Type and Identity.
    Raises PeerError, socket_type, for a type that this version has no number for.
    """

    def __init__(self, properties: Mapping[str, bytes]) -> None:
        super().__init__()
        kind, identity = find(properties, "Socket-Type") or b"", find(properties, "Identity") or b""
        self._start = type_octet(kind) + identity_frame(identity)

    def start(self) -> bytes:
        return self._start

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: old_handshake."""
        if len(self._seen) <= _TYPE_AT:
            return b""
        check_type_untrusted(number := self._seen[_TYPE_AT])
        behind = self._seen[_IDENTITY_AT:]
        mark, begin, end = identity_span_untrusted(behind)
        if len(behind) >= mark:
            self._negotiated = negotiated(number, behind[begin:end], behind[end:])
        return b""
