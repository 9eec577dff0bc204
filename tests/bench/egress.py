"""The other direction: plain clients before a service that speaks CURVE, as ratios to libzmq and to an ingress."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from bench import columns, connection
from bench.figures import OURS, THEIRS, Figure, Target
from bench.lanes import Lane, cpu, lanes
from bench.load import that_fit
from bench.peers import CurveService, Service
from bench.sessions import held
from bench.throughput import DIRECTIONS, MESSAGES, NAMES
from bench.turns import by_turns

ROUNDS, SHORT_ROUNDS = 7, 1
IDLE_ROUNDS = 3
SESSIONS, FEW = 2_000, 300
SIZES = (64, 1024, 65536)
AS_INGRESS = 1.1  # of what an ingress takes in the same run: the same work, the other way round
INGRESS = "ingress, "  # before the names of columns, while they are measured


def measure(short: bool) -> Iterator[Figure]:
    """By turns with an ingress. libzmq is one CURVE client for all of its own: it has its one connection already."""
    yield from _messages(short)
    yield from _connections(short)
    yield from _idle(*((FEW, SHORT_ROUNDS) if short else (that_fit(SESSIONS), IDLE_ROUNDS)))


def _messages(short: bool) -> Iterator[Figure]:
    rounds = SHORT_ROUNDS if short else ROUNDS
    for direction, (client, kind) in DIRECTIONS.items():
        with (
            lanes(client, kind, columns.egress(), make=CurveService) as out,
            lanes(client, kind, columns.both()) as into,
        ):
            among = out | {INGRESS + name: lane for name, lane in into.items()}
            for size in SIZES:
                found = by_turns(among, partial(Lane.relay, size=size, count=MESSAGES[size][short]), rounds)
                yield from _beside(f"egress, {NAMES[size]} {direction}", "us CPU", cpu(found))


def _connections(short: bool) -> Iterator[Figure]:
    with ExitStack() as stack:
        remote, service = (stack.enter_context(make("DEALER", "ROUTER")) for make in (CurveService, Service))
        proxies = {name: stack.enter_context(start(remote)) for name, start in columns.egress().items()}
        for name, start in columns.both().items():
            proxies[INGRESS + name] = stack.enter_context(start(service))
        found = connection.connections(proxies, short)
    yield from _beside("egress, accept, dial, handshake, READY, close", "us CPU", found)


def _idle(count: int, rounds: int) -> Iterator[Figure]:
    among = {name: partial(held, start, count, CurveService) for name, start in columns.egress().items()}
    among |= {INGRESS + name: partial(held, start, count) for name, start in columns.both().items()}
    found = by_turns(among, lambda hold: hold().session, rounds, warm=False)
    yield from _beside("egress, an idle session", "octets", found)


def _beside(what: str, unit: str, found: Mapping[str, Sequence[float]]) -> Iterator[Figure]:
    """What was found, and how much of what an ingress takes that is."""
    yield Figure(what, unit, {name: found[name] for name in (OURS, THEIRS)})
    times = {
        name: [out / (into or 1.0) for out, into in zip(found[name], found[INGRESS + name], strict=True)]
        for name in (OURS, THEIRS)
    }
    yield Figure("  to the same of an ingress", "times", times, [Target(AS_INGRESS)])
