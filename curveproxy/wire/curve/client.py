"""The client's side of the CURVE handshake, without I/O: octets in, octets out (RFC 26).

For the remotes of an egress, for ``demo`` and ``probe``. Clients of the proxy bring their own.
"""

import string
from collections.abc import Mapping
from enum import StrEnum

from curveproxy.wire import sodium, spec
from curveproxy.wire.codec.suites import session_chains
from curveproxy.wire.curve import box, layout
from curveproxy.wire.curve.keys import KeyPair, short_nonce
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.offer import Agreement, Terms, read_answer_untrusted, with_offer
from curveproxy.wire.security import Curve, Negotiated, Records, Version
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Dialect, Due, frame, read_command_untrusted, read_header
from curveproxy.wire.zmtp.greeting import MAJOR_END, MINOR_AT, check_server_untrusted, greeting

GREETING = greeting(spec.CURVE, as_server=False)

# The largest READY that we accept: the RFC sets no bound to its metadata.
READY_MAX = spec.READY_OVERHEAD + 65536

_WELCOME_DUE = Due(spec.WELCOME_NAME, spec.WELCOME_SIZE, spec.WELCOME_SIZE, Fault.WELCOME, Fault.WELCOME)
_READY_DUE = Due(spec.READY_NAME, spec.READY_OVERHEAD, READY_MAX, Fault.READY, Fault.READY)

# We number our commands and messages from one on.
HELLO_NONCE, INITIATE_NONCE = 1, 2

# What may come where another command is due: HELLO from another client, ERROR from a server that refuses. JeroMQ sends
# it for a HELLO that it can not open, where others close.
_INSTEAD = {spec.WELCOME_NAME: (spec.HELLO_NAME, spec.ERROR_NAME), spec.READY_NAME: (spec.ERROR_NAME,)}

# The larger of the two is ERROR, with one octet for the size of its reason.
_INSTEAD_MAX = layout.ERROR.size + 255
# The reasons in an ERROR that are repeated: a status code, or a word.
_STATUS_SIZE, _WORD_MAX = 3, 32
_WORD = frozenset(string.ascii_lowercase + "_")


# In place of a pair that has served: nobody can come from records to the key of their session.
_FORGOTTEN = KeyPair(bytes(spec.KEY_SIZE), bytes(spec.KEY_SIZE))


class Stage(StrEnum):
    """What is awaited from the server."""

    GREETING = "greeting"
    WELCOME = "welcome"
    READY = "ready"
    DONE = "done"


