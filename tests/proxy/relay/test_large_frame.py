"""Frames larger than the buffers: their memory grows with what has come, and one buffer holds both of their forms."""

import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
from support import curve, zmtp
from support.relaying import FIRST_NONCE, KEY, LIMIT, LargePool, Relay, SmallPool, sealed
from support.twins import message, plain

from curveproxy.policy.limits import MessageLimits
from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.net.buffers import GRAIN, TARGET_ROOM
from curveproxy.proxy.net.memory import Holder, MemoryBudget
from curveproxy.proxy.net.reactor import READ, WRITE
from curveproxy.proxy.relay import pump
from curveproxy.proxy.relay.filters.legacy_pubsub import PublisherFilter
from curveproxy.proxy.relay.filters.partial_messages import PartialMessages
from curveproxy.proxy.relay.large_frame import GROWTH, LargeFrame
from curveproxy.proxy.relay.opener import FilteringOpener, Opener
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.proxy.relay.transformed import Transform
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.select import CodecState
from curveproxy.wire.codec.state import Stop
from curveproxy.wire.zmtp.frame import Dialect

BODY = bytes(range(256)) * 5
LIMITS = MessageLimits()
by_dialect = pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.name)


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


def opener(dialect: Dialect, limit: int = 1 << 20) -> Transform:
    return Opener(state(dialect, limit), Capabilities(1, None, dialect), LIMITS)


def dropping_opener(dialect: Dialect, limit: int = 1 << 20) -> Transform:
    partial = PartialMessages()
    return FilteringOpener(state(dialect, limit), Capabilities(1, None, dialect), LIMITS, partial, None)


def sealer(dialect: Dialect, limit: int = 1 << 20) -> Transform:
    return Sealer(state(dialect, limit), Capabilities(1, None), LIMITS)


def publisher_filter(dialect: Dialect, limit: int = 1 << 20) -> Transform:
    topics = Subscriptions()
    topics.add(BODY[:3])
    return PublisherFilter(state(dialect, limit), Capabilities(1, None), LIMITS, topics)


def state(dialect: Dialect, limit: int) -> CodecState:
    return CodecState(KEY, curve.FROM_CLIENT, 0, limit, dialect)


def read(pool: LargePool, transform: Transform, octets: bytes, begun: int = 300) -> LargeFrame:
    """One that has come in pieces, as far as its buffer lets them."""
    large = LargeFrame(pool, memoryview(octets)[:begun], len(octets), transform.shift, under_pressure=True)
    while large.have < len(octets):
        if not large.gap:
            large.grow(pool)
        step = min(len(large.gap), 500)
        large.gap[:step] = octets[large.have : large.have + step]
        large.add(step)
    return large


def test_it_has_a_buffer_for_what_has_come() -> None:
    pool, size = LargePool(), 64 * GRAIN
    large = LargeFrame(pool, memoryview(b"x" * GRAIN), size, 33, under_pressure=False)
    room = GROWTH * GRAIN + TARGET_ROOM
    assert (large.have, len(large.gap), large.wanted) == (GRAIN, large.memory - TARGET_ROOM - GRAIN, GROWTH * GRAIN)
    assert room <= large.memory < room + GRAIN
    large.add(len(large.gap))
    assert len(large.gap) == 0
    large.grow(pool)
    assert GROWTH * large.have - large.have <= len(large.gap) < large.memory < GROWTH * (room + GRAIN) + GRAIN
    assert sum(map(len, pool.lent)) == large.memory, "and no other"
    assert bytes(large.source.view[:GRAIN]) == b"x" * GRAIN


def test_under_pressure_it_has_no_more_than_that() -> None:
    large = LargeFrame(SmallPool(), memoryview(b"x" * GRAIN), 64 * GRAIN, -33, under_pressure=True)
    assert (large.memory, len(large.gap)) == (GRAIN + TARGET_ROOM, 0)


def test_nothing_behind_it_is_read() -> None:
    pool = SmallPool()
    pool.give_back(pool.borrow(10_000))
    large = LargeFrame(pool, memoryview(b"x" * 100), 1000, 33, under_pressure=False)
    assert (large.memory, len(large.gap)) == (10_000, 900)


