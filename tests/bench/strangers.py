"""Memory of a connection that has not authenticated, and stays."""

import time
from collections.abc import Iterator

from bench import accounts
from bench.figures import Figure
from bench.load import GREETED, TCP, Load, Source, Steps, many_addresses, one_address
from bench.peers import PROXIES, BenchError, Service, Starter

TARGET = 512.0
SETTLE_SECONDS = 0.1


def measure(short: bool) -> Iterator[Figure]:
    """Octets a connection: the growth of resident memory over so many of them, and of the kernel's beside it."""
    count = 300 if short else 8_000
    stages: dict[str, Steps | None] = {"TCP open": TCP, "silent after its greeting": GREETED, "after HELLO": None}
    for stage, steps in stages.items():
        for source, words in ((one_address, "one address"), (many_addresses, "many addresses")):
            figures = {name: stranger(proxy, count, steps, source) for name, proxy in PROXIES.items()}
            what = f"{stage}, {words}"
            (ours, our_kernel), (theirs, their_kernel) = figures.values()
            yield Figure(what, "octets", ours, theirs, at_most=TARGET)
            if not short and our_kernel is not None and their_kernel is not None:  # of few, noise hides it
                yield Figure("  the kernel's, both ends", "octets", our_kernel, their_kernel)


def stranger(start: Starter, count: int, steps: Steps | None, source: Source) -> tuple[float, float | None]:
    """Octets of a new process and of the kernel for one stranger. steps: None for up to HELLO."""
    with Service("DEALER", "ROUTER") as service, start(service) as proxy:
        load = Load(proxy)
        steps = steps or load.helloed
        first = max(10, count // 40)  # with these in place, pools and tables are warm
        with load.silent(first, steps, source):
            time.sleep(SETTLE_SECONDS)
            before, kernel_before = accounts.memory(proxy.pid)["Rss"], accounts.kernel_memory()
            descriptors = accounts.descriptors(proxy.pid)
            with load.silent(count, steps, source):
                time.sleep(SETTLE_SECONDS)
                if accounts.descriptors(proxy.pid) < descriptors + count:
                    raise BenchError("some strangers have been turned away")
                grown = accounts.memory(proxy.pid)["Rss"] - before
                kernel = accounts.kernel_memory()
    return grown / count, None if kernel is None or kernel_before is None else (kernel - kernel_before) / count
