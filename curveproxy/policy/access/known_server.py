"""Which key a server has, by the certificates that it shows: the newest that is believed, and none from before it.

The texts may come from anybody. Whoever is between here and the server can pass an old one that is still valid, of a
key that was given up: so none counts that begins before the newest that was seen.
"""

from collections.abc import Sequence
from math import inf

from attrs import frozen

from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.judgement import DATES, Finding, VerifiedTexts, flaw_now, judge_server, told
from curveproxy.reasons import CertificateFlaw, ClientFailure
from curveproxy.wire.certificate import SERVER, Certificate

# It is asked for again when so much of its life is over.
KEPT = 2 / 3
NONE, OTHER_SERVERS = "it has none", "they are of other servers"
_REMEMBERED = 16


@frozen
class Disbelief:
    """Why no key was learned. detail: in our own words; of a flaw it begins with its word."""

    failure: ClientFailure
    detail: str = ""


class KnownServer:
    """What is known of one server since this process has started.

    name: what it must be called in its certificate, in any case.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._certificate: Certificate | None = None
        self._newest = -inf
        self._verified = VerifiedTexts(_REMEMBERED)

    def learn(self, texts: Sequence[bytes], trust: Trust, now: float) -> Disbelief | None:
        """Take the newest of these that is believed. now: Unix seconds."""
        findings = [judge_server(text, self.name, trust, now, self._verified) for text in texts]
        good = [found.certificate for found in findings if found.flaw is None and found.certificate is not None]
        if not good:
            return self._disbelief(findings)
        newest = max(good, key=lambda each: (each.valid_from, each.valid_until))
        if newest.valid_from < self._newest:
            return Disbelief(ClientFailure.CERTIFICATE_OLDER)
        self._certificate, self._newest = newest, newest.valid_from
        return None

    @property
    def certificate(self) -> Certificate | None:
        """The newest one that was believed."""
        return self._certificate

    def key(self, trust: Trust, now: float) -> bytes | None:
        """Its key, while the certificate that has told it is believed. now: Unix seconds."""
        certificate = self._certificate
        if certificate is None or flaw_now(certificate, trust, now) is not None:
            return None
        return certificate.key

    def disbelief(self, trust: Trust, now: float) -> Disbelief:
        """Why there is no key now. now: Unix seconds."""
        flaw = None if self._certificate is None else flaw_now(self._certificate, trust, now)
        return Disbelief(ClientFailure.CERTIFICATE_NONE, NONE) if flaw is None else _disbelief(flaw, "")

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask for another certificate. now: Unix seconds."""
        certificate = self._certificate
        if certificate is None:
            return True
        return now >= certificate.valid_from + KEPT * (certificate.valid_until - certificate.valid_from)

    def _disbelief(self, findings: Sequence[Finding]) -> Disbelief:
        """Why none of several is believed: what is wrong with the newest of its own name, else of anything that came.

        One place may be that of several services, whose certificates come together: those of others are not looked at.
        """
        if not findings:
            return Disbelief(ClientFailure.CERTIFICATE_NONE, NONE)
        own = [found for found in findings if self._is_own(found.certificate)]
        if not own and any(found.certificate is not None and found.certificate.kind == SERVER for found in findings):
            return Disbelief(ClientFailure.CERTIFICATE_NAME, OTHER_SERVERS)
        worst = max(own or findings[:1], key=_valid_from)
        assert worst.flaw is not None
        return _disbelief(worst.flaw, worst.detail)

    def _is_own(self, certificate: Certificate | None) -> bool:
        return certificate is not None and self.name.lower() in {name.lower() for name in certificate.names}


def _disbelief(flaw: CertificateFlaw, detail: str) -> Disbelief:
    failure = ClientFailure.CERTIFICATE_EXPIRED if flaw in DATES else ClientFailure.CERTIFICATE
    return Disbelief(failure, told(flaw, detail))


def _valid_from(found: Finding) -> float:
    return -inf if found.certificate is None else found.certificate.valid_from
