"""The state of one direction, of either twin, and a piece of memory with its address."""

import copy
import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
from support.twins import FROM_CLIENT, KEY, MEMBERS, copied, direction, members_of

from curveproxy.wire import sodium
from curveproxy.wire.codec import state as definition
from curveproxy.wire.codec.state import BATCH_FRAMES, Buffer
from curveproxy.wire.zmtp.frame import Dialect

ALL: dict[str, Any] = {
    "key": KEY,
    "prefix": FROM_CLIENT,
    "nonce": 2**64 - 1,
    "limit": 2**40,
    "dialect": Dialect.V1,
    "little_endian": True,
    "held": 2**33,
    "discarding": True,
    "command": (5, 2**33),
    "batch": 7,
    "left_out": (2**64 - 1, 3),
}


def test_it_has_all_members_as_they_were_given(twin: ModuleType) -> None:
    assert list(ALL) == MEMBERS
    state = twin.CodecState(**ALL)
    assert members_of(state) == ALL
    assert type(state.dialect) is Dialect
    assert members_of(copied(twin, state)) == ALL
    assert members_of(twin.CodecState(*ALL.values())) == ALL


def test_what_is_not_given_is_that_of_a_new_session(twin: ModuleType) -> None:
    state = twin.CodecState(KEY, FROM_CLIENT, 1, 2)
    assert members_of(state) == members_of(definition.CodecState(KEY, FROM_CLIENT, 1, 2))
    assert state.batch == BATCH_FRAMES


def test_what_is_written_is_read(twin: ModuleType) -> None:
    state = twin.CodecState(KEY, FROM_CLIENT, 1, 2)
    for name in ("nonce", "limit", "dialect", "held", "discarding", "batch", "left_out"):
        setattr(state, name, ALL[name])
        assert getattr(state, name) == ALL[name]


def test_no_key_shows_and_all_else_does(twin: ModuleType) -> None:
    shown = repr(twin.CodecState(**ALL))
    assert repr(KEY)[2:-1] not in shown
    assert shown == repr(definition.CodecState(**ALL))


def test_a_key_and_a_prefix_have_one_size(twin: ModuleType) -> None:
    for key, prefix in ((KEY[1:], FROM_CLIENT), (KEY + b"x", FROM_CLIENT), (KEY, b"x" + FROM_CLIENT), (KEY, b"")):
        with pytest.raises(ValueError, match="a key has 32 octets, the prefix of a nonce 16"):
            twin.CodecState(key, prefix, 0, 0)


def test_it_is_no_larger_in_c_than_in_python(twin: ModuleType) -> None:
    assert sys.getsizeof(direction(twin)) <= 128


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
