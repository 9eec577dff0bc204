"""A reconnect storm: all clients of a proxy that has just been started come at once."""

import time
from collections.abc import Iterator
from functools import partial

from bench import accounts, columns
from bench.figures import Figure
from bench.lanes import Spent, clock, cpu
from bench.load import CurveLoad, that_fit
from bench.peers import Service, Starter
from bench.pins import pinned, plan
from bench.turns import by_turns

CLIENTS, FEW = 5_000, 50
ROUNDS, SHORT_ROUNDS = 3, 1


def measure(short: bool) -> Iterator[Figure]:
    """Until the last is told READY, of new processes. On two of two cores the load takes a third of them."""
    count, rounds = (FEW, SHORT_ROUNDS) if short else (that_fit(CLIENTS), ROUNDS)
    for what, cores in columns.CORES.items():
        with pinned(plan(cores).others):
            found = by_turns(columns.on(cores), partial(storm, count=count), rounds, warm=False)
        yield Figure(f"{count:,} clients at once, {what}", "s", clock(found))
        yield Figure("  a client", "us CPU", cpu(found))


def storm(start: Starter, count: int) -> Spent:
    """Microseconds of the processor a client, and seconds of the clock in all."""
    with Service("DEALER", "ROUTER") as service, start(service) as proxy:
        load = CurveLoad(proxy)
        used, begin = accounts.cpu(proxy.pid), time.perf_counter()
        with load.sessions(count, at_once=count):
            return Spent(1e6 * (accounts.cpu(proxy.pid) - used) / count, time.perf_counter() - begin)
