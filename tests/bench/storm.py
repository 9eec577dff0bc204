"""A reconnect storm: all clients of a proxy that has just been started come at once."""

import time
from collections.abc import Iterator
from statistics import median

from bench import accounts, columns
from bench.figures import Figure
from bench.load import CurveLoad, that_fit
from bench.peers import Service, Starter

CLIENTS, FEW = 5_000, 50
ROUNDS, SHORT_ROUNDS = 5, 1


def measure(short: bool) -> Iterator[Figure]:
    """Until the last is told READY: medians of new processes, by turns. Load and service share their two cores."""
    count, rounds = (FEW, SHORT_ROUNDS) if short else (that_fit(CLIENTS), ROUNDS)
    for what, cores in columns.CORES.items():
        taken = [{name: storm(start, count) for name, start in columns.on(cores).items()} for _ in range(rounds)]
        clock, cpu = ({name: median(of[name][which] for of in taken) for name in taken[0]} for which in (0, 1))
        yield Figure(f"{count:,} clients at once, {what}", "s", clock)
        yield Figure("  a client", "us CPU", {name: 1e6 * seconds / count for name, seconds in cpu.items()})


def storm(start: Starter, count: int) -> tuple[float, float]:
    """Seconds of the clock, and of the processor."""
    with Service("DEALER", "ROUTER") as service, start(service) as proxy:
        load = CurveLoad(proxy)
        cpu, clock = accounts.cpu(proxy.pid), time.perf_counter()
        with load.sessions(count, at_once=count):
            return time.perf_counter() - clock, accounts.cpu(proxy.pid) - cpu
