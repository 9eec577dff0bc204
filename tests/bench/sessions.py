"""Memory of an authenticated session that says nothing."""

import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.load import load_of, that_fit
from bench.peers import Service, Starter
from bench.turns import by_turns

TARGET = 1_500.0
ROUNDS, SHORT_ROUNDS = 7, 1
SESSIONS, FEW = 3_000, 300
SETTLE_SECONDS = 0.5
MIB = 1024 * 1024


class Held(NamedTuple):
    """Octets of a session, and of the whole process."""

    session: float
    whole: int


def measure(short: bool) -> Iterator[Figure]:
    """Octets of it: the growth of resident memory over so many. In curveproxy each has two connections."""
    count, rounds = (FEW, SHORT_ROUNDS) if short else (that_fit(SESSIONS), ROUNDS)
    found = by_turns(columns.both(), partial(held, count=count), rounds, warm=False)
    each = {name: [of.session for of in runs] for name, runs in found.items()}
    yield Figure("an idle session", "octets", each, [Target(TARGET)], series="idle session")
    whole = {name: [of.whole / MIB for of in runs] for name, runs in found.items()}
    yield Figure(f"the whole process, with {count:,} of them", "MiB", whole)


def held(start: Starter, count: int, make: type[Service] = Service) -> Held:
    """By a new process with so many. make: the service behind."""
    with make("DEALER", "ROUTER") as service, start(service) as proxy:
        load = load_of(proxy)
        first = max(10, count // 40)  # with these in place, pools and tables are warm
        with load.sessions(first):
            time.sleep(SETTLE_SECONDS)
            before = accounts.memory(proxy.pid)["Rss"]
            with load.sessions(count - first):
                time.sleep(SETTLE_SECONDS)
                whole = accounts.memory(proxy.pid)["Rss"]
    return Held((whole - before) / (count - first), whole)
