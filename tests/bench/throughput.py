"""Processor time of a message, and the time of a round trip, through the one proxy and the other."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import zmq
from support.libzmq import Libzmq, Socket

from bench import accounts
from bench.figures import Figure
from bench.peers import PROXIES, Proxy, Service

ROUNDS = 3
# Octets of a message -> how many of them in a round, and in a short one.
MESSAGES = {64: (200_000, 2_000), 1024: (100_000, 2_000), 65536: (5_000, 100)}
ROUND_TRIPS = (3_000, 100)


def measure(short: bool) -> Iterator[Figure]:
    """PUSH to PULL, then REQ to REP, one at a time; medians of rounds taken by turns."""
    for size, counts in MESSAGES.items():
        found = by_turns("PUSH", "PULL", size, counts[short])
        (ours, _), (theirs, _) = found
        yield Figure(f"PUSH to PULL, {size:,} octets", "us CPU", ours, theirs)
    found = by_turns("REQ", "REP", 64, ROUND_TRIPS[short])
    (ours, our_time), (theirs, their_time) = found
    yield Figure("REQ to REP and back, 64 octets", "us", our_time, their_time)
    yield Figure("REQ to REP and back, 64 octets", "us CPU", ours, theirs)


def by_turns(client: str, kind: str, size: int, count: int) -> list[tuple[float, float]]:
    """Microseconds a message of the proxy's processor time, and of the clock, for each proxy."""
    with ExitStack() as stack:
        sockets = stack.enter_context(Libzmq())
        pairs = []
        for start in PROXIES.values():
            service = stack.enter_context(Service(client, kind))
            proxy = stack.enter_context(start(service))
            sock = sockets.connect(getattr(zmq, client), proxy.endpoint, server=proxy.server)
            a_round(service, proxy, sock, size, max(10, count // 20))
            pairs.append((service, proxy, sock))
        rounds = [[a_round(*pair, size, count) for pair in pairs] for _ in range(ROUNDS)]
    return [(median(cpu for cpu, _ in of), median(clock for _, clock in of)) for of in zip(*rounds, strict=True)]


def a_round(service: Service, proxy: Proxy, sock: Socket, size: int, count: int) -> tuple[float, float]:
    message, answered = bytes(size), sock.socket_type == zmq.REQ
    cpu, clock = accounts.cpu(proxy.pid), time.perf_counter()
    with service.handling(count):
        for _ in range(count):
            sock.send(message)
            if answered:
                sock.recv()
    return 1e6 * (accounts.cpu(proxy.pid) - cpu) / count, 1e6 * (time.perf_counter() - clock) / count
