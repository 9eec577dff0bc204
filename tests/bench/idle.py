"""Memory of a process that has nothing to do."""

import time
from collections.abc import Iterator

from bench import accounts
from bench.figures import Figure
from bench.peers import PROXIES, Service

TARGET_MIB = 48.0
SETTLE_SECONDS = 1.0
MIB = 1024 * 1024


def measure(short: bool) -> Iterator[Figure]:
    """MiB of resident memory, once with shared pages counted in proportion. libzmq's is a Python process with pyzmq."""
    found = []
    for start in PROXIES.values():
        with Service("DEALER", "ROUTER") as service, start(service) as proxy:
            time.sleep(SETTLE_SECONDS)
            found.append(accounts.memory(proxy.pid))
    ours, theirs = found
    yield Figure("proportional (PSS)", "MiB", ours["Pss"] / MIB, theirs["Pss"] / MIB, at_most=TARGET_MIB)
    yield Figure("resident (RSS)", "MiB", ours["Rss"] / MIB, theirs["Rss"] / MIB)
