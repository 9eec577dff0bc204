"""Two processes on two cores beside one, and libzmq with two I/O threads beside one."""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from statistics import median

from bench import accounts, columns
from bench.figures import Figure
from bench.load import CurveLoad
from bench.peers import Proxy, Service, Starter

ROUNDS, SHORT_ROUNDS = 7, 1
CLIENTS = 16
# Octets of a message -> how many of them in a round, and in a short one.
MESSAGES = {1024: (200_000, 2_000), 65536: (8_000, 200)}
NAMES = {1024: "1 KiB", 65536: "64 KiB"}


def measure(short: bool) -> Iterator[Figure]:
    """To clients that throw away what they get, for whoever decrypted it would want a core too. All share two cores."""
    rounds = SHORT_ROUNDS if short else ROUNDS
    for size, counts in MESSAGES.items():
        for what, cores in columns.CORES.items():
            found = {name: dealt_out(start, size, counts[short], rounds) for name, start in columns.on(cores).items()}
            speed, cpu = ({name: of[index] for name, of in found.items()} for index in (0, 1))
            yield Figure(f"{NAMES[size]} to {CLIENTS} clients, {what}", "a second", speed)
            yield Figure("  of them", "us CPU", cpu)


def dealt_out(start: Starter, size: int, count: int, rounds: int) -> tuple[float, float]:
    """How many messages a second a service deals out, and what one costs the proxy: medians of rounds."""
    taken = []
    with ExitStack() as stack:
        service = stack.enter_context(Service("PULL", "PUSH"))
        proxy = stack.enter_context(start(service))
        clients = stack.enter_context(CurveLoad(proxy).sessions(CLIENTS))
        for _ in range(1 + rounds):
            taken.append(a_round(service, proxy, clients, size, count))
    clock, cpu = (median(values) for values in zip(*taken[1:], strict=True))  # the first warms it
    return 1 / clock, 1e6 * cpu


def a_round(
    service: Service, proxy: Proxy, clients: Sequence[socket.socket], size: int, count: int
) -> tuple[float, float]:
    """Seconds of the clock and of the processor a message."""
    wanted, buffer = size * count, bytearray(1 << 20)
    cpu, clock = accounts.cpu(proxy.pid), time.perf_counter()
    with service.handling(count, size), selectors.DefaultSelector() as selector:
        for sock in clients:
            selector.register(sock, selectors.EVENT_READ)
        while wanted > 0:  # what surrounds a message is a little more than that
            for key, _ in selector.select():
                wanted -= key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
    clock, cpu = time.perf_counter() - clock, accounts.cpu(proxy.pid) - cpu
    for sock in clients:  # the rest of the last messages
        sock.setblocking(False)
        try:
            while sock.recv_into(buffer):
                pass
        except BlockingIOError:
            sock.setblocking(True)
    return clock / count, cpu / count
