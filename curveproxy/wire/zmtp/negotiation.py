"""How the proxy greets a plain backend of any age, without I/O.

One that is not known is asked step by step which version it speaks, for older ones take a whole greeting for frames:
libzmq 2.x its header for the size of an identity, 3.2 what is behind its version for messages. What was learned is
remembered by the caller: a ZMTP 3 backend is the next time told all in one piece.
"""

from collections.abc import Mapping

from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect
from curveproxy.wire.zmtp.greeting import MAJOR_END, SIGNATURE_END, V1_FLAGS
from curveproxy.wire.zmtp.null import NullInitiator, Pacing
from curveproxy.wire.zmtp.v1 import V1Initiator
from curveproxy.wire.zmtp.v2 import V2Initiator

_ZMTP_2, _ZMTP_3 = 1, 3  # as the octet behind the signature tells them
_OUR_MAJOR = bytes([_ZMTP_3])

Handshake = NullInitiator | V2Initiator | V1Initiator


class PlainInitiator:
    """One handshake. Send ``opening()`` after connecting, then feed ``receive_untrusted`` until ``done``.

    properties: the client's, for the backend.
    identity: what a ZMTP 1.0 backend is told, for which an identity means a queue that outlives its owner.

    spoken: the handshake of its version, once that is known; when done, its ``properties`` and ``minor`` are the
        backend's, and ``rest`` is what came behind it.
    """

    def __init__(
        self, properties: Mapping[str, bytes], manner: Pacing = Pacing.STEPWISE, *, identity: bytes = b""
    ) -> None:
        self._ours, self._manner, self._identity = properties, manner, identity
        self._seen, self._has_said_major = b"", False
        self.spoken: Handshake | None = None
        if manner == Pacing.AT_ONCE:
            self.spoken = NullInitiator(properties, manner)

    @property
    def done(self) -> bool:
        return self.spoken is not None and self.spoken.done

    def opening(self) -> bytes:
        """What to send first."""
        if self.spoken is not None:
            return self.spoken.opening()
        return b"\xff" + (len(self._identity) + 1).to_bytes(8, "big") + b"\x7f"

    def receive_untrusted(self, octets: bytes) -> bytes:
        """Take octets from the backend, give those to send back.

        Raises PeerError: not_zmtp, zmtp_version, mechanism, command, ready, metadata, old_handshake, socket_type.
        """
        if self.spoken is not None:
            return self.spoken.receive_untrusted(octets)
        seen = self._seen = self._seen + octets
        dialect = spoken_untrusted(seen)
        answer = b""
        if len(seen) >= SIGNATURE_END and dialect != Dialect.V1 and not self._has_said_major:
            answer, self._has_said_major = _OUR_MAJOR, True
        if dialect is None:
            return answer
        if dialect == Dialect.V1:
            self.spoken = V1Initiator(self._identity)
        elif dialect == Dialect.V2:
            self.spoken = V2Initiator(self._ours)
        else:
            self.spoken = NullInitiator(self._ours, self._manner)
        answer += self.spoken.opening()
        return answer + self.spoken.receive_untrusted(seen)


def spoken_untrusted(seen: bytes) -> Dialect | None:
    """Which version a backend speaks that was sent our signature, by its first octets; None while that is open.

    Raises PeerError: not_zmtp, zmtp_version.
    """
    if not seen:
        return None
    if seen[0] != 0xFF:
        # A 1.0 peer's first frame is its identity, the last of its message. Its flags come in two kinds.
        if not seen[0] or (len(seen) > 1 and seen[1] not in V1_FLAGS):
            raise PeerError(Fault.NOT_ZMTP)
        return Dialect.V1 if len(seen) > 1 else None
    if len(seen) < SIGNATURE_END:
        return None
    if not seen[SIGNATURE_END - 1] & 1:
        return Dialect.V1
    if len(seen) < MAJOR_END:
        return None
    major = seen[SIGNATURE_END]
    if major >= _ZMTP_3:
        return Dialect.V3
    if major == _ZMTP_2:
        return Dialect.V2
    raise PeerError(Fault.ZMTP_VERSION, "a version that nobody speaks")