@by_dialect
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("make", [opener, sealer])
def test_its_other_form_takes_its_place(make: Callable[[Dialect], Transform], more: bool, dialect: Dialect) -> None:
    pool, framed, boxed = SmallPool(), plain([(BODY, more)], dialect), message(1, int(more), BODY)
    octets, other = (boxed, framed) if make is opener else (framed, boxed)
    large = read(pool, transform := make(dialect), octets)
    assert len(pool.lent) == 1
    result = large.turn(transform)
    assert (bytes(result.output), result.start, result.stop) == (other, len(octets), Stop.INCOMPLETE)
    assert (result.messages, result.octets, transform.held) == (not more, len(BODY), more * len(framed))
    assert large.memory == len(pool.lent[0]), "it is not owed yet"
    large.settle()
    assert large.memory == 0
    assert large.holds(result.output)
    assert not large.holds(memoryview(b"x"))
    large.give_back(pool)
    assert pool.lent == []


@by_dialect
def test_parts_are_kept_until_the_last_has_come(dialect: Dialect) -> None:
    pool, transform = SmallPool(), dropping_opener(dialect)
    outputs = []
    for nonce, more in ((1, 1), (2, 0)):
        octets = message(nonce, more, BODY)
        large = read(pool, transform, octets)
        transform.resolve(result := large.turn(transform), large.source, len(octets), lambda: 0.0)
        outputs.append(bytes(result.output))
        large.give_back(pool)
    assert outputs == [b"", plain([(BODY, True), (BODY, False)], dialect)]


@pytest.mark.parametrize("wanted", [True, False])
def test_of_an_old_publisher_it_goes_on_if_it_is_wanted(wanted: bool) -> None:
    body = BODY if wanted else BODY[1:]
    octets, transform = plain([(body, False)], Dialect.V1), publisher_filter(Dialect.V1)
    result = read(SmallPool(), transform, octets).turn(transform)
    assert (bytes(result.output), result.start) == (message(1, 0, body) if wanted else b"", len(octets))


@by_dialect
@pytest.mark.parametrize("make", [opener, dropping_opener])
def test_a_damaged_one_gives_nothing_out(make: Callable[[Dialect], Transform], dialect: Dialect) -> None:
    octets = bytearray(message(1, 0, BODY))
    for place in (30, len(octets) - 1):  # of its MAC, and of its data
        transform = make(dialect)
        octets[place] ^= 1
        large = read(SmallPool(), transform, bytes(octets))
        transform.resolve(result := large.turn(transform), large.source, len(octets), lambda: 0.0)
        assert (bytes(result.output), result.start, result.invalid) == (b"", len(octets), (Invalid.BOX,))
        assert bytes(large.source.view[: len(octets)]) == octets, "nothing of it is opened"
        octets[place] ^= 1


@by_dialect
@pytest.mark.parametrize("make", [opener, dropping_opener])
def test_what_is_behind_a_gap_is_looked_at_where_it_lies(
    make: Callable[[Dialect], Transform], dialect: Dialect
) -> None:
    octets, transform = message(5, 0, BODY), make(dialect)
    large = read(SmallPool(), transform, octets)
    transform.resolve(result := large.turn(transform), large.source, len(octets), lambda: 0.0)
    assert (bytes(result.output), result.start, result.invalid) == (b"", len(octets), (Invalid.GAP,))
    if make is dropping_opener:
        octets = message(6, 0, BODY)
        assert bytes(read(SmallPool(), transform, octets).turn(transform).output) == plain([(BODY, False)], dialect)


@pytest.mark.parametrize("make", [opener, sealer])
def test_a_command_larger_than_any_ends_the_session(make: Callable[[Dialect], Transform]) -> None:
    body = zmtp.command(b"PING", bytes(5000))
    framed = zmtp.frame(body, zmtp.COMMAND)
    octets = message(1, curve.INNER_COMMAND, body) if make is opener else framed
    large = read(SmallPool(), transform := make(Dialect.V3), octets)
    transform.resolve(result := large.turn(transform), large.source, len(octets), lambda: 0.0)
    assert (bytes(result.output), result.fatal) == (b"", Invalid.COMMAND)


# --- in a session

SIZES = [SmallPool.read_size - 1, SmallPool.read_size, SmallPool.read_size + 1, SmallPool.read_size_max + 1, LIMIT]


