"""The state of one direction, of each twin, and a piece of memory with its address."""

import copy
import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
from support import zmtp
from support.twins import FROM_CLIENT, KEY, MEMBERS, copied, direction, filled, members_of, message

from curveproxy.wire import sodium
from curveproxy.wire.codec import state as definition
from curveproxy.wire.codec.state import BATCH_FRAMES, Buffer
from curveproxy.wire.zmtp.frame import Dialect

ALL: dict[str, Any] = {
    "prefix": FROM_CLIENT,
    "nonce": 2**64 - 1,
    "limit": 2**40,
    "dialect": Dialect.V1,
    "little_endian": True,
    "held": 2**33,
    "discarding": True,
    "command": (5, 2**33),
    "batch": 7,
}


def test_it_has_all_members_as_they_were_given(twin: ModuleType) -> None:
    assert list(ALL) == MEMBERS
    state = twin.CodecState(KEY, **ALL)
    assert members_of(state) == ALL
    assert type(state.dialect) is Dialect
    assert members_of(copied(twin, state)) == ALL
    assert members_of(twin.CodecState(KEY, *ALL.values())) == ALL


def test_what_is_not_given_is_that_of_a_new_session(twin: ModuleType) -> None:
    state = twin.CodecState(KEY, FROM_CLIENT, 1, 2)
    assert members_of(state) == members_of(definition.CodecState(KEY, FROM_CLIENT, 1, 2))
    assert state.batch == BATCH_FRAMES


def test_what_is_written_is_read(twin: ModuleType) -> None:
    state = twin.CodecState(KEY, FROM_CLIENT, 1, 2)
    for name in ("nonce", "limit", "dialect", "held", "discarding", "batch"):
        setattr(state, name, ALL[name])
        assert getattr(state, name) == ALL[name]


def test_no_key_shows_and_all_else_does(twin: ModuleType) -> None:
    shown = repr(twin.CodecState(KEY, **ALL))
    assert repr(KEY)[2:-1] not in shown
    assert shown == repr(definition.CodecState(KEY, **ALL))


def test_a_key_has_one_size_and_a_prefix_is_one_of_two(twin: ModuleType) -> None:
    prefixes = FROM_CLIENT + b"x", FROM_CLIENT[:-1], FROM_CLIENT[:-1] + b"x", b"x" + FROM_CLIENT[1:], b""
    for key, prefix in [(KEY[1:], FROM_CLIENT), (KEY + b"x", FROM_CLIENT), *[(KEY, prefix) for prefix in prefixes]]:
        with pytest.raises(ValueError, match="a key has 32 octets, and the prefix is that of a client or of a server"):
            twin.CodecState(key, prefix, 0, 0)


def test_it_is_small(twin: ModuleType) -> None:
    assert sys.getsizeof(direction(twin)) <= (120 if twin.CodecState is definition.CodecState else 96)


def test_in_c_nobody_can_have_the_key(twin: ModuleType) -> None:
    assert hasattr(direction(twin), "key") == (twin.CodecState is definition.CodecState)


def test_a_single_command_is_sealed_and_its_nonce_told(twin: ModuleType) -> None:
    state = direction(twin, nonce=6)
    octets = state.seal_one(2, b"\x04PONG")
    assert octets == message(7, 2, b"\x04PONG")
    target = Buffer(100)
    assert state.open_one(filled(octets), 0, len(octets), target, 10) == (7, 6)
    assert bytes(target.view[10:16]) == b"\x02\x04PONG"
    assert state.open_one(filled(zmtp.damaged(octets)), 0, len(octets), target, 10) == (7, 0)


@pytest.mark.parametrize("size", [0, 222, 223, 100_000])
def test_a_single_frame_of_any_size_is_sealed(twin: ModuleType, size: int) -> None:
    state = direction(twin, nonce=6)
    assert state.seal_one(0, bytes(size)) == message(7, 0, bytes(size))
    assert state.nonce == 7


def test_what_is_no_message_is_not_opened_and_no_state_changes(twin: ModuleType) -> None:
    state, target = direction(twin, nonce=6), Buffer(500)
    before = members_of(state)
    for size in (10, 300):
        octets = message(9, 0, bytes(size))
        assert state.open_one(filled(b"before" + octets), 6, 6 + len(octets), target, 3) == (9, 1 + size)
        assert bytes(target.view[3 : 4 + size]) == bytes(1 + size)
        octets = message(9, 0, bytes(size), name=b"MESSAGF")
        assert state.open_one(filled(octets), 0, len(octets), target, 0) == (9, 0)
    assert members_of(state) == before


def test_a_nonce_is_read_as_its_sender_writes_it(twin: ModuleType) -> None:
    octets = message(7 << 56, 0, b"data")
    assert direction(twin, little=True).open_one(filled(octets), 0, len(octets), Buffer(100), 0) == (7, 5)


def test_a_single_frame_is_whole_and_has_room(twin: ModuleType) -> None:
    state, octets = direction(twin), message(1, 0, b"data")
    for end, capacity in ((0, 100), (1, 100), (34, 100), (len(octets), len(octets) - 19)):
        with pytest.raises(ValueError, match="a whole MESSAGE, and room for its box"):
            state.open_one(filled(octets), 0, end, Buffer(capacity), 0)
    assert state.open_one(filled(octets), 0, len(octets), Buffer(len(octets) - 18), 0) == (1, 5)


def test_a_state_is_what_it_is_and_not_what_it_holds(twin: ModuleType) -> None:
    assert direction(twin) != direction(twin)
    if twin.CodecState is not definition.CodecState:  # no secret is copied by accident
        for attempt in (copy.copy, pickle.dumps):
            with pytest.raises(TypeError):
                attempt(direction(twin))


def test_a_buffer_knows_where_its_memory_is() -> None:
    memory = bytearray(10)
    for buffer in (Buffer(10), Buffer(memory)):
        buffer.view[3:5] = b"ab"
        assert len(buffer) == 10
        assert buffer.data == bytes(3) + b"ab" + bytes(5)
        assert bytes(sodium.address("unsigned char[]", buffer.data)) == bytes(buffer.data)
    assert memory[3:5] == b"ab"


def test_a_part_of_a_buffer_is_the_same_memory_and_keeps_it() -> None:
    whole = Buffer(10)
    assert whole.behind(0) is whole
    part = whole.behind(3)
    part.data[1] = 7
    assert (len(part), whole.data[4]) == (7, 7)
    assert part.view.obj is whole.data
    assert part.pointer == whole.pointer + 3
    del whole
    assert bytes(sodium.address("unsigned char[]", part.view)) == bytes(part.data) == b"\0\7" + bytes(5)
    with pytest.raises(BufferError):
        part.view.obj.append(0)  # it would lie elsewhere then
