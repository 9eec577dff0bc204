"""The codec's twins, what a state of each holds, and frames to try them on, made without the codec."""

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from attrs import fields
from nacl.bindings import crypto_box_easy_afternm

from curveproxy.wire import sodium
from curveproxy.wire.codec.framing import growth
from curveproxy.wire.codec.record_state import STREAM_BATCH, RecordState
from curveproxy.wire.codec.state import Batch, Buffer, CodecState
from curveproxy.wire.zmtp.frame import Dialect, frame

KEY = bytes(range(32))
LIMIT = 1 << 20
FROM_CLIENT = b"CurveZMQMESSAGEC"

IN_C = ("c", "c, whole boxes")
TWINS = ("py", *IN_C)
MEMBERS = [member.name for member in fields(CodecState) if member.name != "key"]

CHAIN = bytes(range(32, 64))
RECORD_MEMBERS = sorted({*RecordState.__slots__} - {"key", "secrets"})


def twin_named(name: str) -> ModuleType | None:
    """A module with the states and functions of the codec; None when it was not built."""
    if name == "py":
        return import_module("curveproxy.wire.codec.python")
    try:
        native = import_module("curveproxy.wire.codec.native")
    except ImportError:
        return None
    return native if name == "c" else _with_whole_boxes(native)


@cache
def _with_whole_boxes(native: ModuleType) -> ModuleType:
    """The twin in C once more, as it is where PyNaCl hides the parts of a box."""
    name = "curveproxy.wire.codec._codec"
    spec = spec_from_file_location(name, import_module(name).__file__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    addresses = [sodium.address_of(name) for name in native.FUNCTIONS]
    addresses[native.FUNCTIONS.index("crypto_onetimeauth_poly1305")] = 0  # one that is missing is enough
    module.setup(tuple(addresses), *native.RESULTS)
    return module


def members_of(state: CodecState) -> dict[str, Any]:
    """All that a state holds but its key, by name."""
    return {name: getattr(state, name) for name in MEMBERS}


def copied(twin: ModuleType, state: CodecState) -> CodecState:
    """The same state, of the twin's own type. Its key is KEY."""
    copy: CodecState = twin.CodecState(KEY, **members_of(state))
    return copy


def direction(
    twin: ModuleType, dialect: Dialect = Dialect.V3, limit: int = LIMIT, nonce: int = 0, *, little: bool = False
) -> CodecState:
    """The state of what opens a client's MESSAGEs, or seals as one."""
    state: CodecState = twin.CodecState(KEY, FROM_CLIENT, nonce, limit, dialect, little)
    return state


def record_state(
    twin: ModuleType,
    suite: int = 1,
    limit: int = LIMIT,
    dialect: Dialect = Dialect.V3,
    pad_to: int = 0,
    *,
    chain: bytes = CHAIN,
    batch: int = STREAM_BATCH,
) -> RecordState:
    """The state of what seals or opens one direction's records."""
    state: RecordState = twin.RecordState(chain, suite, limit, dialect, pad_to, batch)
    return state


def record_members_of(state: RecordState) -> dict[str, Any]:
    """All that a state of records holds but its keys, by name."""
    return {name: getattr(state, name) for name in RECORD_MEMBERS}


def plain(parts: list[tuple[bytes, bool]], dialect: Dialect = Dialect.V3) -> bytes:
    """Frames as a plain peer writes them."""
    octets = b""
    for body, more in parts:
        if dialect != Dialect.V1:
            octets += frame(int(more), body)
        elif len(body) < 254:
            octets += bytes([len(body) + 1, more]) + body
        else:
            octets += b"\xff" + (len(body) + 1).to_bytes(8, "big") + bytes([more]) + body
    return octets


def message(
    nonce: int, flags: int, body: bytes, *, outer: int = 0, key: bytes = KEY, name: bytes = b"MESSAGE"
) -> bytes:
    """A MESSAGE as the RFC draws it, made without the codec."""
    short = nonce.to_bytes(8, "big")
    sealed = crypto_box_easy_afternm(bytes([flags]) + body, FROM_CLIENT + short, key)
    octets = b"\x07" + name + short + sealed
    return (
        bytes([outer, len(octets)]) + octets
        if len(octets) < 256
        else (bytes([outer | 2]) + len(octets).to_bytes(8, "big") + octets)
    )


def filled(octets: bytes, size: int = 0) -> Buffer:
    """A buffer that begins with these octets."""
    buffer = Buffer(max(size, len(octets), 1))
    buffer.view[: len(octets)] = octets
    return buffer


def called(
    twin: ModuleType, name: str, state: CodecState | RecordState, octets: bytes, capacity: int = 1 << 20
) -> tuple[bytes, Batch]:
    """What a function of the codec makes of octets."""
    target = Buffer(capacity)
    batch: Batch = getattr(twin, name)(state, filled(octets), 0, len(octets), target, 0)
    return bytes(target.view[: batch.at]), batch


def called_in_place(twin: ModuleType, name: str, state: CodecState, octets: bytes) -> tuple[bytes, Batch, bytes]:
    """The same of one large frame, where it lies. What it becomes, the batch, and what stands there now."""
    shift = growth(state.dialect) * (1 if name == "open_frames" else -1)
    lead = max(0, -shift)
    buffer = Buffer(lead + len(octets))
    source, target = buffer.behind(lead), buffer.behind(lead + shift)
    source.view[:] = octets
    batch: Batch = getattr(twin, name)(state, source, 0, len(octets), target, 0)
    return bytes(target.view[: batch.at]), batch, bytes(source.view)


def check_nothing_is_kept(attempts: Sequence[Callable[[], Any]], times: int) -> None:
    """Demand that so many more of each attempt leave no more memory in use than few of them."""

    def all_of_them(times: int) -> None:
        for attempt in attempts:
            for _ in range(times):
                attempt()
        gc.collect()  # an error and its traceback are a circle

    all_of_them(5)
    tracemalloc.start()
    try:
        all_of_them(5)
        before = tracemalloc.get_traced_memory()[0]
        all_of_them(times)
        assert tracemalloc.get_traced_memory()[0] < before + 2000
    finally:
        tracemalloc.stop()
