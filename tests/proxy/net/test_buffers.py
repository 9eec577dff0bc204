"""Buffers that are lent."""

import trio
import trio.testing

from curveproxy.proxy.net.buffers import (
    GRAIN,
    LARGE_KEPT,
    READ_SIZE,
    READ_SIZE_MAX,
    SPARE_MAX,
    SPARE_SECONDS,
    TARGET_ROOM,
    BufferPool,
    memory_of,
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


def test_a_pump_that_keeps_much_of_a_frame_reads_more() -> None:
    buffers = BufferPool()
    assert [buffers.reach(kept) for kept in (0, LARGE_KEPT - 1, LARGE_KEPT)] == [READ_SIZE, READ_SIZE, READ_SIZE_MAX]
    assert len(buffers.source) >= READ_SIZE_MAX
    assert len(buffers.target) >= READ_SIZE_MAX + TARGET_ROOM


def test_what_is_left_to_be_written_keeps_no_memory_that_is_much_larger() -> None:
    buffers, octets = BufferPool(), memoryview(bytes(10 * GRAIN))
    assert buffers.remainder(octets, 0, is_ours=True).obj is octets.obj
    assert buffers.remainder(octets, 5 * GRAIN, is_ours=True).obj is octets.obj
    for sent, is_ours in ((9 * GRAIN, True), (0, False)):
        left = buffers.remainder(octets, sent, is_ours=is_ours)
        assert left == octets[sent:]
        assert left.obj is not octets.obj
        assert memory_of(left) == len(left)
