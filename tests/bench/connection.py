"""Processor time of a whole connection: accept, handshake, the service dialled, READY, close."""

from collections.abc import Iterator
from contextlib import ExitStack

from support.process import wait_until

from bench import accounts
from bench.figures import Figure
from bench.load import WAVE, Load
from bench.peers import PROXIES, Proxy, Service

RATIO = 1.0
ROUNDS = 8


def measure(short: bool) -> Iterator[Figure]:
    """Microseconds a connection. libzmq's proxy has its one connection to the service already."""
    a_round = 10 if short else 250
    with ExitStack() as stack:
        service = stack.enter_context(Service("DEALER", "ROUTER"))
        proxies = {name: stack.enter_context(start(service)) for name, start in PROXIES.items()}
        seconds = dict.fromkeys(proxies, 0.0)
        for proxy in proxies.values():
            spent(proxy, WAVE)
        for _ in range(ROUNDS):
            for name, proxy in proxies.items():
                seconds[name] += spent(proxy, a_round)
    ours, theirs = (1e6 * spent / (ROUNDS * a_round) for spent in seconds.values())
    yield Figure("accept, handshake, dial, READY, close", "us CPU", ours, theirs, ratio_at_most=RATIO)


def spent(proxy: Proxy, connections: int) -> float:
    """Seconds of the processor for so many connections, until the last of them is closed."""
    descriptors, before = accounts.descriptors(proxy.pid), accounts.cpu(proxy.pid)
    Load(proxy).admitted(connections)
    wait_until(lambda: accounts.descriptors(proxy.pid) <= descriptors, "all connections are closed")
    return accounts.cpu(proxy.pid) - before