class CurveInitiator(Initiator):
    """One handshake of a CURVE client.

    server: S; keys: C, c; transient: C', c', for this connection alone; vouch_nonce: 16 random octets.
    properties: ours, for the server.
    stepwise: our mechanism follows the server's. A server closes silently when it does not like a mechanism: so it is
        heard what it speaks.

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
        *,
        stepwise: bool = False,
    ) -> None:
        super().__init__()
        self._withheld = GREETING[MAJOR_END:] if stepwise else b""
        self.stage = Stage.GREETING
        self.minor = 0
        self._shared = b""  # of C' and S, then of C' and S'
        self._server, self._keys, self._transient = server, keys, transient
        self._vouch_nonce, self._properties = vouch_nonce, properties
        self._metadata = metadata.encode(properties)
        self._terms: Terms | None = None

    def offer_records(self, terms: Terms, *, is_no_old: bool = False) -> None:
        """Offer records, on these terms, before it starts. is_no_old: the server has room for any offer."""
        self._terms = terms
        self._metadata = metadata.encode(with_offer(self._properties, terms, is_no_old=is_no_old))

    def start(self) -> bytes:
        """The greeting, or its beginning. HELLO follows when the server's has been seen."""
        return GREETING[: len(GREETING) - len(self._withheld)]

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: not_zmtp, zmtp_version, mechanism, role, command, welcome, ready, metadata, refused."""
        answer = b""
        if self.stage is Stage.GREETING and self._greeting_untrusted():
            self.stage, answer = Stage.WELCOME, self._withheld + self._hello_untrusted()
        if self.stage is Stage.WELCOME and (body := self._command_untrusted(_WELCOME_DUE)):
            self.stage, answer = Stage.READY, answer + self._initiate_untrusted(body)
        if self.stage is Stage.READY and (body := self._command_untrusted(_READY_DUE)):
            self._negotiated = self._ready_untrusted(body)
            self.stage, self._shared, self._transient = Stage.DONE, b"", _FORGOTTEN
        return answer

    def _greeting_untrusted(self) -> bool:
        """Whether the server's greeting is whole."""
        mark = check_server_untrusted(self._seen[: spec.GREETING_SIZE], spec.CURVE)
        if len(self._seen) < mark:
            return False
        self.minor = self._seen[MINOR_AT]
        self._seen = self._seen[mark:]
        return True

    def _command_untrusted(self, due: Due) -> bytes:
        """The body of the command that is due, or nothing while it is not whole."""
        if any(map(self._may_be_instead_untrusted, _INSTEAD[due.name])):
            return b""
        mark, begin, end = read_command_untrusted(self._seen, due)
        if len(self._seen) < mark:
            return b""
        body, self._seen = self._seen[begin:end], self._seen[end:]
        return body

    def _may_be_instead_untrusted(self, name: bytes) -> bool:
        """Whether what has come may turn out to be the command of that name. Raises PeerError when it is."""
        flags = self._seen[0] if self._seen else 0
        begin = spec.LONG_HEADER if flags & spec.LONG else spec.SHORT_HEADER
        if flags & ~spec.LONG != spec.COMMAND or not name.startswith(self._seen[begin : begin + len(name)]):
            return False
        if (header := read_header(self._seen, 0, len(self._seen))) is None:
            return True
        _, end, _ = header
        if not len(name) <= end - begin <= _INSTEAD_MAX:
            return False
        if len(self._seen) < end:
            return True
        if name == spec.HELLO_NAME:
            raise PeerError(Fault.ROLE)  # as-server tells nothing: libzmq's servers write 0
        raise PeerError(Fault.REFUSED, _reason_untrusted(self._seen[begin:end]))

    def _hello_untrusted(self) -> bytes:
        """HELLO's frame, the answer to a greeting. Raises PeerError: welcome, for a key that no server can have."""
        nonce = short_nonce(HELLO_NONCE)
        try:
            self._shared = sodium.shared_key(self._server, self._transient.secret)
        except sodium.BoxError as error:
            raise PeerError(Fault.WELCOME, str(error)) from None
        sealed = sodium.seal(layout.HELLO_PLAIN, box.HELLO + nonce, self._shared)
        public, padding = self._transient.public, layout.HELLO_PADDING
        body = layout.HELLO.pack(spec.HELLO_NAME, spec.CURVE_VERSION, padding, public, nonce, sealed)
        return frame(spec.COMMAND, body)

    def _initiate_untrusted(self, body: bytes) -> bytes:
        """INITIATE's frame, the answer to WELCOME's body. Raises PeerError: welcome."""
        _, welcome_nonce, sealed = layout.WELCOME.unpack(body)
        try:
            plain = sodium.open_box(sealed, box.WELCOME + welcome_nonce, self._shared)
            server_transient, cookie = layout.WELCOME_PLAIN.unpack(plain)
            self._shared = sodium.shared_key(server_transient, self._transient.secret)
            vouch = box.seal_vouch(
                self._keys, self._transient.public, self._server, server_transient, self._vouch_nonce
            )
        except sodium.BoxError as error:
            raise PeerError(Fault.WELCOME, str(error)) from None
        nonce = short_nonce(INITIATE_NONCE)
        plain = layout.INITIATE_PLAIN.pack(self._keys.public, vouch) + self._metadata
        sealed = sodium.seal(plain, box.INITIATE + nonce, self._shared)
        return frame(spec.COMMAND, layout.INITIATE.pack(spec.INITIATE_NAME, cookie, nonce) + sealed)

    def _ready_untrusted(self, body: bytes) -> Negotiated:
        """Open READY's body. Raises PeerError: ready, metadata."""
        _, nonce = layout.READY.unpack_from(body)
        try:
            plain = sodium.open_box(body[layout.READY.size :], box.READY + nonce, self._shared)
        except sodium.BoxError as error:
            raise PeerError(Fault.READY, str(error)) from None
        said = metadata.read_untrusted(plain)
        agreed = None if self._terms is None else read_answer_untrusted(said, self._terms)
        security = self._curve(nonce) if agreed is None else self._records(agreed, plain)
        return Negotiated(said, Version(Dialect.V3, self.minor), security, self._seen)

    def _records(self, agreed: Agreement, ready: bytes) -> Records:
        """ready: READY's metadata as it stood in its box."""
        chains = session_chains(self._shared, self._metadata, ready, self._keys.public, self._server, agreed.suite)
        return Records(agreed.suite, chains.from_client, chains.from_server, agreed.peer_pads, agreed.pad_to)

    def _curve(self, nonce: bytes) -> Curve:
        """nonce: of READY's box, 8 octets."""
        # The first number of a server that counts from the beginning: libzmq 4.0 writes it in its machine's order.
        little_endian = nonce[-1:] == b"\0" and int.from_bytes(nonce, "little") < int.from_bytes(nonce, "big")
        return Curve(
            self._shared,
            box.MESSAGE_FROM_CLIENT,
            INITIATE_NONCE,
            box.MESSAGE_FROM_SERVER,
            int.from_bytes(nonce, "little" if little_endian else "big"),
            little_endian,
        )


def _reason_untrusted(body: bytes) -> str:
    """The reason in an ERROR: a status code of ZAP (RFC 27), or a word as curveproxy tells a probe; else ''."""
    text = body[layout.ERROR.size :].decode("ascii", "replace")
    is_status = len(text) == _STATUS_SIZE and text.isdecimal()
    return text if is_status or (len(text) <= _WORD_MAX and _WORD.issuperset(text)) else ""
