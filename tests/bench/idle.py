"""Memory of a process that has nothing to do."""

import time
from collections.abc import Iterator

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.peers import Service

TARGET_MIB = 48.0
SETTLE_SECONDS = 1.0
MIB = 1024 * 1024


def measure(short: bool) -> Iterator[Figure]:
    """MiB of resident memory, once with shared pages counted in proportion. libzmq's is a Python process with pyzmq."""
    found = {}
    for name, start in columns.both().items():
        with Service("DEALER", "ROUTER") as service, start(service) as proxy:
            time.sleep(SETTLE_SECONDS)
            found[name] = accounts.memory(proxy.pid)
    for what, kind, targets in (("proportional (PSS)", "Pss", [Target(TARGET_MIB)]), ("resident (RSS)", "Rss", [])):
        yield Figure(what, "MiB", {name: memory[kind] / MIB for name, memory in found.items()}, targets)
