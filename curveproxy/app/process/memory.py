"""Keep the keys in this process's memory out of core files, and from other processes of the same user."""

import ctypes
import os
import resource

# prctl(2), linux/prctl.h
PR_SET_DUMPABLE = 4
# Set to 1, it lets processes of our user trace us: for py-spy, gdb and tests.
DUMPABLE = "CURVEPROXY_DUMPABLE"


def hide_memory() -> None:
    """Write no core file, and let only root trace us. An exec undoes the second, so that each process calls this."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no limit for a core_pattern that is a pipe: core(5)
    if os.environ.get(DUMPABLE) != "1":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
