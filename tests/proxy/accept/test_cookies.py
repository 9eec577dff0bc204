"""The keys of cookies."""

import trio
import trio.testing

from curveproxy.proxy.accept.cookies import ROTATION_SECONDS, CookieKeys


def test_two_generations_are_good_and_a_third_is_wiped() -> None:
    keys = CookieKeys()
    first = keys.current(b"socket")
    raw = keys._keys[0]
    keys.rotate()
    assert first in keys.good(b"socket")
    assert keys.current(b"socket") != first
    assert keys.current(b"other") != keys.current(b"socket")
    keys.rotate()
    assert first not in keys.good(b"socket")
    assert raw == bytes(32)


async def test_they_rotate_by_the_clock_also_while_nobody_comes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    keys = CookieKeys()
    nursery.start_soon(keys.run)
    await trio.testing.wait_all_tasks_blocked()
    first = keys.current(b"socket")
    await trio.sleep(ROTATION_SECONDS - 1)
    assert keys.current(b"socket") == first
    await trio.sleep(2)
    assert keys.current(b"socket") != first
    assert first in keys.good(b"socket")
    await trio.sleep(ROTATION_SECONDS)
    assert first not in keys.good(b"socket")
