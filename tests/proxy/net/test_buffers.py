"""Buffers that are lent."""

import trio
import trio.testing

from curveproxy.proxy.net.buffers import (
    GRAIN,
    SPARE_MAX,
    SPARE_SECONDS,
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
