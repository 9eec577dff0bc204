"""How the processor time of a message grows with the number of sessions."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench import columns
from bench.figures import Figure, Target
from bench.lanes import cpu, lanes
from bench.load import CurveLoad, that_fit
from bench.turns import by_turns

ROUNDS, SHORT_ROUNDS = 11, 1
MESSAGES, FEW = 60_000, 2_000
BUSY, FEW_BUSY = (1, 10, 100, 1_000, 8_000), (1, 10, 50)
IDLE, FEW_IDLE = (1, 10, 100, 1_000, 10_000), (1, 10, 50)
RATIOS = {1_000: 0.55, 8_000: 0.80}  # by busy sessions


def measure(short: bool) -> Iterator[Figure]:
    """64 octets to the service: dealt out to sessions in turn, then all through one beside others that are idle."""
    a_round, rounds = (FEW, SHORT_ROUNDS) if short else (MESSAGES, ROUNDS)
    with lanes("PUSH", "PULL", columns.both(), 0) as among:
        there = 0
        for count in map(that_fit, FEW_BUSY if short else BUSY):
            for lane in among.values():
                lane.connect(count - there)
            there = count
            found = by_turns(among, lambda lane: lane.relay(64, a_round), rounds)
            targets = [Target(RATIOS[count], ratio=True)] if count in RATIOS else []
            yield Figure(f"dealt out to {count:,}", "us CPU", cpu(found), targets, series="busy", x=count)
    with lanes("PUSH", "PULL", columns.both()) as among, ExitStack() as stack:
        there = 0
        for count in map(that_fit, FEW_IDLE if short else IDLE):
            for lane in among.values():
                stack.enter_context(CurveLoad(lane.proxy).sessions(count - there))
            there = count
            found = by_turns(among, lambda lane: lane.relay(64, a_round), rounds)
            yield Figure(f"through one, beside {count:,} idle", "us CPU", cpu(found), series="idle", x=count)
