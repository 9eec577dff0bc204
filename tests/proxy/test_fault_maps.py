"""Whatever a peer does wrong on the wire has a reason of the side that met it."""

import ast
from collections.abc import Mapping, Set
from pathlib import Path

import pytest
from fuzz import faults

import curveproxy
from curveproxy.policy.access.judgement import FLAWS
from curveproxy.proxy.accept.outcomes import OUTCOMES
from curveproxy.proxy.connect.failures import ASKED, CAUSES, FAILURES
from curveproxy.proxy.relay.commands import INVALID
from curveproxy.reasons import BackendFailure, CertificateFlaw, ClientFailure, Invalid, Outcome
from curveproxy.wire.codec.state import Stop
from curveproxy.wire.errors import Fault

WIRE = Path(curveproxy.__file__).parent / "wire"

# A side's map, what its peer can do wrong, and the files that raise it.
SIDES: dict[str, tuple[Mapping[Fault, str], Set[Fault], str]] = {
    "accept": (
        OUTCOMES,
        faults.OF_A_CLIENT,
        "proxy_protocol zmtp/greeting zmtp/frame zmtp/metadata zmtp/v1 zmtp/acceptor curve/server curve/cookie",
    ),
    "connect": (FAILURES, faults.OF_A_SERVICE, "zmtp/frame zmtp/metadata zmtp/null zmtp/v1 zmtp/v2 zmtp/negotiation"),
    "egress": (CAUSES, faults.OF_A_SERVER, "zmtp/frame zmtp/metadata curve/client"),
    "question": (ASKED, faults.OF_A_QUESTION, "zmtp/frame zmtp/greeting curve/asking"),
    "relay": (INVALID, faults.OF_A_SESSION, "zmtp/command codec/resync"),
    "certificates": (FLAWS, faults.OF_A_CERTIFICATE, "certificate"),
}

each_side = pytest.mark.parametrize(("names", "raised", "files"), SIDES.values(), ids=SIDES)


@each_side
def test_a_map_holds_what_its_side_can_meet(names: Mapping[Fault, str], raised: Set[Fault], files: str) -> None:
    assert names.keys() == raised


@each_side
def test_what_is_written_in_a_sides_files_is_in_its_map(
    names: Mapping[Fault, str],
    raised: Set[Fault],
    files: str,
) -> None:
    assert names.keys() >= set().union(*(named_in(WIRE / f"{file}.py") for file in files.split()))


def named_in(path: Path) -> set[Fault]:
    """Every fault that a file names."""
    return {
        Fault[node.attr]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Fault"
    }


def test_no_fault_is_without_a_side() -> None:
    assert set().union(*(raised for _, raised, _ in SIDES.values())) == set(Fault)


def test_every_stop_that_is_about_a_frame_is_a_fault() -> None:
    assert {Fault[stop.name] for stop in Stop if stop > Stop.COMMAND} == faults.FRAMES - {Fault.GAP} | {Fault.RECORD}


def test_a_map_gives_words_of_its_own_side() -> None:
    lists = {"accept": Outcome, "connect": BackendFailure, "egress": ClientFailure, "relay": Invalid}
    lists |= {"question": ClientFailure, "certificates": CertificateFlaw}
    for side, (names, _, _) in SIDES.items():
        assert all(type(name) is lists[side] for name in names.values())
