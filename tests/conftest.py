"""What all tests share."""

import os
import shutil
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings
from support.process import raise_descriptors
from xdist.scheduler import LoadScopeScheduling

# How long an example takes is no matter of what is true, and the machine may be busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

TOOLS = {  # what a test needs beyond Python, by the marker it carries; each marker is declared in pyproject.toml
    "browser": ("chromium",),
    "compiler": ("gcc",),
    "czmq": ("/usr/include/czmq.h",),
    "haproxy": ("haproxy",),
    "image": ("apt-get", "buildah", "debootstrap", "runc"),
    "java": ("java", "javac", "/usr/share/java/jeromq-0.3.6.jar"),
    "libzmq": ("gcc", "/usr/include/zmq.h"),
    "node": ("node", "npm"),
    "old": ("g++", "/usr/include/sodium.h", "/usr/include/uuid/uuid.h"),
    "prometheus": ("prometheus", "promtool"),
    "systemd": ("systemd-analyze", "systemd-socket-activate", "unshare", "nsenter"),
}

# Long files whose tests share next to nothing: each test goes to whichever process is free.
DEALT_OUT = {
    f"tests/system/test_{name}.py" for name in ("both_ends", "drain", "limits", "old_services", "page", "workers")
}


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many processes as processors: much of the suite waits."""
    return 2 * len(os.sched_getaffinity(0))


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Tests of one file share a process, and so what is made once for them, unless the file is one of ``DEALT_OUT``."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in DEALT_OUT else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """How tests are dealt out to processes."""
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each process begins with another part of the tests, and finds the rest compiled by the others."""
    report = yield
    if isinstance(collector, pytest.Dir | pytest.Package) and report.result:
        number, count = (int(os.environ.get(f"PYTEST_XDIST_WORKER{name}", "0").strip("gw")) for name in ("", "_COUNT"))
        begin = len(report.result) * number // max(1, count)
        report.result = report.result[begin:] + report.result[:begin]
    return report


@pytest.hookimpl(tryfirst=True)  # before what is not wanted is left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All processes have the tests in the same order. What needs a tool is deep."""
    items.sort(key=lambda item: item.path)
    for item in items:
        if TOOLS.keys() & {marker.name for marker in item.iter_markers()}:
            item.add_marker("deep")


def pytest_sessionstart() -> None:
    """Some tests have thousands of clients."""
    raise_descriptors()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose tools are not on this machine is skipped, and says which."""
    for marker, tools in TOOLS.items():
        if item.get_closest_marker(marker):
            missing = [tool for tool in tools if not (os.path.exists if tool[0] == "/" else shutil.which)(tool)]
            if missing:
                pytest.skip(f"not on this machine: {', '.join(missing)}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where every tool is installed, as in CI, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CURVEPROXY_FAIL_ON_SKIP") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
