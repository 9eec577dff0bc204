"""The benchmarks work, and say so when there is nothing to measure."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.process import ROOT

from bench.load import Load
from bench.peers import BenchError, Proxy, Service


def test_a_short_run_measures_both(tmp_path: Path) -> None:
    """Two of them; .ci/run runs all."""
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "tests.bench", "connection", "idle", "--short", "--json", str(found)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stderr
    figures = json.loads(found.read_text())["figures"]
    assert {figure["benchmark"] for figure in figures} == {"connection", "idle"}
    assert all(figure["curveproxy"] > 0 and figure["libzmq"] > 0 for figure in figures), run.stdout
    assert all(figure["what"] in run.stdout for figure in figures)


def test_an_unknown_benchmark_is_a_complaint() -> None:
    command = [sys.executable, "-m", "tests.bench", "speed"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "no benchmark is named speed" in run.stderr


def test_a_peer_that_dies_is_noticed() -> None:
    with ExitStack() as stack:
        service = stack.enter_context(Service("PUSH", "PULL"))
        service.process.kill()
        service.process.wait()
        with pytest.raises(BenchError, match="died"):
            stack.close()


def test_a_client_that_is_turned_away_is_noticed() -> None:
    with Service("DEALER", "ROUTER") as service:
        no_curve = Proxy(service.process.pid, service.endpoint, bytes(range(32)))
        with pytest.raises((BenchError, ConnectionError)):
            Load(no_curve).admitted(1)
