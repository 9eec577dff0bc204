"""Buffers that are lent, and the memory that pumps hold."""

import pytest
import trio
import trio.testing

from curveproxy.proxy.net.buffers import (
    GRAIN,
    OVER_SECONDS,
    SPARE_MAX,
    SPARE_SECONDS,
    TURNOVER_SECONDS,
    WINDOW_SECONDS,
    BufferPool,
)


async def test_a_buffer_that_was_given_back_is_lent_again_until_nobody_wants_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    buffers = BufferPool()
    first = buffers.borrow(3 * GRAIN - 5)
    assert len(first) == 3 * GRAIN
    async with trio.open_nursery() as nursery:
        nursery.start_soon(buffers.run)
        buffers.give_back(first)
        assert buffers.borrow(2 * GRAIN) is first
        buffers.give_back(first)
        assert buffers.borrow(4 * GRAIN) is not first
        await trio.sleep(3 * SPARE_SECONDS)
        assert buffers.borrow(GRAIN) is not first
        nursery.cancel_scope.cancel()


def test_a_claim_alone_lends_what_lies_about_or_little() -> None:
    buffers = BufferPool()
    assert len(buffers.borrow(SPARE_MAX, least=GRAIN)) == GRAIN
    buffers.give_back(large := buffers.borrow(SPARE_MAX))
    assert buffers.borrow(SPARE_MAX, least=GRAIN) is large


def test_so_much_is_kept_and_no_more() -> None:
    buffers = BufferPool()
    lent = [buffers.borrow(SPARE_MAX // 2) for _ in range(3)]
    for buffer in lent:
        buffers.give_back(buffer)
    assert [buffers.borrow(SPARE_MAX // 2) in lent for _ in range(3)] == [True, True, False]


class Holding:
    """A pump that keeps something."""

    def __init__(self, buffers: BufferPool, key: bytes, held: int, partial: int | None = None) -> None:
        self._buffers, self.key = buffers, key
        self.held = self.partial = self.moved = 0
        self.is_held_up = self.has_ended = False
        self.keep(held, partial)

    def keep(self, held: int, partial: int | None = None) -> None:
        self._buffers.account(self, held, held if partial is None else partial)

    def give_up(self) -> None:
        self.has_ended = True
        self.keep(0)

    def failed(self, error: Exception) -> None:
        raise error


class TestMemory:
    """A ceiling of 1000, of which one key may have 250 in what is not whole once 500 are held."""

    @pytest.fixture
    def buffers(self) -> BufferPool:
        buffers = BufferPool()
        buffers.bound(1000)
        return buffers

    def look(
        self, buffers: BufferPool, seconds: float, *asking: Holding, moves: tuple[Holding, int] | None = None
    ) -> None:
        """Let so much time pass, in which these ask for 10 again and again, and one moves so much a second."""
        for _ in range(round(seconds)):
            for holder in asking:
                if holder.held:
                    buffers.allow(holder, 10)
            if moves is not None:
                moves[0].moved += moves[1]
            buffers.expire(self.now)
            self.now += 1

    now = 0.0

    def test_one_key_has_a_share_in_what_is_not_whole_once_memory_is_short(self, buffers: BufferPool) -> None:
        first, second = Holding(buffers, b"a", 400), Holding(buffers, b"a", 90)
        assert buffers.allow(second, 300), "there is enough"
        third, other, reader = Holding(buffers, b"a", 20), Holding(buffers, b"b", 10), Holding(buffers, b"c", 300, 0)
        assert buffers.are_short
        assert buffers.allow(third, 10), "one at a time may go over"
        assert not buffers.allow(second, 10)
        assert not buffers.allow(first, 10)
        assert buffers.allow(other, 100)
        assert buffers.allow(reader, 100), "what a reader has not taken is whole"
        assert not buffers.allow(other, 300), "and nobody has more than a share"

    def test_of_those_that_wait_the_one_that_holds_least_is_the_next_that_goes_over(self, buffers: BufferPool) -> None:
        over, large, small = (Holding(buffers, bytes([held % 255]), held) for held in (980, 9, 3))
        assert buffers.allow(over, 100)
        assert not buffers.allow(large, 100)
        assert not buffers.allow(small, 100)
        assert buffers.waiting == 2
        over.keep(990)
        over.keep(0)
        Holding(buffers, b"more", 980)
        assert not buffers.allow(large, 100)
        assert buffers.allow(small, 100)
        assert buffers.waiting == 1

    def test_who_moves_too_little_is_ended_while_somebody_waits_the_largest_first(self, buffers: BufferPool) -> None:
        slow, _, steady = (Holding(buffers, key, held) for key, held in ((b"a", 300), (b"b", 200), (b"c", 480)))
        Holding(buffers, b"d", 15, 0)
        waiting = Holding(buffers, b"e", 5)
        assert buffers.allow(steady, 10)
        self.look(buffers, 20)
        assert buffers.ended == 0, "nobody waits"
        waiting.is_held_up = True
        self.look(buffers, WINDOW_SECONDS, waiting, moves=(steady, 8))
        assert not slow.has_ended
        self.look(buffers, 2, waiting, moves=(steady, 8))
        assert slow.has_ended, "it holds most of those that stand still"
        self.look(buffers, 20, waiting, moves=(steady, 8))
        assert buffers.waiting == 0
        assert buffers.ended == 1
        assert buffers.held == 700

    def test_a_trickle_is_no_movement_and_a_pace_is(self, buffers: BufferPool) -> None:
        trickling, moving, waiting = (Holding(buffers, bytes([held % 255]), held) for held in (600, 380, 15))
        assert buffers.allow(trickling, 10)
        waiting.is_held_up = True
        for _ in range(8):
            moving.moved += 7  # 380 in less than a minute
            self.look(buffers, 1, waiting, moves=(trickling, 9))  # 600 in more
        assert trickling.has_ended
        assert not moving.has_ended

    def test_who_waits_itself_is_ended_after_a_minute(self, buffers: BufferPool) -> None:
        over, *waiting = (Holding(buffers, bytes([number]), 199) for number in range(5))
        assert buffers.allow(over, 100)
        for holder in waiting:
            holder.is_held_up = True
        self.look(buffers, TURNOVER_SECONDS, *waiting, moves=(over, 10))
        assert buffers.ended == 0
        self.look(buffers, 3, *waiting, moves=(over, 10))
        assert buffers.ended == 1
        assert not over.has_ended

    def test_who_waits_for_its_share_ends_only_sessions_of_its_own_key(self, buffers: BufferPool) -> None:
        one, other = Holding(buffers, b"a", 200), Holding(buffers, b"a", 100)
        reader = Holding(buffers, b"b", 400, 0)
        third = Holding(buffers, b"a", 20)
        other.is_held_up = third.is_held_up = True
        assert buffers.allow(one, 10)
        self.look(buffers, 10, other, third)
        assert one.has_ended
        assert not reader.has_ended

    def test_it_is_told_once_that_memory_is_short_and_once_that_it_is_over(self, buffers: BufferPool) -> None:
        told: list[bool] = []
        buffers.tell = told.append
        over, waiting = Holding(buffers, b"a", 990), Holding(buffers, b"b", 9)
        assert buffers.allow(over, 10)
        for _ in range(3):
            self.look(buffers, 4, waiting, moves=(over, 100))
            self.look(buffers, OVER_SECONDS / 2)
        assert told == [True]
        self.look(buffers, OVER_SECONDS)
        assert told == [True, False]
