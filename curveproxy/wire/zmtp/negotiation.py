"""How the proxy greets a plain backend of any version, without I/O.

An unknown backend is asked step by step which version it speaks, because older versions take a whole greeting for
frames: libzmq 2.x takes its beginning for the size of an identity, 3.2 what is behind its version for messages. The
caller remembers what was learned: next time it greets a ZMTP 3 backend in one piece.
"""

from collections.abc import Mapping

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.zmtp.frame import LONG_LAYOUT, Dialect
from curveproxy.wire.zmtp.greeting import (
    MAJOR_AT,
    MAJOR_END,
    SIGNATURE_END,
    SIGNATURE_FIRST,
    SIGNATURE_LAST,
    V1_FLAGS,
    has_version,
)
from curveproxy.wire.zmtp.null import NullInitiator, Pacing
from curveproxy.wire.zmtp.v1 import V1Initiator
from curveproxy.wire.zmtp.v2 import V2Initiator

_OUR_MAJOR = bytes([spec.MAJOR])


class PlainInitiator(Initiator):
    """One handshake without security, of whichever version the backend speaks.

    properties: the client's, for the backend.
    identity: ours to a ZMTP 1.0 backend, for which an identity means a queue that outlives its owner.

    dialect: what the backend speaks; None while that is not known.
    """

    def __init__(
        self, properties: Mapping[str, bytes], pacing: Pacing = Pacing.STEPWISE, *, identity: bytes = b""
    ) -> None:
        super().__init__()
        self._properties, self._pacing, self._identity = properties, pacing, identity
        self._has_sent_major = False
        self.dialect: Dialect | None = None
        self._chosen: Initiator
        if pacing == Pacing.PIPELINED:
            self.dialect, self._chosen = Dialect.V3, NullInitiator(properties, pacing)

    def start(self) -> bytes:
        if self._pacing == Pacing.PIPELINED:
            return self._chosen.start()
        # A signature, and to ZMTP 1.0 the header of our identity's frame.
        return LONG_LAYOUT.pack(SIGNATURE_FIRST, len(self._identity) + 1) + bytes([SIGNATURE_LAST])

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: not_zmtp, zmtp_version, mechanism, command, ready, metadata, old_handshake, socket_type."""
        answer = b"" if self.dialect is not None else self._choose_untrusted()
        if self.dialect is None:
            return answer
        seen, self._seen = self._seen, b""
        answer += self._chosen.receive_untrusted(seen)
        if self._chosen.done:
            self._negotiated = self._chosen.negotiated
        return answer

    def _choose_untrusted(self) -> bytes:
        """Find out which version the backend speaks. Returns what to send for that."""
        dialect = read_dialect_untrusted(self._seen)
        answer = b""
        if len(self._seen) >= SIGNATURE_END and dialect != Dialect.V1 and not self._has_sent_major:
            answer, self._has_sent_major = _OUR_MAJOR, True
        if dialect is None:
            return answer
        if dialect == Dialect.V1:
            self._chosen = V1Initiator(self._identity)
        elif dialect == Dialect.V2:
            self._chosen = V2Initiator(self._properties)
        else:
            self._chosen = NullInitiator(self._properties, self._pacing)
        self.dialect = dialect
        return answer + self._chosen.start()


def read_dialect_untrusted(seen: bytes) -> Dialect | None:
    """Which version a backend speaks that was sent our signature, by its first octets; None while that is open.

    Raises PeerError: not_zmtp, zmtp_version.
    """
    if not seen:
        return None
    first = seen[0]
    if first != SIGNATURE_FIRST:
        # A 1.0 peer's first frame is its identity, the last of its message. Its flags come in two kinds.
        if not first or (len(seen) > 1 and seen[1] not in V1_FLAGS):
            raise PeerError(Fault.NOT_ZMTP)
        return Dialect.V1 if len(seen) > 1 else None
    if len(seen) < SIGNATURE_END:
        return None
    if not has_version(seen):
        return Dialect.V1
    if len(seen) < MAJOR_END:
        return None
    major = seen[MAJOR_AT]
    if major >= spec.MAJOR:
        return Dialect.V3
    if major == spec.V2_MAJOR:
        return Dialect.V2
    raise PeerError(Fault.ZMTP_VERSION, "a version that nobody speaks")