def framed(size: int, nonce: int = FIRST_NONCE, flags: int = 0) -> tuple[bytes, bytes]:
    """A MESSAGE whose frame has so many octets, and its data."""
    body = (BODY * 2)[: size - 9 - 33]
    return sealed(nonce, body, flags), body


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [97, 1 << 20], ids=["in pieces", "at once"])
@pytest.mark.parametrize("on_invalid", ["drop", "disconnect"])
def test_two_of_them_with_parts_and_what_is_small_around_them(size: int, step: int, on_invalid: str) -> None:
    first, body = framed(size, FIRST_NONCE, curve.INNER_MORE)
    second, _ = framed(size, FIRST_NONCE + 1)
    octets = first + second + sealed(FIRST_NONCE + 2, zmtp.ping(b"x"), curve.INNER_COMMAND)
    octets += framed(size, FIRST_NONCE + 3)[0] + sealed(FIRST_NONCE + 4, b"small")
    with Relay(on_invalid=on_invalid, max_message_bytes=2 * LIMIT) as relay:
        for at in range(0, len(octets), step):
            relay.send(octets[at : at + step])
        assert relay.messages == [[body, body], [body], [b"small"]]
        assert relay.commands == [zmtp.ping(b"x")]
        assert (relay.pool.lent, relay.to_service.held) == ([], 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("thread_size", [600, 1 << 20], ids=["in a thread", "in its turn"])
def test_what_the_service_sends_is_sealed_where_it_lies(
    monkeypatch: pytest.MonkeyPatch, size: int, thread_size: int
) -> None:
    monkeypatch.setattr(pump, "THREAD_SIZE", thread_size)
    body = (BODY * 2)[: size - 9]
    parts = [(body, zmtp.MORE), (b"end", 0), (body, 0), (zmtp.ping(), zmtp.COMMAND)]
    octets, came = b"".join(zmtp.frame(*part) for part in parts), b""
    with Relay(max_message_bytes=2 * LIMIT) as relay:
        for at in range(0, len(octets), 211):
            relay.service.send(octets[at : at + 211])
            relay.far.ready(READ)
            relay.go_on()
            with suppress(BlockingIOError):
                came += relay.client.recv(1 << 20)
        opened = [curve.read_message(frame.body, KEY, curve.FROM_SERVER) for frame in zmtp.read_frames(came)]
        flags = {0: 0, zmtp.MORE: curve.INNER_MORE, zmtp.COMMAND: curve.INNER_COMMAND}
        assert [(each.data, each.flags) for each in opened] == [(data, flags[flag]) for data, flag in parts]
        assert (relay.pool.lent, relay.memory.held) == ([], 0)


def test_of_one_only_what_has_come_is_kept() -> None:
    octets, body = framed(LIMIT)
    with Relay() as relay:
        relay.send(octets[:150])
        assert 150 <= relay.to_service.held <= GROWTH * 150 + TARGET_ROOM
        assert relay.to_service.begun == 150
        relay.send(octets[150:])
        assert relay.messages == [[body]]
        assert (relay.to_service.held, relay.pool.lent) == (0, [])


def test_no_memory_is_taken_for_one_over_the_limit() -> None:
    with Relay() as relay:
        relay.send(sealed(FIRST_NONCE, bytes(LIMIT + 100))[:600])
        assert (relay.invalid, relay.pool.lent, relay.to_service.held) == ([Invalid.TOO_LARGE], [], 0)


def test_while_its_sink_takes_nothing_it_is_owed_from_its_own_buffer() -> None:
    octets, body = framed(LIMIT)
    with Relay() as relay:
        relay.far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        padding = 0
        with suppress(BlockingIOError):
            while True:
                padding += relay.far.socket.send(b"p")
        relay.client.send(octets)
        relay.near.ready(READ)
        relay.go_on()
        [buffer] = relay.pool.lent
        assert relay.to_service.held == len(buffer)
        relay.far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        assert len(relay.service.recv(padding)) == padding
        relay.far.ready(WRITE)
        relay.send(b"")
        assert relay.messages == [[body]]
        assert (relay.to_service.held, relay.pool.lent) == (0, [])


def test_before_it_grows_memory_is_asked_for_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def may_exceed(_: MemoryBudget, holder: Holder, octets: int) -> bool:
        asked.append((holder.held, octets))
        return True

    monkeypatch.setattr(MemoryBudget, "may_exceed", may_exceed)
    octets, body = framed(LIMIT)
    with Relay() as relay:
        relay.send(octets[:150])
        relay.send(octets[150:650])
        [(before, wanted)] = asked
        assert (before + wanted, relay.to_service.held) == (LIMIT + TARGET_ROOM, LIMIT + TARGET_ROOM)
        relay.send(octets[650:])
        assert relay.messages == [[body]]
