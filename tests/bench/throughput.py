"""Processor time of a message, one way and the other; and of its cipher alone, where that is most of it."""

from collections.abc import Iterator
from functools import partial

from bench import cipher, columns
from bench.figures import Figure, Target
from bench.lanes import Lane, cpu, lanes
from bench.turns import by_turns

ROUNDS, SHORT_ROUNDS = 11, 1  # many and short: libzmq's threads wake each other more or less often, as it happens
# Octets of a message -> how many of them in a round, and in a short one.
MESSAGES = {64: (60_000, 2_000), 1024: (30_000, 1_000), 65536: (1_500, 100), 1048576: (100, 6)}
NAMES = {64: "64 B", 1024: "1 KiB", 65536: "64 KiB", 1048576: "1 MiB"}
LARGE = (65536, 1048576)  # of which the cipher is most
DIRECTIONS = {"to the service": ("PUSH", "PULL"), "to the client": ("PULL", "PUSH")}


def measure(short: bool) -> Iterator[Figure]:
    """PUSH to PULL; TLS: of the service's side. Load and service are the slower ones: for speed there is ``cores``."""
    rounds = SHORT_ROUNDS if short else ROUNDS
    for direction, (client, kind) in DIRECTIONS.items():
        with lanes(client, kind, columns.everybody()) as among:
            for size, counts in MESSAGES.items():
                found = by_turns(among, partial(Lane.relay, size=size, count=counts[short]), rounds)
                what = f"{NAMES[size]} {direction}"
                yield Figure(what, "us CPU", cpu(found), targets(size), series=direction, x=size)
    for size in LARGE:
        counts = MESSAGES[size]
        boxes = by_turns(cipher.ciphers(), partial(cipher.spent, size=size, count=counts[short]), rounds)
        yield Figure(f"{NAMES[size]}, the cipher alone", "us CPU", boxes)


def targets(size: int) -> list[Target]:
    """Ratios to libzmq that are to be had."""
    bounds = {64: (0.45, 1.27), 1024: (0.48,), 65536: (0.62,), 1048576: (0.85,)}
    return columns.ratio(*bounds[size])
