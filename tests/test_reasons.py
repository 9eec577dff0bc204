"""The closed lists of reasons."""

from curveproxy.reasons import BackendFailure, ClientFailure, Invalid, Outcome


def test_every_reason_that_is_told_has_a_hint_of_its_own() -> None:
    """Words come twice (a client's time-out, a backend's), hints must not."""
    refusals = [*BackendFailure, *ClientFailure, *(outcome for outcome in Outcome if outcome != Outcome.ADMITTED)]
    assert all(reason.cause and reason.remedy for reason in refusals)
    told = [*refusals, *Invalid]
    assert all(reason.hint for reason in told)
    assert len({reason.hint for reason in told}) == len(told)
