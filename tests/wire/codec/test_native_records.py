"""Records in C: they do what those in Python do, keep no key that was left behind, and leak nothing."""

import ctypes
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import zmtp
from support.records import Direction
from support.twins import (
    CHAIN,
    FROM_CLIENT,
    IN_C,
    called,
    check_nothing_is_kept,
    filled,
    plain,
    record_members_of,
    record_state,
    twin_named,
)
from support.zmtp import COMMAND

from curveproxy.wire.codec import python as codec_python
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.zmtp.frame import Dialect


@pytest.fixture(params=IN_C, scope="module")
def native(request: pytest.FixtureRequest) -> ModuleType:
    """The twin in C."""
    module = twin_named(request.param)
    if module is None:
        pytest.skip("the C codec was not built: there was no compiler")
    return module


pieces = st.lists(
    st.one_of(
        st.tuples(st.binary(max_size=300), st.booleans()).map(lambda part: plain([part])),
        st.tuples(st.binary(max_size=300), st.booleans()).map(lambda part: plain([part], Dialect.V1)),
        st.sampled_from(
            (
                zmtp.frame(zmtp.ping(), COMMAND),
                zmtp.frame(b"x" * 9, long=True),
                zmtp.frame(b"", COMMAND, long=True, size=4353),
                bytes([4, 255]),
            )
        ),
        st.binary(max_size=12),
        st.integers(0, 70_000).map(bytes),
    ),
    max_size=6,
).map(b"".join)


@given(
    st.sampled_from(Suite),
    st.sampled_from((1 << 20, 300, 0)),
    st.sampled_from(Dialect),
    st.sampled_from((0, 0, 1, 64, 999, 32768)),
    st.sampled_from((32768, 20, 2)),
    st.lists(st.tuples(pieces, st.sampled_from((1 << 18, 300, 40, 1)), st.booleans()), max_size=4),
    st.one_of(st.none(), st.integers(0, 1 << 16)),
)
def test_both_twins_do_the_same_and_leave_the_same_state(
    native: ModuleType,
    suite: Suite,
    limit: int,
    dialect: Dialect,
    pad_to: int,
    batch: int,
    turns: list[tuple[bytes, int, bool]],
    damage: int | None,
) -> None:
    """Whatever a plain side says, in whatever pieces; and whatever is in records, padded or not, damaged or not."""
    left = []
    for twin in (codec_python, native):
        sealing = record_state(twin, suite, limit, dialect, pad_to, batch=batch)
        opening = record_state(twin, suite, limit, dialect, pad_to, batch=batch)
        client = Direction(CHAIN, suite, padded=bool(pad_to))
        for octets, capacity, ours in turns:
            name = "seal_octets" if ours and not sealing.body_left else "seal_records"
            source, target = filled(octets), Buffer(capacity)
            left.append(getattr(twin, name)(sealing, source, 0, len(octets), target, 0))
            left += [record_members_of(sealing), source.data, target.data[: left[-1].at]]
            records = bytearray(client.batch(octets, pad_to) if octets else b"")
            if damage is not None and damage < len(records):
                records[damage] ^= 1
            source, target = filled(bytes(records)), Buffer(capacity)
            opened = twin.open_records(opening, source, 0, len(records), target, 0)
            written = max(opened.at, sum(opening.command) if opened.stop.name == "COMMAND" else 0)
            left += [opened, type(opened), type(opened.stop), record_members_of(opening), target.data[:written]]
    half = len(left) // 2
    assert left[:half] == left[half:]


@pytest.mark.skipif("PYTHONMALLOC" in os.environ, reason="looks at memory that was freed")
@pytest.mark.parametrize("suite", list(Suite), ids=lambda suite: suite.word)
def test_no_key_is_left_in_memory_behind_its_step(native: ModuleType, suite: Suite) -> None:
    directions = [Direction(CHAIN, suite)]
    for _ in range(3):
        following = Direction(CHAIN, suite)
        following.key, following.chain = directions[-1].key, directions[-1].chain
        following.step()
        directions.append(following)
    client = Direction(CHAIN, suite)
    sealing, opening = record_state(native, suite), record_state(native, suite)
    for state in (sealing, opening):
        address, size = id(state), sys.getsizeof(state)
        assert CHAIN not in ctypes.string_at(address, size)  # it was stepped at once
        for before, after in pairwise(directions):
            memory = ctypes.string_at(address, size)
            assert before.key in memory
            assert before.chain in memory
            if state is sealing:
                called(native, "seal_records", state, plain([(b"x" * 40_000, False)]))
            else:
                called(native, "open_records", state, client.batch(plain([(b"x" * 40_000, False)])))
            memory = ctypes.string_at(address, size)
            for part in (before.key, before.chain):
                assert part[:16] not in memory
                assert part[16:] not in memory
            assert after.key in memory
    addresses, size = [id(sealing), id(opening)], sys.getsizeof(sealing)
    del state, sealing, opening
    for address in addresses:
        memory = ctypes.string_at(address, size)
        for part in (directions[-1].key, directions[-1].chain):
            assert part[:16] not in memory
            assert part[16:] not in memory


