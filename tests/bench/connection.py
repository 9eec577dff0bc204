"""Processor time of a whole connection: accept, handshake, the service dialled, READY, close."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from statistics import median

from support.process import wait_until

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.load import load_of
from bench.peers import Proxy, Service

RATIO = 0.75
ROUNDS = 8


def measure(short: bool) -> Iterator[Figure]:
    """Microseconds a connection, the median of rounds taken by turns; libzmq has its one backend connection already."""
    a_round = 10 if short else 250
    with ExitStack() as stack:
        service = stack.enter_context(Service("DEALER", "ROUTER"))
        proxies = {name: stack.enter_context(start(service)) for name, start in columns.both().items()}
        found = by_turns(proxies, a_round)
    yield Figure("accept, handshake, dial, READY, close", "us CPU", found, [Target(RATIO, ratio=True)])


def by_turns(proxies: Mapping[str, Proxy], connections: int) -> dict[str, float]:
    """Microseconds of the processor a connection, with so many in each round."""
    rounds = [{name: spent(proxy, connections) for name, proxy in proxies.items()} for _ in range(1 + ROUNDS)]
    return {name: 1e6 * median(of[name] for of in rounds[1:]) / connections for name in proxies}  # the first warms them


def spent(proxy: Proxy, connections: int) -> float:
    """Seconds of the processor for so many connections, until the last of them is closed."""
    descriptors, before = accounts.descriptors(proxy.pid), accounts.cpu(proxy.pid)
    load_of(proxy).admitted(connections)
    wait_until(lambda: accounts.descriptors(proxy.pid) <= descriptors, "all connections are closed")
    return accounts.cpu(proxy.pid) - before
