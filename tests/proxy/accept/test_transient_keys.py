"""Transient keys that are made in advance."""

import trio
import trio.testing

from curveproxy.proxy.accept.transient_keys import STOCK, TransientKeys
from curveproxy.wire.curve.keys import KeyPair


def take(keys: TransientKeys) -> KeyPair:
    """A pair that is used now."""
    pair = keys.peek()
    keys.used()
    return pair


def test_a_pair_stays_until_it_is_used() -> None:
    keys = TransientKeys()
    assert keys.peek() is keys.peek()
    first = take(keys)
    assert keys.peek() != first


async def test_no_pair_is_used_twice_and_the_stock_fills_when_a_burst_is_over(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    keys = TransientKeys()
    taken = [take(keys) for _ in range(3)]
    nursery.start_soon(keys.run)
    await trio.sleep(1)
    assert len(keys._stock) == STOCK
    taken += [take(keys) for _ in range(STOCK + 3)]
    assert len({pair.secret for pair in taken}) == len(taken)
    assert all(KeyPair.from_secret(pair.secret) == pair for pair in taken)
    await trio.sleep(1)
    assert len(keys._stock) == STOCK
