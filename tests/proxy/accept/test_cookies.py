"""The keys of cookies."""

import trio
import trio.testing

from curveproxy.proxy.accept.cookies import ROTATION_SECONDS, CookieKeys


def test_two_generations_are_good_and_a_third_is_wiped() -> None:
    keys = CookieKeys()
    first = keys.current
    octets = bytes(first)
    keys.rotate()
    assert keys.good == (keys.current, first)
    assert keys.current != first == octets
    second = keys.current
    keys.rotate()
    assert keys.good == (keys.current, second)
    assert first == bytes(32)


async def test_they_rotate_by_the_clock_also_while_nobody_comes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    keys = CookieKeys()
    nursery.start_soon(keys.run)
    await trio.testing.wait_all_tasks_blocked()
    first = bytes(keys.current)
    await trio.sleep(ROTATION_SECONDS - 1)
    assert keys.current == first
    await trio.sleep(2)
    assert keys.current != first
    assert first in keys.good
    await trio.sleep(ROTATION_SECONDS)
    assert first not in keys.good
