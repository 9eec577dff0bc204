"""Frames larger than the buffers: their memory grows with what has come, never with what a header claims."""

import pytest
import trio
from support import curve, zmtp
from support.relaying import FIRST_NONCE, KEY, LIMIT, LargePool, Relay, sealed

from curveproxy.proxy.net.buffers import GRAIN
from curveproxy.proxy.relay.intake import GROWTH, LargeFrame


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


def test_a_large_frame_has_a_buffer_for_what_has_come() -> None:
    pool, size = LargePool(), 64 * GRAIN
    large = LargeFrame(pool, b"x" * GRAIN, size, under_pressure=False)
    assert (large.have, len(large.buffer), large.is_full) == (GRAIN, GROWTH * GRAIN, False)
    assert large.memory == 2 * GROWTH * GRAIN, "its other form will be as large"
    large.add(3 * GRAIN)
    assert large.is_full
    large.grow(pool, size)
    assert (len(large.buffer), pool.lent) == (16 * GRAIN, [large.buffer])
    assert large.buffer.data.startswith(b"x" * GRAIN)


def test_under_pressure_it_has_no_more_than_that() -> None:
    large = LargeFrame(LargePool(), b"x" * GRAIN, 64 * GRAIN, under_pressure=True)
    assert (len(large.buffer), large.is_full) == (GRAIN, True)


def test_once_it_is_turned_only_its_other_form_is_lent() -> None:
    pool = LargePool()
    large = LargeFrame(pool, b"x" * GRAIN, 2 * GRAIN, under_pressure=False)
    large.turn(pool, target := pool.borrow(3 * GRAIN))
    assert (large.is_turned, large.memory, pool.lent) == (True, 0, [target])


def test_of_a_large_frame_only_what_has_come_is_kept() -> None:
    frame = zmtp.frame(curve.message(KEY, curve.FROM_CLIENT, FIRST_NONCE, bytes(LIMIT - 100)))
    with Relay() as relay:
        relay.send(frame[:150])
        assert 150 <= relay.to_service.held <= 2 * GROWTH * 150
        assert relay.to_service.begun == 150
        relay.send(frame[150:])
        assert relay.messages == [[bytes(LIMIT - 100)]]
        assert (relay.to_service.held, relay.pool.lent) == (0, [])


@pytest.mark.parametrize("quota", [0.0, 50.0])
def test_a_source_that_has_used_up_its_quota_is_not_read(quota: float) -> None:
    class Allowed:
        def available(self, now: float, smallest: int) -> float:
            return quota

        def spend(self, messages: float, octets: int, now: float) -> None: ...

    with Relay() as relay:
        relay.to_service.limit(Allowed())
        relay.send(sealed(FIRST_NONCE, b"x"))
        assert relay.messages == ([[b"x"]] if quota else [])
