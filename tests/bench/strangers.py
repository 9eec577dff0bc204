"""Memory of a connection that has not authenticated, and stays."""

import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.load import GREETED, TCP, CurveLoad, Source, Steps, many_addresses, one_address
from bench.peers import BenchError, Service, Starter
from bench.turns import by_turns

TARGET = 512.0
ROUNDS, SHORT_ROUNDS = 3, 1
STRANGERS, FEW = 4_000, 300
SETTLE_SECONDS = 0.1
MIB = 1024 * 1024
SOURCES = (one_address, "one address"), (many_addresses, "many addresses")


class Memory(NamedTuple):
    """Octets of the process for one stranger, of the kernel for one (None where it is not told), and of the process."""

    process: float
    kernel: float | None
    whole: int


def measure(short: bool) -> Iterator[Figure]:
    """Octets a connection: the growth of resident memory over so many of them, and of the kernel's beside it."""
    count, rounds = (FEW, SHORT_ROUNDS) if short else (STRANGERS, ROUNDS)
    stages: dict[str, Steps | None] = {"TCP open": TCP, "silent after its greeting": GREETED, "after HELLO": None}
    for stage, steps in stages.items():
        for source, words in SOURCES[short:]:
            one = partial(stranger, count=count, steps=steps, source=source)
            found = by_turns(columns.both(), one, rounds, warm=False)
            each = {name: [memory.process for memory in runs] for name, runs in found.items()}
            series = stage if source is many_addresses else ""
            yield Figure(f"{stage}, {words}", "octets", each, [Target(TARGET)], series=series)
            kernel = {name: [of.kernel for of in runs if of.kernel is not None] for name, runs in found.items()}
            if not short and all(kernel.values()):  # of few, noise hides it
                yield Figure("  the kernel's, both ends", "octets", kernel)
    whole = {name: [memory.whole / MIB for memory in runs] for name, runs in found.items()}
    yield Figure(f"the whole process, with {count:,} after HELLO", "MiB", whole)


def stranger(start: Starter, count: int, steps: Steps | None, source: Source) -> Memory:
    """A new process with so many strangers. steps: None for up to HELLO."""
    with Service("DEALER", "ROUTER") as service, start(service) as proxy:
        load = CurveLoad(proxy)
        steps = steps or load.helloed
        first = max(10, count // 40)  # with these in place, pools and tables are warm
        with load.silent(first, steps, source):
            time.sleep(SETTLE_SECONDS)
            before, kernel_before = accounts.memory(proxy.pid)["Rss"], accounts.kernel_memory()
            descriptors = accounts.descriptors(proxy.pid)
            with load.silent(count - first, steps, source):
                time.sleep(SETTLE_SECONDS)
                if accounts.descriptors(proxy.pid) < descriptors + count - first:
                    raise BenchError("some strangers have been turned away")
                whole = accounts.memory(proxy.pid)["Rss"]
                kernel = accounts.kernel_memory()
    more = None if kernel is None or kernel_before is None else (kernel - kernel_before) / (count - first)
    return Memory((whole - before) / (count - first), more, whole)
