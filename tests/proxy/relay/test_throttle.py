"""Pumps that are paused: asked at each tick, and their time is counted."""

import trio
import trio.testing

from curveproxy.proxy.relay.throttle import Throttle


class Pump:
    """Resumes at a time, as a pump does whose quota is full again then."""

    def __init__(self, throttle: Throttle, at: float) -> None:
        self._throttle, self._at = throttle, at
        self.asked, self.has_ended = 0, False

    def may_resume(self, now: float) -> None:
        self.asked += 1
        if now >= self._at:
            self._throttle.resume(self)


async def test_who_is_paused_is_asked_until_it_resumes(autojump_clock: trio.testing.MockClock) -> None:
    throttle, start = Throttle(), trio.current_time()
    soon, late = Pump(throttle, start + 1), Pump(throttle, start + 3)
    throttle.pause(soon)
    throttle.pause(late)
    for _ in range(5):
        await trio.sleep(1)
        throttle.tick(trio.current_time())
    assert (soon.asked, late.asked) == (1, 3)


async def test_the_time_of_all_of_them_is_counted_while_it_passes_and_afterwards(
    autojump_clock: trio.testing.MockClock,
) -> None:
    throttle, start = Throttle(), trio.current_time()
    one, other = Pump(throttle, start + 2), Pump(throttle, start + 10)
    throttle.pause(one)
    await trio.sleep(1)
    throttle.pause(other)
    throttle.pause(one)  # again: it is paused since its first time
    assert throttle.seconds == 1
    await trio.sleep(1)
    assert throttle.seconds == 2 + 1
    throttle.tick(trio.current_time())
    await trio.sleep(1)
    assert throttle.seconds == 2 + 2, "one has gone on, and its time stays counted"


async def test_who_has_ended_is_asked_nothing_and_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle()
    pump = Pump(throttle, 1e9)
    throttle.pause(pump)
    await trio.sleep(2)
    pump.has_ended = True
    throttle.tick(trio.current_time())
    await trio.sleep(5)
    throttle.tick(trio.current_time())
    assert pump.asked == 0
    assert throttle.seconds == 2
