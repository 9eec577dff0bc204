"""Whether a certificate is believed: the checks in their order, cheap before dear.

What is looked at each time: dates, revocation, and who is listed. That a text is read and its signature checked is
remembered, of those that were good: whoever has no good one can not fill what is kept.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b

from attrs import frozen

from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.terms import Bearer, KeyTerms
from curveproxy.policy.socket_types import known
from curveproxy.reasons import CertificateFlaw
from curveproxy.wire.certificate import CLIENT, MOST, SERVER, Certificate, read_untrusted
from curveproxy.wire.errors import Fault, PeerError

FLAWS: Mapping[Fault, CertificateFlaw] = {
    Fault.CERTIFICATE_TOO_LARGE: CertificateFlaw.TOO_LARGE,
    Fault.CERTIFICATE_MALFORMED: CertificateFlaw.MALFORMED,
    Fault.CERTIFICATE_FIELD: CertificateFlaw.UNKNOWN_FIELD,
    Fault.CERTIFICATE_VERSION: CertificateFlaw.VERSION,
    Fault.CERTIFICATE_KIND: CertificateFlaw.KIND,
}

# The flaws that pass by themselves, or by a new certificate.
DATES = (CertificateFlaw.NOT_YET_VALID, CertificateFlaw.EXPIRED)

REMEMBERED = 4096
_DIGEST_SIZE = 16
# Who misses a date by less than that may have done nothing wrong.
CLOSE_SECONDS = 3600
CLOCKS = "its clock or ours"


@frozen
class Finding:
    """What was found. flaw: None when it is believed; detail: in our own words.

    certificate: None when it can not be read; authority: the listed one, None when there is none.
    cached: neither text nor signature had to be looked at.
    """

    certificate: Certificate | None
    authority: Authority | None = None
    flaw: CertificateFlaw | None = None
    detail: str = ""
    cached: bool = False


class VerifiedTexts:
    """The certificates whose signatures were found good of late, by their texts, which are not kept themselves."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most, self._more = most, 0
        self._found: dict[bytes, Certificate] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._found)

    def make_room_for(self, number: int) -> None:
        """Remember so many beside those of whoever presents one: all are judged at once where one comes to them."""
        self._more = number
        while len(self._found) > self._most + self._more:
            del self._found[next(iter(self._found))]

    def find(self, text: bytes) -> Certificate | None:
        """What that text was found to be."""
        digest = _digest(text)
        certificate = self._found.pop(digest, None)
        if certificate is not None:
            self._found[digest] = certificate
        return certificate

    def add(self, text: bytes, certificate: Certificate) -> None:
        """Remember a good one; the one that was not asked for longest makes room."""
        self._found[_digest(text)] = certificate
        if len(self._found) > self._most + self._more:
            del self._found[next(iter(self._found))]


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGEST_SIZE).digest()


def judge_client(text: bytes, bearer: Bearer | None, trust: Trust, now: float, verified: VerifiedTexts) -> Finding:
    """Judge a client's certificate.

    bearer: None for a file, of which it is not looked at who presents it, and for what; now: Unix seconds.
    """
    key = None if bearer is None else bearer.key
    return _judge(text, _Wanted(CLIENT, key, lambda each: _misfit_of_client(each, bearer)), trust, now, verified)


def judge_server(text: bytes, server_name: str | None, trust: Trust, now: float, verified: VerifiedTexts) -> Finding:
    """Judge a server's certificate.

    server_name: what it must be called, in any case, None for a file; otherwise the flaw is ``service``.
    now: Unix seconds.
    """
    return _judge(text, _Wanted(SERVER, None, lambda each: _misfit_of_server(each, server_name)), trust, now, verified)


def terms_of(certificate: Certificate) -> KeyTerms:
    """What a client's certificate binds its key to, as a listed key's file does."""
    return KeyTerms(
        certificate.identity,
        certificate.socket_types,
        certificate.limits,
        certificate.topics,
        certificate.publish_topics,
    )


def told(flaw: CertificateFlaw, detail: str) -> str:
    """A flaw as the detail of whatever it is the reason for: its word comes first."""
    return f"{flaw}: {detail}".removesuffix(": ")


