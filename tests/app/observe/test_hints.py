"""The hint of a certificate that is not believed is that of what is wrong with it."""

import pytest

from curveproxy.app.observe.hints import hint_of
from curveproxy.reasons import CertificateFlaw, ClientFailure, Outcome, Reasoned

REFUSED: list[Reasoned] = [
    Outcome.CERTIFICATE,
    Outcome.CERTIFICATE_EXPIRED,
    ClientFailure.CERTIFICATE,
    ClientFailure.CERTIFICATE_EXPIRED,
]


@pytest.mark.parametrize("flaw", CertificateFlaw)
@pytest.mark.parametrize("reason", REFUSED)
def test_the_flaw_of_a_detail_has_its_hint(reason: Reasoned, flaw: CertificateFlaw) -> None:
    for detail in (str(flaw), f"{flaw}: its clock or ours", f"tcp://a.example:1: {flaw}: its clock or ours"):
        assert hint_of(reason, detail) == flaw.hint


@pytest.mark.parametrize("reason", REFUSED)
def test_without_a_flaw_the_reason_has_its_own(reason: Reasoned) -> None:
    for detail in ("", "in our own words", "tcp://kind.example:1"):
        assert hint_of(reason, detail) == reason.hint


@pytest.mark.parametrize("reason", [Outcome.METADATA, ClientFailure.CERTIFICATE_NONE])
def test_no_other_reason_is_taken_for_a_flaw(reason: Reasoned) -> None:
    assert hint_of(reason, "service: expired") == reason.hint
