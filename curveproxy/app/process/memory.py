"""Keeping the keys in this process's memory: from core files, and from other processes of the same user."""

import ctypes
import os
import resource

# prctl(2), linux/prctl.h
PR_SET_DUMPABLE = 4
# Set to 1, it lets whoever has our user look at us: for py-spy, gdb and tests.
DUMPABLE = "CURVEPROXY_DUMPABLE"


def hide_memory() -> None:
    """Leave no core file, and let root alone trace us. An exec undoes the second: each process does it for itself."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # which does not bind a core_pattern that is a pipe: core(5)
    if os.environ.get(DUMPABLE) != "1":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
