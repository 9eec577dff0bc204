"""The question for a server's certificates, before HELLO: by whoever pins an authority and not a key.

    C: greeting(64)    mechanism "CURVE-CERTIFICATE", as-server 0
    S: greeting(64)    the same mechanism, as-server 1; then one command; then it closes
    body = 0B "CERTIFICATE" *( size[2] text )

Who does not know this mechanism closes, as at any other that is strange. The answer may come from anybody: what is in
it proves itself.
"""

import struct
from collections.abc import Iterable

from curveproxy.wire import spec
from curveproxy.wire.errors import Fault, LocalError, PeerError
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect, Due, frame, read_command_untrusted
from curveproxy.wire.zmtp.greeting import (
    MECHANISM_AT,
    MECHANISM_END,
    MINOR_AT,
    ROLE_AT,
    ROLE_END,
    check_server_untrusted,
    greeting,
)

GREETING = greeting(spec.CURVE_CERTIFICATE, as_server=False)
ANSWER_GREETING = greeting(spec.CURVE_CERTIFICATE, as_server=True)

_TEXT_SIZE = struct.Struct(">H")
_DUE = Due(
    spec.CERTIFICATE_NAME,
    len(spec.CERTIFICATE_NAME),
    spec.CERTIFICATES_MAX,
    Fault.CERTIFICATE_MALFORMED,
    Fault.CERTIFICATE_TOO_LARGE,
)


def answer(texts: Iterable[bytes]) -> bytes:
    """All that a server says to who asks. texts: of its certificates, each of which is told once.

    Raises LocalError when they are too large.
    """
    body = spec.CERTIFICATE_NAME + b"".join(_TEXT_SIZE.pack(len(text)) + text for text in dict.fromkeys(texts))
    if len(body) > spec.CERTIFICATES_MAX:
        raise LocalError(f"they have {len(body)} octets together, of at most {spec.CERTIFICATES_MAX}")
    return ANSWER_GREETING + frame(spec.COMMAND, body)


def answer_size(texts: Iterable[bytes]) -> int:
    """How many octets the command in an answer has with these certificates, of ``spec.CERTIFICATES_MAX``."""
    return len(spec.CERTIFICATE_NAME) + sum(_TEXT_SIZE.size + len(text) for text in dict.fromkeys(texts))


def read_answer_untrusted(body: bytes) -> list[bytes]:
    """The texts in the body of an answer. Raises PeerError: certificate_malformed."""
    texts, at = [], len(spec.CERTIFICATE_NAME)
    while at < len(body):
        begin = at + _TEXT_SIZE.size
        if begin > len(body):
            raise PeerError(Fault.CERTIFICATE_MALFORMED, "the answer is cut short")
        [size] = _TEXT_SIZE.unpack_from(body, at)
        at = begin + size
        if at > len(body):
            raise PeerError(Fault.CERTIFICATE_MALFORMED, "the answer is cut short")
        texts.append(body[begin:at])
    return texts


class CertificateQuestion(Initiator):
    """One question.

    texts: those of the answer, once it is done.
    is_curve: the other side's greeting says CURVE: it is a server that knows nothing of certificates, or has none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []
        self.is_curve = False
        self._minor: int | None = None  # the server's, once its greeting has come

    def start(self) -> bytes:
        return GREETING

    def _advance_untrusted(self) -> bytes:
        """Raises PeerError: not_zmtp, zmtp_version, mechanism, role, command, certificate_too_large, _malformed."""
        if self._minor is None and not self._greeting_untrusted():
            return b""
        mark, begin, end = read_command_untrusted(self._seen, _DUE)
        if len(self._seen) >= mark:
            self.texts = read_answer_untrusted(self._seen[begin:end])
            version = Version(Dialect.V3, self._minor or 0)
            self._negotiated = Negotiated({}, version, Plain(), self._seen[end:])
        return b""

    def _greeting_untrusted(self) -> bool:
        """Whether the server's greeting is whole."""
        self.is_curve = self._seen[MECHANISM_AT:MECHANISM_END] == spec.CURVE
        mark = check_server_untrusted(self._seen[: spec.GREETING_SIZE], spec.CURVE_CERTIFICATE)
        if len(self._seen) >= ROLE_END and not self._seen[ROLE_AT]:
            raise PeerError(Fault.ROLE)
        if len(self._seen) < mark:
            return False
        self._minor, self._seen = self._seen[MINOR_AT], self._seen[mark:]
        return True