def flaw_now(certificate: Certificate, trust: Trust, now: float) -> CertificateFlaw | None:
    """What is wrong by now with one that was found good before: what can change without it."""
    return next((flaw for flaw, _ in _passing_flaws(certificate, trust, now)), None)


def last_ends(texts: Iterable[bytes]) -> Mapping[bytes, int]:
    """Until when each key has a certificate among these that is valid, in Unix seconds. What is none is passed over."""
    ends: dict[bytes, int] = {}
    for text in texts:
        try:
            found = read_untrusted(text)
        except PeerError:
            continue
        ends[found.key] = max(found.valid_until, ends.get(found.key, 0))
    return ends


@frozen
class _Wanted:
    """What a certificate must be. key: whose, None for any; misfit: why it is not for what it is presented for."""

    kind: str
    key: bytes | None
    misfit: Callable[[Certificate], str | None]


def _judge(text: bytes, wanted: _Wanted, trust: Trust, now: float, verified: VerifiedTexts) -> Finding:
    certificate = verified.find(text) if len(text) <= MOST else None
    cached = certificate is not None
    if certificate is None:
        try:
            certificate = read_untrusted(text)
        except PeerError as error:
            return Finding(None, flaw=FLAWS[error.fault], detail=error.detail)
    authority = trust.authority(certificate.authority)
    flaw, detail = next(_flaws(certificate, wanted, trust, now, cached=cached), (None, ""))
    if flaw is None and not cached:
        verified.add(text, certificate.without_text())  # thousands are kept
    return Finding(certificate, authority, flaw, detail, cached)


def _flaws(
    certificate: Certificate, wanted: _Wanted, trust: Trust, now: float, *, cached: bool
) -> Iterator[tuple[CertificateFlaw, str]]:
    """What is wrong with it, the cheapest to find first; nobody looks for a second one."""
    if "unknown" in map(known, certificate.socket_types):
        yield CertificateFlaw.MALFORMED, "among its socket-types is one that nobody knows"
    if certificate.kind != wanted.kind:
        yield CertificateFlaw.KIND, f"it is a {certificate.kind}'s"
    if wanted.key not in (None, certificate.key):
        yield CertificateFlaw.OTHER_KEY, ""
    yield from _passing_flaws(certificate, trust, now)
    if (misfit := wanted.misfit(certificate)) is not None:
        yield CertificateFlaw.SERVICE, misfit
    if not cached and not certificate.verifies():
        yield CertificateFlaw.SIGNATURE, ""


def _passing_flaws(certificate: Certificate, trust: Trust, now: float) -> Iterator[tuple[CertificateFlaw, str]]:
    """What is wrong with it by who is listed, by the time, and by the revocation list."""
    authority = trust.authority(certificate.authority)
    if authority is None:
        yield CertificateFlaw.AUTHORITY, ""
    elif (objection := authority.objection(certificate)) is not None:
        yield CertificateFlaw.BOUNDS, objection
    yield from _flaws_of_dates(certificate, trust.skew, now)
    if trust.revocations.revokes(certificate):
        yield CertificateFlaw.REVOKED, ""


def _flaws_of_dates(certificate: Certificate, skew: float, now: float) -> Iterator[tuple[CertificateFlaw, str]]:
    if (early := certificate.valid_from - now) > skew:
        yield CertificateFlaw.NOT_YET_VALID, _about_clocks(early)
    if (late := now - certificate.valid_until) > skew:
        yield CertificateFlaw.EXPIRED, _about_clocks(late)


def _about_clocks(seconds: float) -> str:
    return CLOCKS if seconds < CLOSE_SECONDS else ""


def _misfit_of_client(certificate: Certificate, bearer: Bearer | None) -> str | None:
    if bearer is None:
        return None
    if certificate.services is not None and bearer.service not in certificate.services:
        return "it is not for this service"
    if certificate.socket_types and bearer.socket_type not in certificate.socket_types:
        return "it is not for this socket type"
    if certificate.identity and bearer.identity not in (b"", certificate.identity):
        return "it is not for this identity"
    return None


def _misfit_of_server(certificate: Certificate, server_name: str | None) -> str | None:
    if server_name is None or server_name.lower() in {name.lower() for name in certificate.names}:
        return None
    return "it is not for a server of this name"
