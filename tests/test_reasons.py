"""The closed lists of reasons."""

import pytest

from curveproxy.reasons import (
    BackendFailure,
    CertificateFlaw,
    ClientFailure,
    ClockJump,
    EgressOutcome,
    Invalid,
    Outcome,
)


def test_every_reason_that_is_told_has_a_hint_of_its_own() -> None:
    """Words come twice (a client's time-out, a backend's), hints must not."""
    outcomes = [outcome for outcome in [*Outcome, *EgressOutcome] if outcome != Outcome.ADMITTED]
    refusals = [*BackendFailure, *ClientFailure, *CertificateFlaw, *outcomes]
    assert all(reason.cause and reason.remedy for reason in refusals)
    told = [*refusals, *Invalid, *ClockJump]
    assert all(reason.hint for reason in told)
    assert len({reason.hint for reason in told}) == len(told)


def test_an_egress_has_no_outcome_that_is_not_one_of_all() -> None:
    words = [str(outcome) for outcome in EgressOutcome]
    assert [str(outcome) for outcome in Outcome if str(outcome) in words] == words


@pytest.mark.parametrize("outcome", EgressOutcome)
def test_hints_for_a_client_without_keys_name_no_key_of_it(outcome: EgressOutcome) -> None:
    """Such a client has neither a certificate nor a vouch, and no directory lets it in."""
    for word in ("clients directory", "certificate", "key pair", "INITIATE", "HELLO", "gives up"):
        assert word not in outcome.hint


@pytest.mark.parametrize("failure", ClientFailure)
def test_hints_of_a_handshake_as_the_client_hold_for_a_command_and_for_an_egress(failure: ClientFailure) -> None:
    for word in ("--", "was given", "probe", "egress", "our own"):
        assert word not in failure.hint
