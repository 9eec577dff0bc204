"""How long a new honest client's handshake takes, alone and beside many connections that stay silent."""

import time
from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import NamedTuple

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.load import GREETED, CurveLoad, many_addresses
from bench.peers import BenchError, Service, Starter
from bench.turns import by_turns

SLOWER = 1.2
ROUNDS, SHORT_ROUNDS = 3, 1
SILENT, FEW_SILENT = 10_000, 200
CLIENTS, FEW_CLIENTS = 200, 20


class Latency(NamedTuple):
    """Microseconds, alone and beside the silent ones."""

    alone: float
    beside: float


def measure(short: bool) -> Iterator[Figure]:
    """Microseconds from connect to READY, the median of clients that come one after another."""
    silent, clients, rounds = (FEW_SILENT, FEW_CLIENTS, SHORT_ROUNDS) if short else (SILENT, CLIENTS, ROUNDS)
    found = by_turns(columns.both(), partial(latencies, silent=silent, clients=clients), rounds, warm=False)
    alone = {name: [of.alone for of in runs] for name, runs in found.items()}
    yield Figure("connect to READY, nobody else there", "us", alone)
    beside = {name: [of.beside for of in runs] for name, runs in found.items()}
    yield Figure(f"connect to READY, beside {silent:,} silent", "us", beside)
    slower = {name: [of.beside / of.alone for of in runs] for name, runs in found.items()}
    yield Figure("  the latter to the former", "times", slower, [Target(SLOWER)])


def latencies(start: Starter, silent: int, clients: int) -> Latency:
    """The median latency without and with the silent ones."""
    with Service("DEALER", "ROUTER") as service, start(service) as proxy:
        load = CurveLoad(proxy)
        latency(load, clients)
        alone = latency(load, clients)
        with load.silent(silent, GREETED, many_addresses):  # of ports, one address has too few
            beside = latency(load, clients)
            if accounts.descriptors(proxy.pid) < silent:
                raise BenchError("some of the silent have been turned away")
    return Latency(alone, beside)


def latency(load: CurveLoad, clients: int) -> float:
    taken = []
    for _ in range(clients):
        begin = time.perf_counter()
        load.admitted(1)
        taken.append(time.perf_counter() - begin)
    return 1e6 * median(taken)
