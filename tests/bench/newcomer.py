"""How long a new honest client's handshake takes, alone and beside many connections that stay silent."""

import time
from collections.abc import Iterator
from statistics import median

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.load import GREETED, CurveLoad, many_addresses
from bench.peers import BenchError, Service, Starter

SLOWER = 1.2


def measure(short: bool) -> Iterator[Figure]:
    """Microseconds from connect to READY, the median of clients that come one after another."""
    silent, clients = (200, 20) if short else (10_000, 200)
    found = {name: latencies(start, silent, clients) for name, start in columns.both().items()}
    yield Figure("connect to READY, nobody else there", "us", {name: alone for name, (alone, _) in found.items()})
    slow = {name: beside for name, (_, beside) in found.items()}
    yield Figure(f"connect to READY, beside {silent:,} silent", "us", slow)
    slower = {name: beside / alone for name, (alone, beside) in found.items()}
    yield Figure("  the latter to the former", "times", slower, [Target(SLOWER)])


def latencies(start: Starter, silent: int, clients: int) -> tuple[float, float]:
    """The median latency without and with the silent ones."""
    with Service("DEALER", "ROUTER") as service, start(service) as proxy:
        load = CurveLoad(proxy)
        latency(load, clients)
        alone = latency(load, clients)
        with load.silent(silent, GREETED, many_addresses):  # of ports, one address has too few
            beside = latency(load, clients)
            if accounts.descriptors(proxy.pid) < silent:
                raise BenchError("some of the silent have been turned away")
    return alone, beside


def latency(load: CurveLoad, clients: int) -> float:
    taken = []
    for _ in range(clients):
        begin = time.perf_counter()
        load.admitted(1)
        taken.append(time.perf_counter() - begin)
    return 1e6 * median(taken)
