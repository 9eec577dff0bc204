"""Between two curveproxies: what a message costs with records, beside two proxies of libzmq and both ends of TLS."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median

from bench import accounts, columns
from bench.columns import NO_RECORDS
from bench.figures import OURS, PYTHON, THEIRS, Figure, Target
from bench.lanes import Lane, Spent, clock, cpu, lanes
from bench.pubsub import FEW, SUBSCRIBERS, hear
from bench.roundtrips import TRIPS
from bench.throughput import DIRECTIONS, MESSAGES, NAMES
from bench.turns import by_turns

HAPROXY = "haproxy"
# Octets of a message -> what one end may take at most, as ratios to libzmq's and to HAProxy's.
RATIOS = {64: (0.10, 1.0), 1024: (0.15, 0.8), 65536: (0.40, 0.7), 1048576: (0.50, None)}
ROUND_TRIP = 0.9
ON_THE_WIRE = 67.0  # octets of a message of 64, in a full turn
PUBLISHED, FEW_PUBLISHED = 1_000, 50
ROUNDS, SHORT_ROUNDS = 7, 1

MIB = 1024 * 1024
LARGE, HELD = 64 * MIB - 4096, 2.0  # octets of a large message, below the limit; and MiB that either end may hold of it
LARGE_MESSAGES, FEW_LARGE = 5, 1
WARM = 2_000  # small messages before the large ones


def measure(short: bool) -> Iterator[Figure]:
    """An egress before an ingress. Of libzmq: a CURVE client of its own, once for all clients, before its server."""
    rounds = SHORT_ROUNDS if short else ROUNDS
    yield from _messages(short, rounds)
    yield from _round_trips(short, rounds)
    yield from _copies(short, rounds)


def _messages(short: bool, rounds: int) -> Iterator[Figure]:
    for direction, (client, kind) in list(DIRECTIONS.items())[: 1 if short else None]:
        with lanes(client, kind, columns.two_ends(python=not short)) as among:
            yield from _memory(among, direction, FEW_LARGE if short else LARGE_MESSAGES)  # while they are new
            for size, counts in MESSAGES.items():
                found = by_turns(among, partial(Lane.relay, size=size, count=counts[short]), rounds)
                yield from _ends(f"records, {NAMES[size]} {direction}", found, size)


def _round_trips(short: bool, rounds: int) -> Iterator[Figure]:
    with lanes("REQ", "REP", columns.two_ends(python=not short)) as among:
        found = by_turns(among, partial(Lane.relay, size=64, count=TRIPS[64][short]), rounds)
    target = Target(ROUND_TRIP, ratio=True)
    yield Figure("records, 64 B there and back", "us", clock(found), [target])
    yield from _ends("  the processor time of that", found)


def _copies(short: bool, rounds: int) -> Iterator[Figure]:
    subscribers = FEW if short else SUBSCRIBERS
    with lanes("XSUB", "PUB", columns.two_ends(python=not short), subscribers) as among:
        for lane in among.values():
            hear(lane, subscribers)
        count = FEW_PUBLISHED if short else PUBLISHED
        found = by_turns(among, partial(Lane.relay, size=64, count=count, copies=subscribers), rounds)
    yield from _ends(f"records, 64 B to {subscribers} subscribers, a copy", found)


def _ends(what: str, found: Mapping[str, Sequence[Spent]], size: int = 0) -> Iterator[Figure]:
    """Processor time of both ends and of each, and octets on the wire. size: of the message that has targets."""
    near = cpu(found)
    far = {name: [spent.far for spent in runs] for name, runs in found.items()}
    both = {name: [spent.cpu + spent.far for spent in runs] for name, runs in found.items()}
    wire = {name: [spent.octets for spent in runs] for name, runs in found.items()}
    to_libzmq, to_haproxy = RATIOS.get(size, (None, None))
    targets = [Target(to_libzmq, ratio=True)] if to_libzmq else []
    targets += [Target(to_haproxy, ratio=True, to=HAPROXY)] if to_haproxy else []
    pure = [Target(median(both[NO_RECORDS]), of=PYTHON)] if size == 64 else []  # less than C without records
    octets = [Target(ON_THE_WIRE)] if size == 64 else []
    yield Figure(what, "us CPU", both, pure)
    yield Figure("  the clients' end", "us CPU", far, targets)
    yield Figure("  the service's end", "us CPU", near, targets)
    yield Figure("  both, without records", "us CPU", {OURS: both[NO_RECORDS], THEIRS: both[THEIRS]})
    yield Figure("  on the wire", "octets", wire, octets)


def _memory(among: Mapping[str, Lane], direction: str, messages: int) -> Iterator[Figure]:
    found = by_turns(among, partial(_held, messages=messages), 1, warm=False)
    for end, whose in enumerate(("the clients' end", "the service's end")):
        what = f"held of 64 MiB {direction}, {whose}"
        yield Figure(what, "MiB", {name: [held[end] for held in runs] for name, runs in found.items()}, [Target(HELD)])


def _held(lane: Lane, messages: int) -> list[float]:
    """MiB that resident memory grows by at most while large messages pass, one by one: clients' end, service's end."""
    ends = lane.proxy.far, lane.proxy.pid
    lane.relay(64, WARM)
    before = [accounts.memory(pid)["Rss"] for pid in ends]
    for pid in ends:
        accounts.forget_peak(pid)
    for _ in range(messages):
        lane.relay(LARGE, 1)
    return [(accounts.peak(pid) - base) / MIB for pid, base in zip(ends, before, strict=True)]
