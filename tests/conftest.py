"""What all tests share."""

import os
import shutil

import pytest
from support.process import raise_descriptors

TOOLS = {  # what a test needs beyond Python, by the marker it carries; each marker is declared in pyproject.toml
    "browser": ("chromium",),
    "compiler": ("gcc",),
    "haproxy": ("haproxy",),
    "image": ("apt-get", "buildah", "debootstrap", "runc"),
    "java": ("java", "javac", "/usr/share/java/jeromq-0.3.6.jar"),
    "node": ("node", "npm"),
    "old": ("g++", "/usr/include/sodium.h", "/usr/include/uuid/uuid.h"),
    "prometheus": ("prometheus", "promtool"),
    "systemd": ("systemd-analyze", "systemd-socket-activate", "unshare", "nsenter"),
}


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many processes as processors: much of the suite waits."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(tryfirst=True)  # before what is not wanted is left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a tool is deep, and tests that share a fixture of their module share a process."""
    for item in items:
        if any(item.get_closest_marker(marker) for marker in TOOLS):
            item.add_marker("deep")
        if shares_its_module(item) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def shares_its_module(item: pytest.Item) -> bool:
    """Whether a test uses a fixture that is made once for its module."""
    assert isinstance(item, pytest.Function)
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    return any(fixture.scope == "module" for definitions in fixtures for fixture in definitions)


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
