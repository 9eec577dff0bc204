"""What an engine has to know of a pump: the same in both twins."""

from typing import Any

import pytest

from curveproxy.proxy.relay import engine, flow

FLOWS = {"python": flow.Flow} | ({"c": engine.Flow} if engine.is_built() else {})
FLAGS = ("_ending", "_finishing", "_has_whole", "_is_watched", "_sink_gone", "_source_gone", "is_silent")
COUNTS = ("messages", "moved", "octets")


@pytest.fixture(params=FLOWS)
def fresh(request: pytest.FixtureRequest) -> Any:
    return FLOWS[request.param](3, 4, None, True)


def test_all_members_are_known() -> None:
    assert {*FLAGS, *COUNTS, "_awaits", "_kept"} == {*flow.Flow.__slots__}


def test_a_new_one_is_not_ordinary_and_has_moved_nothing(fresh: Any) -> None:
    assert [getattr(fresh, name) for name in FLAGS] == [False] * len(FLAGS)
    assert [getattr(fresh, name) for name in COUNTS] == [0] * len(COUNTS)
    assert (fresh._awaits, fresh._kept, fresh._take_begun()) == (flow.NEITHER, b"", None)


def test_each_member_is_kept_by_itself(fresh: Any) -> None:
    for name in FLAGS:
        setattr(fresh, name, True)
        assert [other for other in FLAGS if getattr(fresh, other)] == [name]
        setattr(fresh, name, False)
    for number, name in enumerate(COUNTS):
        setattr(fresh, name, 2**40 + number)
    assert [getattr(fresh, name) for name in COUNTS] == [2**40, 2**40 + 1, 2**40 + 2]
    for awaits in (flow.SOURCE, flow.SINK, flow.NEITHER):
        fresh._awaits = awaits
        assert fresh._awaits == awaits


def test_what_is_kept_may_grow_shrink_and_go(fresh: Any) -> None:
    for octets in (b"x" * 5000, b"y", b"", b"", bytes(range(256))):
        fresh._kept = octets
        assert fresh._kept == octets


def test_in_c_only_octets_are_kept_and_no_member_can_be_taken_away() -> None:
    for kind in {*FLOWS.values()} - {flow.Flow}:
        fresh: Any = kind(3, 4, None, True)
        with pytest.raises(TypeError):
            fresh._kept = "text"
        for name in (*FLAGS, *COUNTS, "_awaits", "_kept"):
            with pytest.raises((AttributeError, TypeError)):
                delattr(fresh, name)


def test_a_flow_may_be_asked_for_nothing_else() -> None:
    for kind in FLOWS.values():
        with pytest.raises(TypeError):
            kind()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            kind("3", 4, None)  # type: ignore[arg-type, call-arg]
