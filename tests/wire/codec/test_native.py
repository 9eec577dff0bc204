"""The twin in C: it is built, leaves what the one in Python leaves, and neither leaks nor keeps anything."""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import sanitizers
from support.twins import (
    FROM_CLIENT,
    IN_C,
    KEY,
    check_nothing_is_kept,
    copied,
    direction,
    filled,
    members_of,
    message,
    plain,
    twin_named,
)

from curveproxy.wire import sodium
from curveproxy.wire.codec import python as codec_python
from curveproxy.wire.codec.state import Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect


@pytest.fixture(params=IN_C, scope="module")
def native(request: pytest.FixtureRequest) -> ModuleType:
    """The twin in C."""
    module = twin_named(request.param)
    if module is None:
        pytest.skip("the C codec was not built: there was no compiler")
    return module


frames = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 6), st.integers(0, 3), st.binary(max_size=300), st.sampled_from((0, 0, 0, 1, 4))).map(
            lambda drawn: message(drawn[0], drawn[1], drawn[2], outer=drawn[3])
        ),
        st.builds(lambda *part: plain([part]), st.binary(max_size=300), st.booleans()),
        st.binary(max_size=12),
    ),
    max_size=6,
).map(b"".join)
states = st.builds(
    CodecState,
    st.just(KEY),
    st.just(FROM_CLIENT),
    st.sampled_from((0, 0, 0, 1, 2**64 - 1)),
    st.sampled_from((1 << 20, 300, 0)),
    st.sampled_from(Dialect),
    st.sampled_from((False, False, True)),
    st.sampled_from((0, 0, 100, 2**64 - 1)),
    st.booleans(),
    batch=st.sampled_from((4096, 0, 1, 2)),
)


@given(states, frames, st.sampled_from((4096, 300, 1)))
def test_both_twins_do_the_same_and_leave_the_same_state(
    native: ModuleType, state: CodecState, octets: bytes, capacity: int
) -> None:
    for name in ("open_frames", "seal_frames"):
        left = []
        for twin in (codec_python, native):
            source, target, own = filled(octets), Buffer(capacity), copied(twin, state)
            if name == "seal_frames":
                own.nonce %= 2**64 - 1
            batch = getattr(twin, name)(own, source, 0, len(octets), target, 0)
            left.append((batch, type(batch), type(batch.stop), members_of(own), source.data, target.data[: batch.at]))
        assert left[0] == left[1]


