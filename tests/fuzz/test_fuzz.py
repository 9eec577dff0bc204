"""The bounded run: every target with some hundred inputs and all that are kept, one batch of sessions in each mode.

``python -m tests.fuzz`` is the long one.
"""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cases import deep
from support.process import ROOT

from fuzz import engine
from fuzz.material import Material
from fuzz.mischief import KINDS, Kind
from fuzz.parties import SCRIPTS
from fuzz.sessions import MODES, Stage
from fuzz.targets import PACKAGE, all_targets, untrusted_functions

TARGETS = all_targets()
SEED = 1
CORPUS_MAX = 64 * 1024  # octets, all of it

each_target = pytest.mark.parametrize("name", TARGETS)


def test_every_function_that_reads_what_a_peer_sent_has_a_target() -> None:
    assert untrusted_functions() == {function for target in TARGETS.values() for function in target.covers}


@each_target
def test_kept_inputs_pass_and_reach_what_their_target_says(name: str) -> None:
    reached = set()
    for path in engine.corpus(name):
        for code, _, _ in engine.reached(TARGETS[name], path.read_bytes()):
            module = Path(code.co_filename).relative_to(PACKAGE).with_suffix("")
            reached.add(".".join((*module.parts, code.co_qualname)))
    assert reached >= TARGETS[name].covers


@each_target
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(octets=st.one_of(st.binary(max_size=300), st.integers(0, 1 << 32).map(random.Random).map(engine.sparse)))
def test_any_input_passes(name: str, octets: bytes) -> None:
    TARGETS[name](octets)


def test_the_corpus_is_small_and_all_of_it_is_used() -> None:
    kept = [path for path in engine.CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) <= CORPUS_MAX
    assert {path.parent for path in kept} == {engine.CORPUS / name for name in TARGETS}
    assert all(path.name == engine.file_name(path.read_bytes()) for path in kept)


def test_an_input_that_has_run_out_is_honest() -> None:
    material = Material(b"\1")
    assert [material.flag(), material.flag(), material.number(1000)] == [True, False, 0]
    assert material.damaged(b"octets") == b"octets"
    assert material.filled(2) == b"\0\0"


@pytest.mark.parametrize("mode", [MODES[0], *map(deep, MODES[1:])])
def test_no_mischief_in_sessions_harms_the_process_or_what_others_hear(mode: str) -> None:
    with Stage(mode, SEED) as stage:
        stage.batch(0)
        assert stage.proxy.metric("curveproxy_handshakes_total", outcome="admitted") > len(SCRIPTS) + 2
        for name in ("curveproxy_invalid_messages_total", "curveproxy_sessions_closed_total"):
            assert stage.proxy.metric(name) > 0  # else there was no mischief
        for route in stage.routes:
            records = stage.proxy.metric("curveproxy_records_total", service=route.name)
            assert (records > 0) == (mode == "disconnect"), route.name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_mischief_follows_from_its_seed(kind: Kind) -> None:
    made = [kind(random.Random(SEED), bytes(range(100)), b"other") for _ in range(2)]
    assert made[0] == made[1]
    assert made[0] != [bytes(range(100))]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_long_run_is_one_command_and_a_kept_input_can_be_replayed(tmp_path: Path) -> None:
    long = run("metadata", "--seconds", "0.5", "--engine", "chance", "--failures", str(tmp_path))
    assert (long.returncode, list(tmp_path.rglob("*.*"))) == (0, []), long.stderr
    again = run("--replay", str(engine.corpus("metadata")[0]))
    assert "passes" in again.stdout, again.stderr
