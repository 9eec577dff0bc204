"""The account of what pumps hold: who has to wait, and whose session is ended for it."""

import pytest

from curveproxy.proxy.net.memory import OVER_SECONDS, TURNOVER_SECONDS, WINDOW_SECONDS, MemoryBudget


class Holding:
    """A pump that keeps something."""

    def __init__(self, budget: MemoryBudget, key: bytes, held: int, partial: int | None = None) -> None:
        self._budget, self.key = budget, key
        self.held = self.partial = self.moved = 0
        self.is_held_up = self.has_ended = False
        self.keep(held, partial)

    def keep(self, held: int, partial: int | None = None) -> None:
        partial = held if partial is None else partial
        self._budget.charge(self, held, partial)
        self.held, self.partial = held, partial

    def give_up(self) -> None:
        self.has_ended = True
        self.keep(0)

    def failed(self, error: Exception) -> None:
        raise error


class TestMemory:
    """A ceiling of 1000, of which one key may have 250 in what is not whole once 500 are held."""

    @pytest.fixture
    def budget(self) -> MemoryBudget:
        budget = MemoryBudget()
        budget.set_limit(1000)
        return budget

    def look(
        self, budget: MemoryBudget, seconds: float, *asking: Holding, moves: tuple[Holding, int] | None = None
    ) -> None:
        """Let so much time pass, in which these ask for 10 again and again, and one moves so much a second."""
        for _ in range(round(seconds)):
            for holder in asking:
                if holder.held:
                    budget.may_exceed(holder, 10)
            if moves is not None:
                moves[0].moved += moves[1]
            budget.expire(self.now)
            self.now += 1

    now = 0.0

    def test_one_key_has_a_share_in_what_is_not_whole_once_memory_is_short(self, budget: MemoryBudget) -> None:
        first, second = Holding(budget, b"a", 400), Holding(budget, b"a", 90)
        assert budget.may_exceed(second, 300), "there is enough"
        third, other, reader = Holding(budget, b"a", 20), Holding(budget, b"b", 10), Holding(budget, b"c", 300, 0)
        assert budget.under_pressure
        assert budget.may_exceed(third, 10), "one at a time may go over"
        assert not budget.may_exceed(second, 10)
        assert not budget.may_exceed(first, 10)
        assert budget.may_exceed(other, 100)
        assert budget.may_exceed(reader, 100), "what a reader has not taken is whole"
        assert not budget.may_exceed(other, 300), "and nobody has more than a share"

    def test_of_those_that_wait_the_one_that_holds_least_is_the_next_that_goes_over(self, budget: MemoryBudget) -> None:
        over, large, small = (Holding(budget, bytes([held % 255]), held) for held in (980, 9, 3))
        assert budget.may_exceed(over, 100)
        assert not budget.may_exceed(large, 100)
        assert not budget.may_exceed(small, 100)
        assert budget.waiting == 2
        over.keep(990)
        over.keep(0)
        Holding(budget, b"more", 980)
        assert not budget.may_exceed(large, 100)
        assert budget.may_exceed(small, 100)
        assert budget.waiting == 1

    def test_who_moves_too_little_is_ended_while_somebody_waits_the_largest_first(self, budget: MemoryBudget) -> None:
        slow, _, steady = (Holding(budget, key, held) for key, held in ((b"a", 300), (b"b", 200), (b"c", 480)))
        Holding(budget, b"d", 15, 0)
        waiting = Holding(budget, b"e", 5)
        assert budget.may_exceed(steady, 10)
        self.look(budget, 20)
        assert budget.ended == 0, "nobody waits"
        waiting.is_held_up = True
        self.look(budget, WINDOW_SECONDS, waiting, moves=(steady, 8))
        assert not slow.has_ended
        self.look(budget, 2, waiting, moves=(steady, 8))
        assert slow.has_ended, "it holds most of those that stand still"
        self.look(budget, 20, waiting, moves=(steady, 8))
        assert budget.waiting == 0
        assert budget.ended == 1
        assert budget.held == 700

    def test_a_trickle_is_no_movement_and_a_pace_is(self, budget: MemoryBudget) -> None:
        trickling, moving, waiting = (Holding(budget, bytes([held % 255]), held) for held in (600, 380, 15))
        assert budget.may_exceed(trickling, 10)
        waiting.is_held_up = True
        for _ in range(8):
            moving.moved += 7  # 380 in less than a minute
            self.look(budget, 1, waiting, moves=(trickling, 9))  # 600 in more
        assert trickling.has_ended
        assert not moving.has_ended

    def test_who_waits_itself_is_ended_after_a_minute(self, budget: MemoryBudget) -> None:
        over, *waiting = (Holding(budget, bytes([number]), 199) for number in range(5))
        assert budget.may_exceed(over, 100)
        for holder in waiting:
            holder.is_held_up = True
        self.look(budget, TURNOVER_SECONDS, *waiting, moves=(over, 10))
        assert budget.ended == 0
        self.look(budget, 3, *waiting, moves=(over, 10))
        assert budget.ended == 1
        assert not over.has_ended

    def test_who_waits_for_its_share_ends_only_sessions_of_its_own_key(self, budget: MemoryBudget) -> None:
        one, other = Holding(budget, b"a", 200), Holding(budget, b"a", 100)
        reader = Holding(budget, b"b", 400, 0)
        third = Holding(budget, b"a", 20)
        other.is_held_up = third.is_held_up = True
        assert budget.may_exceed(one, 10)
        self.look(budget, 10, other, third)
        assert one.has_ended
        assert not reader.has_ended

    def test_it_is_told_once_that_memory_is_short_and_once_that_it_is_over(self) -> None:
        told: list[bool] = []
        budget = MemoryBudget(told.append)
        budget.set_limit(1000)
        over, waiting = Holding(budget, b"a", 990), Holding(budget, b"b", 9)
        assert budget.may_exceed(over, 10)
        for _ in range(3):
            self.look(budget, 4, waiting, moves=(over, 100))
            self.look(budget, OVER_SECONDS / 2)
        assert told == [True]
        self.look(budget, OVER_SECONDS)
        assert told == [True, False]
