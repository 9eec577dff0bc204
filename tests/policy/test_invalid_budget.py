"""How many invalid messages a session may send."""

from curveproxy.policy.invalid_budget import WINDOW_SECONDS, InvalidBudget


def test_so_many_a_minute_and_the_next_ends_the_session() -> None:
    budget = InvalidBudget(3)
    assert [budget.spend(100.0 + second) for second in range(4)] == [True, True, True, False]


def test_a_minute_begins_with_the_first_of_them() -> None:
    budget = InvalidBudget(2)
    assert [budget.spend(at) for at in (10.0, 69.9, 70.0, 70.1)] == [True, True, True, True]
    assert not budget.spend(70.0 + WINDOW_SECONDS - 0.1)
    assert budget.spend(70.0 + WINDOW_SECONDS)
