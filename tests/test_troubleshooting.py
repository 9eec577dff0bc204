"""docs/troubleshooting.md says of every reason what log, metric and probe say, and of no other."""

from pathlib import Path

import pytest

from curveproxy.reasons import (
    BackendFailure,
    CertificateFlaw,
    ClientFailure,
    ClockJump,
    EgressOutcome,
    Outcome,
    Reasoned,
)

TEXT = (Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text()


@pytest.mark.parametrize(
    ("title", "reasons"),
    [
        ("failure", list(ClientFailure)),
        ("outcome", [outcome for outcome in Outcome if outcome != Outcome.ADMITTED]),
        ("outcome of an egress", [outcome for outcome in EgressOutcome if outcome != EgressOutcome.ADMITTED]),
        ("reason", list(BackendFailure)),
        ("flaw", list(CertificateFlaw)),
        ("set", list(ClockJump)),
    ],
)
def test_each_reason_stands_in_its_table_in_the_same_words(title: str, reasons: list[Reasoned]) -> None:
    _, _, table = TEXT.partition(f"| {title} | likely cause | what to try next |\n|---|---|---|\n")
    rows, _, _ = table.partition("\n\n")
    assert rows.splitlines() == [f"| `{reason}` | {reason.cause} | {reason.remedy} |" for reason in reasons]
