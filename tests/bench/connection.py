"""Processor time of a whole connection: accept, handshake, the service dialled, READY, close."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial

from support.process import wait_until

from bench import accounts, columns
from bench.figures import Figure, Target
from bench.load import load_of
from bench.peers import Proxy, Service
from bench.turns import by_turns

RATIO = 0.80
ROUNDS, SHORT_ROUNDS = 11, 1
CONNECTIONS, FEW = 250, 10


def measure(short: bool) -> Iterator[Figure]:
    """Microseconds a connection; libzmq has its one backend connection already."""
    with ExitStack() as stack:
        service = stack.enter_context(Service("DEALER", "ROUTER"))
        proxies = {name: stack.enter_context(start(service)) for name, start in columns.both().items()}
        found = connections(proxies, short)
    yield Figure("accept, handshake, dial, READY, close", "us CPU", found, [Target(RATIO, ratio=True)])


def connections(proxies: Mapping[str, Proxy], short: bool) -> dict[str, list[float]]:
    """Microseconds of the processor a connection, of each run."""
    count, rounds = (FEW, SHORT_ROUNDS) if short else (CONNECTIONS, ROUNDS)
    return by_turns(proxies, partial(spent, connections=count), rounds)


def spent(proxy: Proxy, connections: int) -> float:
    """Microseconds of the processor for each of so many connections, until the last of them is closed."""
    descriptors, before = accounts.descriptors(proxy.pid), accounts.cpu(proxy.pid)
    load_of(proxy).admitted(connections)
    wait_until(lambda: accounts.descriptors(proxy.pid) <= descriptors, "all connections are closed")
    return 1e6 * (accounts.cpu(proxy.pid) - before) / connections
