"""The handshake of ZMTP 3 without security: a greeting, then READY with metadata (RFC 23, "The NULL Mechanism").

# READY, 6 + n octets: name[6] metadata[n]
"""

from collections.abc import Mapping
from enum import IntEnum

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Dialect, Due, frame, read_command_untrusted
from curveproxy.wire.zmtp.greeting import MAJOR_END, MINOR_AT, check_greeting_untrusted, greeting

GREETING = greeting(spec.NULL, as_server=False)

READY_LEAST = READY_METADATA_AT = len(spec.READY_NAME)
_READY_DUE = Due(spec.READY_NAME, READY_LEAST, spec.BACKEND_HANDSHAKE_MAX, Fault.READY, Fault.READY)


def ready(properties: Mapping[str, bytes]) -> bytes:
    """READY's frame."""
    return frame(spec.COMMAND, spec.READY_NAME + metadata.encode(properties))


class Pacing(IntEnum):
    """When we send READY. A peer that does not like our socket type may close before it has sent its own."""

    PIPELINED = 0  # with the greeting: the peer is known to speak ZMTP 3
    STEPWISE = 1  # behind the peer's version
    PEER_FIRST = 2  # behind the peer's READY


class NullInitiator(Initiator):
    """One handshake of ZMTP 3.

    pacing: all but PIPELINED begin behind our signature and major version, which ``PlainInitiator`` has sent.
    """

    def __init__(self, properties: Mapping[str, bytes], pacing: Pacing) -> None:
        super().__init__()
        self._ready = ready(properties)
        self._pacing = pacing

    def start(self) -> bytes:
        due = GREETING if self._pacing == Pacing.PIPELINED else GREETING[MAJOR_END:]
        return due if self._pacing == Pacing.PEER_FIRST else due + self._ready

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: not_zmtp, zmtp_version, mechanism, command, ready, metadata."""
        mark = check_greeting_untrusted(self._seen[: spec.GREETING_SIZE], spec.NULL)
        if len(self._seen) < mark:
            return b""
        seen = self._seen[spec.GREETING_SIZE :]
        mark, begin, end = read_command_untrusted(seen, _READY_DUE)
        if len(seen) < mark:
            return b""
        properties = metadata.read_untrusted(seen[begin + READY_METADATA_AT : end])
        version = Version(Dialect.V3, self._seen[MINOR_AT])
        self._negotiated = Negotiated(properties, version, Plain(), seen[end:])
        return self._ready if self._pacing == Pacing.PEER_FIRST else b""
