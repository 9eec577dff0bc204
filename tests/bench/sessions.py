"""Memory of an authenticated session that says nothing."""

import time
from collections.abc import Iterator

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.load import load_of, that_fit
from bench.peers import Service, Starter

TARGET = 2_000.0
SETTLE_SECONDS = 0.5
MIB = 1024 * 1024


def measure(short: bool) -> Iterator[Figure]:
    """Octets of it: the growth of resident memory over so many. In curveproxy each has two connections."""
    count = that_fit(300 if short else 10_000)
    found = {name: session(start, count) for name, start in columns.both().items()}
    each = {name: octets for name, (octets, _) in found.items()}
    yield Figure("an idle session", "octets", each, [Target(TARGET)], series="idle session")
    whole = {name: octets / MIB for name, (_, octets) in found.items()}
    yield Figure(f"the whole process, with {count:,} of them", "MiB", whole)


def session(start: Starter, count: int, make: type[Service] = Service) -> tuple[float, int]:
    """Octets of a new process for each of so many, and of all of it. make: the service behind."""
    with make("DEALER", "ROUTER") as service, start(service) as proxy:
        load = load_of(proxy)
        first = max(10, count // 40)  # with these in place, pools and tables are warm
        with load.sessions(first):
            time.sleep(SETTLE_SECONDS)
            before = accounts.memory(proxy.pid)["Rss"]
            with load.sessions(count - first):
                time.sleep(SETTLE_SECONDS)
                whole = accounts.memory(proxy.pid)["Rss"]
    return (whole - before) / (count - first), whole
