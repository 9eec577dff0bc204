"""How many messages a second, on one core and on two."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench import columns
from bench.dealing import Table, table
from bench.figures import Figure
from bench.lanes import clock, cpu
from bench.pins import pinned, plan
from bench.turns import by_turns

ROUNDS, SHORT_ROUNDS = 7, 1
CLIENTS = 16
# Octets of a message -> how many of them in a round, and in a short one.
MESSAGES = {64: (500_000, 4_000), 1024: (200_000, 2_000), 65536: (8_000, 200)}
NAMES = {64: "64 B", 1024: "1 KiB", 65536: "64 KiB"}


def measure(short: bool) -> Iterator[Figure]:
    """Dealt out to clients that throw them away: the proxy is the slowest there, and has nothing but its cores."""
    rounds = SHORT_ROUNDS if short else ROUNDS
    for what, cores in columns.CORES.items():
        with pinned(plan(cores).others), ExitStack() as stack:
            among = {name: stack.enter_context(table(start, CLIENTS)) for name, start in columns.on(cores).items()}
            for size, counts in MESSAGES.items():
                found = by_turns(among, partial(Table.deal, size=size, count=counts[short]), rounds)
                speed = {name: [1e6 / of for of in runs] for name, runs in clock(found).items()}
                yield Figure(f"{NAMES[size]} to {CLIENTS} clients, {what}", "a second", speed)
                yield Figure("  of them", "us CPU", cpu(found))
