"""Processor time of a whole connection: accept, handshake, the service dialled, READY, close."""

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from support.process import wait_until

from bench import accounts
from bench.figures import Figure
from bench.load import Load
from bench.peers import PROXIES, Proxy, Service

RATIO = 1.0
ROUNDS = 8


def measure(short: bool) -> Iterator[Figure]:
    """Microseconds a connection, the median of rounds taken by turns; libzmq has its one backend connection already."""
    a_round = 10 if short else 250
    with ExitStack() as stack:
        service = stack.enter_context(Service("DEALER", "ROUTER"))
        proxies = [stack.enter_context(start(service)) for start in PROXIES.values()]
        rounds = [[spent(proxy, a_round) for proxy in proxies] for _ in range(1 + ROUNDS)]
    ours, theirs = (1e6 * median(of) / a_round for of in zip(*rounds[1:], strict=True))  # the first warms them
    yield Figure("accept, handshake, dial, READY, close", "us CPU", ours, theirs, ratio_at_most=RATIO)


def spent(proxy: Proxy, connections: int) -> float:
    """Seconds of the processor for so many connections, until the last of them is closed."""
    descriptors, before = accounts.descriptors(proxy.pid), accounts.cpu(proxy.pid)
    Load(proxy).admitted(connections)
    wait_until(lambda: accounts.descriptors(proxy.pid) <= descriptors, "all connections are closed")
    return accounts.cpu(proxy.pid) - before