def calls(native: ModuleType) -> list[Callable[[], Any]]:
    """One of each kind: frames that are opened and sealed, a command, a frame that stops, and all that is refused."""
    whole, command, open_frames, seal_frames = (
        message(1, 0, b"x"),
        message(1, 2, b"x"),
        native.open_frames,
        native.seal_frames,
    )
    large = b"\2" + (20000).to_bytes(8, "big") + bytes(20000)
    some, readonly, nothing = Buffer(100), Buffer(100), object()
    readonly.data = memoryview(bytes(100))  # type: ignore[assignment]

    def opens(octets: bytes) -> Callable[[], Any]:
        return lambda: open_frames(direction(native), filled(octets), 0, len(octets), some, 0)

    def fails(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        def attempt() -> None:
            with pytest.raises((TypeError, ValueError, AttributeError, BufferError, OverflowError)):
                function(*arguments)

        return attempt

    def wrong(*arguments: Any) -> Callable[[], Any]:
        return fails(open_frames, *arguments)

    def wrong_member(name: str, value: Any) -> Callable[[], Any]:
        def attempt() -> None:
            with pytest.raises((TypeError, ValueError, AttributeError, OverflowError)):
                setattr(state, name, value)

        return attempt

    state, state_of_one = direction(native), direction(native)
    return [
        opens(whole),
        opens(command),
        opens(whole + b"\x40\0"),
        lambda: seal_frames(direction(native), filled(large), 0, len(large), Buffer(30000), 0),
        lambda: [members_of(state), repr(state)],
        wrong(),
        wrong(state, some, 0, 0, some),
        wrong(nothing, some, 0, 0, some, 0),
        wrong(CodecState(KEY, FROM_CLIENT, 0, 1), some, 0, 0, some, 0),
        wrong(state, nothing, 0, 0, some, 0),
        wrong(state, some, 0, 0, nothing, 0),
        wrong(state, readonly, 0, 0, some, 0),
        wrong(state, some, 0, 0, readonly, 0),
        wrong(state, some, "0", 0, some, 0),
        wrong(state, some, 0, 2**64, some, 0),
        wrong(state, some, -1, 0, some, 0),
        wrong(state, some, 2, 1, some, 0),
        wrong(state, some, 0, 101, some, 0),
        wrong(state, some, 0, 0, some, -1),
        wrong(state, some, 0, 0, some, 101),
        *[
            wrong_member(name, value)
            for name in ("nonce", "limit", "held", "batch")
            for value in (-1, 2**64, "1", None)
        ],
        *[wrong_member("dialect", value) for value in (0, 4, -1, "1", None)],
        lambda: state_of_one.seal_one(2, b"x"),
        lambda: state_of_one.open_one(filled(whole), 0, len(whole), some, 0),
        *[
            fails(state_of_one.seal_one, *arguments)
            for arguments in ((), (1,), (256, b""), (-1, b""), ("", b""), (1, ""))
        ],
        *[
            fails(state_of_one.open_one, *arguments)
            for arguments in ((), (some, 0, 100, some), (some, 0, 10, some, 0), (some, 0, 101, some, 0), (nothing,) * 9)
        ],
        *[wrong_member(name, 1) for name in ("key", "prefix", "command", "unknown")],
    ]


def test_nothing_is_kept_of_a_call_that_works_or_fails(native: ModuleType) -> None:
    check_nothing_is_kept(calls(native), 50)


def test_a_buffer_is_let_go_on_every_path(native: ModuleType) -> None:
    state, octets = direction(native), message(1, 0, b"x")
    for start, end, at in ((0, len(octets), 0), (1, 0, 0), (0, 0, 1000)):
        source, target = Buffer(bytearray(octets)), Buffer(100)
        source.view, target.view = memoryview(b""), memoryview(b"")
        source.pointer = target.pointer = None
        try:
            native.open_frames(state, source, start, end, target, at)
        except ValueError:
            assert start or at
        source.data.append(0)  # BufferError while somebody holds it
        target.data.append(0)
    target.data = memoryview(bytes(100))  # type: ignore[assignment]
    with pytest.raises(BufferError):
        native.open_frames(state, source, 0, 0, target, 0)
    source.data.append(0)


def test_no_member_can_be_taken_away(native: ModuleType) -> None:
    state = direction(native)
    before = members_of(state)
    for name in before:
        with pytest.raises(AttributeError):
            delattr(state, name)
    assert members_of(state) == before


def test_a_setting_that_is_refused_changes_nothing(native: ModuleType) -> None:
    state = direction(native)
    before = members_of(state)
    for attempt in calls(native):
        attempt()
    for name in ("nonce", "limit", "held", "batch", "dialect"):
        with pytest.raises((OverflowError, ValueError)):
            setattr(state, name, 2**64)
    assert members_of(state) == before


def test_a_large_batch_lets_other_threads_run(native: ModuleType) -> None:
    octets = plain([(bytes(8000), False)] * 3)
    batch = native.seal_frames(direction(native), filled(octets), 0, len(octets), Buffer(30000), 0)
    assert (batch.start, batch.messages, batch.stop) == (len(octets), 3, Stop.INCOMPLETE)


@pytest.mark.skipif("PYTHONMALLOC" in os.environ, reason="looks at memory that was freed")
def test_no_key_is_left_in_memory_when_a_state_is_freed(native: ModuleType) -> None:
    """Where it has what it needs of libsodium, a state has a key for its own direction alone."""
    has_parts = native is twin_named("c") and sodium.address_of("crypto_core_hsalsa20") != 0
    key = subkey(FROM_CLIENT) if has_parts else KEY
    state = direction(native)
    address, size = id(state), sys.getsizeof(state)
    memory = ctypes.string_at(address, size)
    assert key in memory
    assert (KEY in memory) == (key == KEY)
    del state
    memory = ctypes.string_at(address, size)
    assert key[:16] not in memory
    assert key[16:] not in memory


def subkey(prefix: bytes) -> bytes:
    """HSalsa20 of the session's key."""
    function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_char_p] * 4)(sodium.address_of("crypto_core_hsalsa20"))
    made = ctypes.create_string_buffer(32)
    function(ctypes.cast(made, ctypes.c_char_p), prefix, KEY, None)
    return made.raw


@pytest.mark.compiler
def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    sanitizers.compiled("_codec", tmp_path)


@pytest.mark.compiler
def test_sanitizers_find_nothing_in_it(tmp_path: Path) -> None:
    """The tests of codec and handshake and the fuzzers' inputs, once more, with the extension compiled for them."""
    handshake = [f"tests/wire/curve/{name}.py" for name in ("test_handshake", "test_native_handshake", "test_vectors")]
    which = "codec or opening or sealing or curve or hello or initiate"
    tests = ["tests/wire/codec", "tests/fuzz/test_fuzz.py", *handshake]
    sanitizers.check(tmp_path, *tests, "-k", f"not test_select and ({which})")