def calls(native: ModuleType) -> list[Callable[[], Any]]:
    """One of each kind: what is sealed and opened, a command, what stops, and all that is refused."""
    some, readonly, nothing, state = Buffer(100), Buffer(100), object(), record_state(native)
    readonly.data = memoryview(bytes(100))  # type: ignore[assignment]
    stream = plain([(b"x", False)])

    def opens(octets: bytes) -> Callable[[], Any]:
        return lambda: called(native, "open_records", record_state(native), octets)

    def wrong(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        def attempt() -> None:
            with pytest.raises((TypeError, ValueError, AttributeError, BufferError, OverflowError)):
                function(*arguments)

        return attempt

    refused = [
        (),
        (state, some, 0, 0, some),
        (nothing, some, 0, 0, some, 0),
        (codec_python.RecordState(CHAIN, 1, 1), some, 0, 0, some, 0),
        (native.CodecState(CHAIN, FROM_CLIENT, 0, 1), some, 0, 0, some, 0),
        (state, nothing, 0, 0, some, 0),
        (state, some, 0, 0, nothing, 0),
        (state, readonly, 0, 0, some, 0),
        (state, some, 0, 0, readonly, 0),
        (state, some, 0, 2**64, some, 0),
        (state, some, 2, 1, some, 0),
        (state, some, 0, 101, some, 0),
        (state, some, 0, 0, some, 101),
    ]
    functions = (native.open_records, native.seal_records, native.seal_octets)
    inside = record_state(native)
    called(native, "seal_records", inside, stream[:2])
    return [
        opens(Direction(CHAIN, 1).batch(stream)),
        opens(Direction(CHAIN, 1).batch(stream + zmtp.frame(zmtp.ping(), COMMAND) + stream)),
        opens(Direction(CHAIN, 1).batch(stream + b"\x40\0" + bytes(1000))),
        opens(bytes(100)),
        lambda: called(native, "seal_records", record_state(native, pad_to=64), stream),
        lambda: called(native, "seal_octets", record_state(native), stream),
        lambda: [record_members_of(state), repr(state)],
        *[wrong(function, *arguments) for function in functions for arguments in refused],
        wrong(native.seal_octets, inside, some, 0, 0, some, 0),
        *[
            wrong(native.RecordState, *arguments)
            for arguments in ((), (CHAIN, 0, 9), (CHAIN, 1, -1), (b"", 1, 9), ("", 1, 9), (CHAIN, 1, 9, 4))
        ],
        *[
            wrong(setattr, state, name, value)
            for name in ("limit", "batch", "since_step")
            for value in (-1, 2**64, "1")
        ],
        *[wrong(setattr, state, name, 1) for name in ("suite", "held", "rest", "command", "key", "unknown")],
        *[wrong(delattr, state, name) for name in record_members_of(state)],
    ]


def test_nothing_is_kept_of_a_call_that_works_or_fails(native: ModuleType) -> None:
    check_nothing_is_kept(calls(native), 30)


def test_a_buffer_is_let_go_on_every_path(native: ModuleType) -> None:
    octets = Direction(CHAIN, 1).batch(plain([(b"x", False)]))
    for function in (native.open_records, native.seal_records, native.seal_octets):
        for start, end, at in ((0, len(octets), 0), (1, 0, 0), (0, 0, 1000)):
            source, target = Buffer(bytearray(octets)), Buffer(100)
            source.view, target.view = memoryview(b""), memoryview(b"")
            source.pointer = target.pointer = None
            try:
                function(record_state(native), source, start, end, target, at)
            except ValueError:
                assert start or at
            source.data.append(0)  # BufferError while somebody holds it
            target.data.append(0)
