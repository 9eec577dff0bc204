"""The handshake of ZMTP 3 without security: a greeting, then READY with metadata (RFC 23, "The NULL Mechanism")."""

from collections.abc import Mapping
from enum import IntEnum

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Dialect, Due, command, read_command_untrusted
from curveproxy.wire.zmtp.greeting import MAJOR_END, MINOR_AT, check_greeting_untrusted, greeting

GREETING = greeting(spec.NULL, as_server=False)
READY = Due(b"READY", len(b"\x05READY"), spec.BACKEND_HANDSHAKE_MAX, Fault.READY, Fault.READY)


class Pacing(IntEnum):
    """How soon READY is said, which a peer may cut short for its socket type before it has told its own."""

    AT_ONCE = 0  # with the greeting: the peer is known to speak ZMTP 3
    STEPWISE = 1  # behind the peer's version
    LISTENING = 2  # behind the peer's READY


class NullInitiator:
    """One handshake. Send ``opening()``, then feed ``receive_untrusted`` until ``done``.

    manner: all but AT_ONCE begin behind our signature and major version, which ``plain.PlainPeer`` has sent.
    properties, minor: the backend's, once done.
    rest: octets that came behind READY.
    """

    dialect = Dialect.V3

    def __init__(self, properties: Mapping[str, bytes], manner: Pacing) -> None:
        self.done = False
        self.properties: Mapping[str, bytes] = {}
        self.minor = 0
        self.rest = b""
        self._ready = command(b"READY", metadata.encode(properties))
        self._manner = manner
        self._seen = b""

    def opening(self) -> bytes:
        """What to send first."""
        due = GREETING if self._manner == Pacing.AT_ONCE else GREETING[MAJOR_END:]
        return due if self._manner == Pacing.LISTENING else due + self._ready

    def receive_untrusted(self, octets: bytes) -> bytes:
        """Take octets from the backend, its first ones first; give those to send back.

        Raises PeerError: not_zmtp, zmtp_version, mechanism, command, ready, metadata.
        """
        self._seen += octets
        mark = check_greeting_untrusted(self._seen[: spec.GREETING_SIZE], spec.NULL)
        if len(self._seen) >= mark == spec.GREETING_SIZE:
            self._ready_untrusted(self._seen[spec.GREETING_SIZE :])
        return self._ready if self.done and self._manner == Pacing.LISTENING else b""

    def _ready_untrusted(self, seen: bytes) -> None:
        mark, begin, end = read_command_untrusted(seen, READY)
        if len(seen) < mark:
            return
        self.properties = metadata.read_untrusted(seen[begin + READY.least : end])
        self.minor = self._seen[MINOR_AT]
        self.rest = seen[end:]
        self.done = True
