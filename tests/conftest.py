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
