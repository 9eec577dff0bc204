"""What is believed in a test: the authority of ``support.certificates``, judged without what is remembered."""

from typing import Any

from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.judgement import Finding, VerifiedTexts, judge_client
from curveproxy.policy.access.terms import Bearer
from support.certificates import FROM_SECONDS, KEY, authority_key

AUTHORITY = Authority("plant-1", authority_key())
TRUST = Trust([AUTHORITY])
DESK = Bearer(KEY, "orders", b"DEALER", b"")
NOW = FROM_SECONDS + 3600.0


def judged(text: bytes, bearer: Bearer | None = DESK, trust: Trust = TRUST, now: float = NOW, **given: Any) -> Finding:
    """What becomes of a client's certificate. verified: what is remembered, if anything."""
    return judge_client(text, bearer, trust, now, given.get("verified", VerifiedTexts()))
