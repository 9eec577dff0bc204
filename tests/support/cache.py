"""What takes long to get, kept in the user's cache from one run of the tests to the next."""

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curveproxy-tests"


def cached(name: str, make: Callable[[Path], object]) -> Path:
    """A directory of the cache. Where it is missing it is made, in an empty directory that takes its place when whole;
    of several runs at once one makes it and the others wait.
    """
    home = CACHE / name
    home.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{home}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=home.parent) as directory:
                whole = Path(directory) / "whole"
                whole.mkdir()
                make(whole)
                whole.rename(home)
    return home
