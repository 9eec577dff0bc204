"""The state of one direction of records, of either twin."""

import copy
import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
from support.records import Direction
from support.twins import CHAIN, RECORD_MEMBERS, called, record_members_of, record_state

from curveproxy.wire import sodium
from curveproxy.wire.codec.record_state import STREAM_BATCH, RecordState
from curveproxy.wire.zmtp.frame import Dialect


def test_a_new_one_has_what_it_was_given_and_nothing_else(twin: ModuleType) -> None:
    state = twin.RecordState(CHAIN, 2, 2**40, Dialect.V1, 64, 7)
    assert record_members_of(state) == {
        "batch": 7,
        "body_left": 0,
        "command": (0, 0),
        "counter": 0,
        "dialect": Dialect.V1,
        "held": 0,
        "limit": 2**40,
        "more": False,
        "pad_to": 64,
        "rest": b"",
        "since_step": 0,
        "suite": 2,
        "tag": 32,
    }
    assert type(state.dialect) is Dialect
    assert record_members_of(twin.RecordState(CHAIN, 1, 5)) == record_members_of(
        twin.RecordState(chain=CHAIN, suite=1, limit=5, dialect=Dialect.V3, pad_to=0, batch=STREAM_BATCH)
    )


def test_what_is_written_is_read(twin: ModuleType) -> None:
    state = record_state(twin)
    for name, value in {"limit": 2**40, "batch": 3, "since_step": 9}.items():
        setattr(state, name, value)
        assert getattr(state, name) == value


@pytest.mark.parametrize(
    "given", [(b"", 1), (CHAIN + b"x", 1), (CHAIN, 0), (CHAIN, 3), (CHAIN, 1, 9, 4), (CHAIN, 1, 9, 3, 32769)]
)
def test_there_is_no_other_chain_suite_dialect_or_padding(twin: ModuleType, given: tuple[Any, ...]) -> None:
    chain, suite, *others = given
    with pytest.raises(ValueError, match=r"chain|suite|ialect"):
        twin.RecordState(chain, suite, *(others or [9]))


def test_no_suite_is_made_that_libsodium_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sodium, "has_aegis", lambda: False)
    with pytest.raises(ValueError, match="a suite"):
        RecordState(CHAIN, 2, 9)


def test_no_key_shows(twin: ModuleType) -> None:
    state, direction = record_state(twin), Direction(CHAIN, 1)
    shown = repr(state) + repr(record_members_of(state))
    for secret in (CHAIN, direction.key, direction.chain):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_it_is_small(twin: ModuleType) -> None:
    assert sys.getsizeof(record_state(twin)) <= 176


def test_a_state_is_what_it_is_and_not_what_it_holds(twin: ModuleType) -> None:
    assert record_state(twin) != record_state(twin)
    if twin.RecordState is not RecordState:  # no secret is copied by accident
        for attempt in (copy.copy, pickle.dumps):
            with pytest.raises(TypeError):
                attempt(record_state(twin))


def test_the_definition_writes_over_its_keys() -> None:
    state, direction = RecordState(CHAIN, 1, 1000), Direction(CHAIN, 1)
    secrets = state.secrets
    assert secrets == direction.key + direction.chain
    state.since_step = 5
    state.step()
    direction.step()
    assert secrets is state.secrets
    assert secrets == direction.key + direction.chain
    assert state.since_step == 0


def test_a_step_is_at_the_end_of_a_batch(twin: ModuleType) -> None:
    state = record_state(twin)
    called(twin, "seal_records", state, b"\0\0")
    assert (state.counter, state.since_step) == (1, 0)
    assert sorted(
        name for name in dir(state) if not name.startswith("_") and name not in ("key", "secrets", "step")
    ) == (RECORD_MEMBERS)
