"""Time of a round trip, one at a time."""

from collections.abc import Iterator
from functools import partial

from bench import columns
from bench.figures import Figure
from bench.lanes import Lane, clock, cpu, lanes
from bench.turns import by_turns

NAMES = {64: "64 B", 65536: "64 KiB"}
RATIOS = {64: (0.65, 1.0), 65536: (0.9, 1.1)}  # of time, and of the processor's
ROUNDS, SHORT_ROUNDS = 11, 1
# Octets of a message -> round trips in a round, and in a short one.
TRIPS = {64: (1_000, 50), 65536: (300, 10)}


def measure(short: bool) -> Iterator[Figure]:
    """REQ to REP and back. TLS: the time is through two processes."""
    rounds = SHORT_ROUNDS if short else ROUNDS
    with lanes("REQ", "REP", columns.everybody()) as among:
        for size, counts in TRIPS.items():
            found = by_turns(among, partial(Lane.relay, size=size, count=counts[short]), rounds)
            of_time, of_cpu = RATIOS[size]
            yield Figure(f"{NAMES[size]} there and back", "us", clock(found), columns.ratio(of_time))
            yield Figure("  the proxy's processor time", "us CPU", cpu(found), columns.ratio(of_cpu))
