"""Programs that present a certificate: the clients of docs/clients.md, by the libraries that their users have."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from interop.old.build import SECONDS, UnavailableError
from support.cache import cached

TEXT = (Path(__file__).parent.parent.parent / "docs" / "clients.md").read_text()
# Versions of pyzmq, and the last Python for which there is a wheel of each.
PYZMQ = {"24.0.1": (3, 11), "25.1.2": (3, 12), "26.4.0": (3, 13), "27.3.0": (3, 99)}
VERSIONS = [version for version, last in PYZMQ.items() if sys.version_info[:2] <= last]


def blocks(language: str) -> Sequence[str]:
    """The programs of the page in a language, and their parts, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def pyzmq(version: str) -> Path:
    """Where a version of pyzmq is, of which the wheel is fetched once. Raises UnavailableError."""

    def install(whole: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:", f"--target={whole}"]
        done = subprocess.run(
            [*command, f"pyzmq=={version}"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            raise UnavailableError(f"pip can not fetch pyzmq {version}: {done.stderr[-1000:]}")

    return cached(f"pyzmq-{version}-{sys.implementation.cache_tag}", install)


def python(version: str) -> tuple[Sequence[str], Mapping[str, str]]:
    """How to run a program with a version of pyzmq: command and environment. Raises UnavailableError."""
    return [sys.executable, "-W", "error"], {**os.environ, "PYTHONPATH": str(pyzmq(version))}
