"""What a process takes, as the kernel accounts for it."""

import os
import time
from contextlib import suppress
from pathlib import Path

from support.process import children

PAGE = os.sysconf("SC_PAGE_SIZE")
SOCKET_CACHES = {"TCP", "sock_inode_cache", "filp", "eventpoll_epi"}  # of ``/proc/slabinfo``


def cpu(pid: int) -> float:
    """Seconds of user and system time, of all threads and of the processes that it has started.

    As utime + stime of ``/proc/PID/stat``, but not in ticks of 10 ms. Raises OSError when there is no such process.
    """
    return _own_cpu(pid) + sum(map(cpu, children(pid)))


def _own_cpu(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python does not have


def memory(pid: int) -> dict[str, int]:
    """Octets by the names of ``/proc/PID/smaps_rollup``: Rss, Pss, Pss_Anon and others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}


def forget_peak(pid: int) -> None:
    """Let ``peak`` begin anew, at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid: int) -> int:
    """The most octets that were resident at once, VmHWM of ``/proc/PID/status``, since ``forget_peak``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def descriptors(pid: int) -> int:
    """How many descriptors it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def sockets(pid: int) -> int:
    """How many of them are sockets: libzmq closes others of its own in its own time."""
    found = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return found


def kernel_memory() -> int | None:
    """Octets of the machine's TCP sockets, at both ends and of everybody: their objects, and what waits in them.

    None where only root may read it and we are not root.
    """
    try:
        lines = [line.split() for line in Path("/proc/slabinfo").read_text().splitlines()[2:]]
    except PermissionError:
        return None
    objects = sum(int(active) * int(size) for name, active, _, size, *_ in lines if name in SOCKET_CACHES)
    tcp = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return objects + int(tcp.split()[-1]) * PAGE
