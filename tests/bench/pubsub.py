"""One publisher, many subscribers."""

from collections.abc import Iterator
from functools import partial

from bench import columns
from bench.figures import Figure
from bench.lanes import Lane, cpu, lanes
from bench.peers import BenchError
from bench.turns import by_turns

SUBSCRIBERS, FEW = 100, 10
NAMES = {64: "64 B", 1024: "1 KiB"}
RATIOS = {64: 0.50, 1024: 0.65}
ROUNDS, SHORT_ROUNDS = 9, 1
# Octets of a message -> how many are published in a round, and in a short one.
MESSAGES = {64: (1_000, 50), 1024: (500, 20)}
TRIES = 100


def measure(short: bool) -> Iterator[Figure]:
    """PUB to SUB: processor time of each copy. libzmq's proxy hears the service once for all subscribers."""
    subscribers = FEW if short else SUBSCRIBERS
    with lanes("XSUB", "PUB", columns.codecs(), subscribers) as among:
        for lane in among.values():
            hear(lane, subscribers)
        for size, counts in MESSAGES.items():
            a_round = partial(Lane.relay, size=size, count=counts[short], copies=subscribers)
            found = by_turns(among, a_round, SHORT_ROUNDS if short else ROUNDS)
            what = f"{NAMES[size]} to {subscribers} subscribers, a copy"
            yield Figure(what, "us CPU", cpu(found), columns.ratio(RATIOS[size]))


def hear(lane: Lane, subscribers: int) -> None:
    """Publish until all subscriptions have arrived, and nothing is on its way. Raises BenchError."""
    for _ in range(TRIES):
        with lane.service.handling(1):
            heard = 0
            while lane.sock.poll(300):
                lane.sock.recv()
                heard += 1
        if heard == subscribers:
            return
    raise BenchError("some subscribers hear nothing")
