"""The client's side of the CURVE handshake, without I/O: octets in, octets out (RFC 26).

For ``demo`` and ``probe``; the proxy's own clients bring their own.
"""

import string
from collections.abc import Mapping
from enum import StrEnum

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box
from curveproxy.wire.curve.keys import KeyPair, short_nonce
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Curve, Negotiated, Version
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Dialect, Due, command, read_command_untrusted, read_frame
from curveproxy.wire.zmtp.greeting import MINOR_AT, check_greeting_untrusted, greeting

# What a server may answer at most to INITIATE: READY's metadata is unbounded by the RFC.
READY_MAX = spec.READY_OVERHEAD + 65536

WELCOME = Due(b"WELCOME", spec.WELCOME_SIZE, spec.WELCOME_SIZE, Fault.WELCOME, Fault.WELCOME)
READY = Due(b"READY", spec.READY_OVERHEAD, READY_MAX, Fault.READY, Fault.READY)

# A client numbers its commands and messages from one on.
HELLO_NONCE, INITIATE_NONCE = 1, 2

# Who else answers on a port, by the first octets.
FAMILIAR = {b"HTTP/": "HTTP", b"\x15\x03": "TLS", b"\x16\x03": "TLS", b"SSH-": "SSH"}

# A word in ERROR.
WORD = frozenset(string.ascii_lowercase + "_")
REASON_MAX = 32

# What may come where another command is due: from another client, and from a server that refuses.
SHORT_COMMAND = bytes([spec.COMMAND])
INSTEAD = {b"WELCOME": b"\x05HELLO", b"READY": b"\x05ERROR"}


class Stage(StrEnum):
    """What is awaited from the server."""

    GREETING = "greeting"
    WELCOME = "welcome"
    READY = "ready"
    DONE = "done"


class CurveInitiator(Initiator):
    """One handshake of a CURVE client.

    stage: what is awaited.
    minor: the server's minor version of ZMTP, once its greeting has come.
    """

    def __init__(
        self,
        server: bytes,
        keys: KeyPair,
        transient: KeyPair,
        vouch_nonce: bytes,
        properties: Mapping[str, bytes],
    ) -> None:
        super().__init__()
        self.stage = Stage.GREETING
        self.minor = 0
        self._shared = b""
        self._server, self._keys, self._transient = server, keys, transient
        self._vouch_nonce, self._metadata = vouch_nonce, metadata.encode(properties)

    def start(self) -> bytes:
        """The greeting. HELLO follows when the server's has been seen."""
        return greeting(spec.CURVE, as_server=False)

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: not_zmtp, zmtp_version, mechanism, role, command, welcome, ready, metadata, refused."""
        answer = b""
        if self.stage is Stage.GREETING and self._greeting_untrusted():
            self.stage, answer = Stage.WELCOME, self._hello()
        if self.stage is Stage.WELCOME and (body := self._command_untrusted(WELCOME)):
            self.stage, answer = Stage.READY, answer + self._initiate_untrusted(body)
        if self.stage is Stage.READY and (body := self._command_untrusted(READY)):
            self._negotiated = self._ready_untrusted(body)
            self.stage = Stage.DONE
        return answer

    def _greeting_untrusted(self) -> bool:
        for sign, protocol in FAMILIAR.items():
            if self._seen.startswith(sign):
                raise PeerError(Fault.NOT_ZMTP, f"it looks like {protocol}")
            if sign.startswith(self._seen):
                return False
        mark = check_greeting_untrusted(self._seen[: spec.GREETING_SIZE], spec.CURVE)
        if len(self._seen) < mark:
            return False
        self.minor = self._seen[MINOR_AT]
        self._seen = self._seen[mark:]
        return True

    def _command_untrusted(self, due: Due) -> bytes:
        """The body of the command that is due, or nothing while it is not whole."""
        if self._seen[:1] == SHORT_COMMAND and INSTEAD[due.name].startswith(self._seen[2:8]):
            if (found := read_frame(self._seen)) is None:
                return b""
            if found[1].startswith(INSTEAD[b"WELCOME"]):
                raise PeerError(Fault.ROLE)  # as-server tells nothing: libzmq's servers write 0
            if found[1].startswith(INSTEAD[b"READY"]):
                raise PeerError(Fault.REFUSED, _reason_untrusted(found[1][6:]))
        mark, begin, end = read_command_untrusted(self._seen, due)
        if len(self._seen) < mark:
            return b""
        body, self._seen = self._seen[begin:end], self._seen[end:]
        return body

    def _hello(self) -> bytes:
        nonce = short_nonce(HELLO_NONCE)
        shared = sodium.shared_key(self._server, self._transient.secret)
        sealed = sodium.seal(box.HELLO_PLAIN, box.HELLO + nonce, shared)
        return command(b"HELLO", spec.CURVE_VERSION + bytes(72) + self._transient.public + nonce + sealed)

    def _initiate_untrusted(self, body: bytes) -> bytes:
        try:
            shared = sodium.shared_key(self._server, self._transient.secret)
            plain = sodium.open_box(body[24:], box.WELCOME + body[8:24], shared)
            server_transient, cookie = plain[:32], plain[32:]
            self._shared = sodium.shared_key(server_transient, self._transient.secret)
            vouch = box.seal_vouch(
                self._keys, self._transient.public, self._server, server_transient, self._vouch_nonce
            )
        except sodium.BoxError as error:
            raise PeerError(Fault.WELCOME, str(error)) from None
        nonce = short_nonce(INITIATE_NONCE)
        sealed = sodium.seal(self._keys.public + vouch + self._metadata, box.INITIATE + nonce, self._shared)
        return command(b"INITIATE", cookie + nonce + sealed)

    def _ready_untrusted(self, body: bytes) -> Negotiated:
        try:
            plain = sodium.open_box(body[14:], box.READY + body[6:14], self._shared)
        except sodium.BoxError as error:
            raise PeerError(Fault.READY, str(error)) from None
        security = Curve(
            self._shared,
            box.MESSAGE_FROM_CLIENT,
            INITIATE_NONCE,
            box.MESSAGE_FROM_SERVER,
            int.from_bytes(body[6:14], "big"),
        )
        return Negotiated(metadata.read_untrusted(plain), Version(Dialect.V3, self.minor), security, self._seen)


def _reason_untrusted(data: bytes) -> str:
    """The reason in an ERROR: a status code of ZAP (RFC 27), or a word as curveproxy tells it to a probe; else ''."""
    text = data[1:].decode("ascii", "replace")
    is_status = len(text) == 3 and text.isdecimal()
    return text if is_status or (len(text) <= REASON_MAX and WORD.issuperset(text)) else ""
