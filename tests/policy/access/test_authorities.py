"""Whose certificates are believed, within which bounds."""

import pytest
from support.certificates import CLIENT, OTHER_SEED, authority_key, certificate
from support.trust import AUTHORITY, TRUST

from curveproxy.policy.access.authorities import MAX_DAYS, Authority
from curveproxy.wire.certificate import read_untrusted


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        (["*"], True),
        (["desk-*"], True),
        (["lamp-*", "desk-?"], True),
        (["Desk-*"], False),
        (["desk"], False),
        ([], False),
    ],
)
def test_it_signs_names_that_fit_a_pattern(names: list[str], fits: bool) -> None:
    objection = Authority("plant-1", authority_key(), names).objection(read_untrusted(certificate()))
    assert (objection is None) == fits


@pytest.mark.parametrize(
    ("until", "days", "fits"),
    [
        ("2026-12-27T05:40:00Z", MAX_DAYS, True),  # as a signer writes 31 days, whose begin is dated back
        ("2026-12-27T05:40:01Z", MAX_DAYS, False),
        ("2026-12-27T05:40:01Z", None, True),
        ("2026-12-03T05:40:00Z", 7, True),
        ("2026-12-03T05:40:00Z", 6, False),
    ],
)
def test_it_signs_for_so_many_days(until: str, days: int | None, fits: bool) -> None:
    text = certificate({**CLIENT, "valid-until": until})
    objection = Authority("plant-1", authority_key(), max_days=days).objection(read_untrusted(text))
    assert (objection is None) == fits


def test_an_authority_is_found_by_its_key() -> None:
    assert TRUST.authority(authority_key()) is AUTHORITY
    assert TRUST.authority(authority_key(OTHER_SEED)) is None
