"""Memory of a process that has nothing to do."""

import time
from collections.abc import Iterator, Mapping

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.peers import Service, Starter
from bench.turns import by_turns

TARGET_MIB = 48.0
ROUNDS, SHORT_ROUNDS = 3, 1
SETTLE_SECONDS = 1.0
MIB = 1024 * 1024


def measure(short: bool) -> Iterator[Figure]:
    """MiB of resident memory, once with shared pages counted in proportion. libzmq's is a Python process with pyzmq."""
    found = by_turns(columns.both(), nothing_to_do, SHORT_ROUNDS if short else ROUNDS, warm=False)
    for what, kind, targets in (("proportional (PSS)", "Pss", [Target(TARGET_MIB)]), ("resident (RSS)", "Rss", [])):
        yield Figure(what, "MiB", {name: [of[kind] / MIB for of in runs] for name, runs in found.items()}, targets)


def nothing_to_do(start: Starter) -> Mapping[str, int]:
    """What a new process holds."""
    with Service("DEALER", "ROUTER") as service, start(service) as proxy:
        time.sleep(SETTLE_SECONDS)
        return accounts.memory(proxy.pid)
