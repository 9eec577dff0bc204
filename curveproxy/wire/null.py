"""The NULL handshake, without I/O: how the proxy greets a plain backend (RFC 23, "NULL Security Mechanism").

The first time it asks step by step which version the backend speaks, for older ones take a whole greeting
for frames. What it learned is remembered by its caller, and the next time all of it goes out in one piece.
"""

from collections.abc import Mapping
from enum import IntEnum

from curveproxy.reasons import BackendFailure
from curveproxy.wire import metadata, spec
from curveproxy.wire.frame import command, read_command_untrusted
from curveproxy.wire.greeting import (
    MAJOR_END,
    MINOR_AT,
    SIGNATURE,
    SIGNATURE_END,
    check_greeting_untrusted,
    greeting,
)

GREETING = greeting(spec.NULL, as_server=False)


class Manner(IntEnum):
    """How soon READY is said, which a peer may cut short for its socket type before it has told its own."""

    AT_ONCE = 0  # with the greeting: the peer is known to speak ZMTP 3
    STEPWISE = 1  # behind the peer's version
    LISTENING = 2  # behind the peer's READY


class NullPeer:
    """One handshake. Send ``opening()`` after connecting, then feed ``receive_untrusted`` until ``done``.

    properties, minor: the backend's, once done.
    rest: octets that came behind READY.
    """

    def __init__(self, properties: Mapping[str, bytes], manner: Manner = Manner.STEPWISE) -> None:
        self.done = False
        self.properties: dict[str, bytes] = {}
        self.minor = 0
        self.rest = b""
        self._ready = command(b"READY", metadata.encode(properties))
        self._manner = manner
        self._sent = spec.GREETING_SIZE if manner == Manner.AT_ONCE else SIGNATURE_END
        self._seen = b""

    def opening(self) -> bytes:
        """What to send first."""
        return GREETING + self._ready if self._manner == Manner.AT_ONCE else SIGNATURE

    @property
    def greeted(self) -> bool:
        """Whether the peer has said which version it speaks."""
        return len(self._seen) >= MAJOR_END

    def receive_untrusted(self, octets: bytes) -> bytes:
        """Take octets from the backend, give those to send back.

        Raises PeerError: greeting, mechanism, handshake.
        """
        self._seen += octets
        mark = check_greeting_untrusted(
            self._seen[: spec.GREETING_SIZE],
            spec.NULL,
            not_zmtp=BackendFailure.GREETING,
            version=BackendFailure.GREETING,
            other_mechanism=BackendFailure.MECHANISM,
        )
        have, sent = len(self._seen), self._sent
        if have < SIGNATURE_END:
            return b""
        # A signature earns our major version; that of a ZMTP 3 peer earns the rest, and READY behind it.
        if have < MAJOR_END:
            self._sent = max(sent, MAJOR_END)
            return GREETING[sent : self._sent]
        self._sent = spec.GREETING_SIZE
        answer = GREETING[sent:]
        if answer and self._manner == Manner.STEPWISE:
            answer += self._ready
        if have >= mark == spec.GREETING_SIZE:
            self._ready_untrusted(self._seen[spec.GREETING_SIZE :])
        return answer + self._ready if self.done and self._manner == Manner.LISTENING else answer

    def _ready_untrusted(self, seen: bytes) -> None:
        failure = BackendFailure.HANDSHAKE
        mark, begin, end = read_command_untrusted(
            seen, b"READY", 6, spec.BACKEND_HANDSHAKE_MAX, wrong=failure, small=failure, large=failure
        )
        if len(seen) < mark:
            return
        self.properties = metadata.read_untrusted(seen[begin + 6 : end], failure)
        self.minor = self._seen[MINOR_AT]
        self.rest = seen[end:]
        self.done = True
