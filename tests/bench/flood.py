"""What is left of the throughput while strangers send HELLO after HELLO, or whatever else.

As a program (``python -m bench.flood``) it is the strangers.
"""

import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import NamedTuple

from support.peer import address_of

from bench import columns
from bench.dealing import Table, table
from bench.figures import Figure, Target
from bench.load import GREETING, WELCOME_FRAME, CurveLoad
from bench.peers import Child, Proxy, Starter
from bench.pins import pinned, plan
from bench.turns import by_turns

LEFT = 0.9
A_SECOND = 1_000
STANDING = 500  # connections that stay open, the youngest: each has half a second for its answer
TICK = 0.002
AHEAD_SECONDS = 0.2  # of the flood, before anything is measured
ROUNDS, OTHER_ROUNDS, SHORT_ROUNDS = 9, 3, 1  # of HELLOs, and of others
CLIENTS = 16
MESSAGES, FEW = 500_000, 5_000
HELLOS = "HELLOs"
OTHERS = SILENT, GARBAGE, REPLAYED = "connections that stay silent", "garbage", "INITIATEs of other connections"
WELCOMED = 50  # connections that have said HELLO, before the first of them sends what was recorded

Address = tuple[socket.AddressFamily, tuple[str, int] | str]


class Left(NamedTuple):
    """The part of the throughput that is left, and of the HELLOs those that were answered."""

    throughput: float
    answered: float


def measure(short: bool) -> Iterator[Figure]:
    """64 octets to 16 clients, with and without 1,000 HELLOs a second, each on a connection of its own; or others."""
    a_round = FEW if short else MESSAGES
    with pinned(plan().others), ExitStack() as stack:
        among = {name: stack.enter_context(flooded(start)) for name, start in columns.on(1).items()}
        for kind in (HELLOS, *OTHERS):
            rounds = SHORT_ROUNDS if short else ROUNDS if kind == HELLOS else OTHER_ROUNDS
            found = by_turns(among, partial(left, messages=a_round, kind=kind), rounds)
            part = {name: [of.throughput for of in runs] for name, runs in found.items()}
            words = "throughput left" if kind == HELLOS else f"  {kind}"
            yield Figure(words, "of it", part, [Target(LEFT, least=True)])
            if kind == HELLOS:
                answered = {name: [of.answered for of in runs] for name, runs in found.items()}
                yield Figure("HELLOs answered within half a second", "of them", answered)


class Flood(Child):
    """Strangers of one proxy, in a process of their own. answered: of the connections of the last flood, the part."""

    answered = 0.0

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy.endpoint, proxy.server.hex(), module="bench.flood")

    @contextmanager
    def flowing(self, kind: str = HELLOS) -> Iterator[None]:
        """While the block runs."""
        self.say(kind)
        self.line()
        time.sleep(AHEAD_SECONDS)
        yield
        self.say("stop")
        self.answered = float(self.line())


@contextmanager
def flooded(start: Starter) -> Iterator[tuple[Table, Flood]]:
    """A proxy that deals out, and its strangers."""
    with table(start, CLIENTS) as busy, Flood(busy.proxy) as flood:
        yield busy, flood


def left(both: tuple[Table, Flood], messages: int, kind: str) -> Left:
    """By the clock: the proxy is the slowest, alone and beside the strangers."""
    busy, flood = both
    alone = busy.deal(64, messages).clock
    with flood.flowing(kind):
        beside = busy.deal(64, messages).clock
    return Left(alone / beside, flood.answered)


def main(endpoint: str, server: str) -> None:
    """Begin with a line of stdin that names the kind, end with the next, then say which part was answered."""
    load = CurveLoad(Proxy(0, endpoint, bytes.fromhex(server), "PUSH"))
    hello, recorded, address = GREETING + load.helloed[-1][0], load.recorded(), address_of(endpoint)
    says = {HELLOS: hello, SILENT: b"", GARBAGE: bytes(len(hello)), REPLAYED: hello}
    print("ready", flush=True)
    while kind := sys.stdin.readline().strip():
        welcomed: deque[socket.socket] = deque()
        standing: deque[socket.socket] = deque()
        sent = answered = 0
        begin = time.monotonic()
        print("flowing", flush=True)
        while not select.select([sys.stdin], [], [], TICK)[0]:
            for _ in range(int((time.monotonic() - begin) * A_SECOND) - sent):
                (welcomed if kind == REPLAYED else standing).append(_stranger(address, says[kind]))
                sent += 1
            while len(welcomed) > WELCOMED:
                standing.append(welcomed.popleft())
                _send_behind_welcome(standing[-1], recorded)
            while len(standing) > STANDING:
                answered += _was_answered(standing.popleft())
        gone = sent - len(welcomed) - len(standing)
        sys.stdin.readline()
        for sock in (*welcomed, *standing):
            sock.close()
        print(answered / gone if gone else 1.0, flush=True)


def _stranger(address: Address, octets: bytes) -> socket.socket:
    family, at = address
    sock = socket.socket(family)
    sock.setblocking(False)
    sock.connect_ex(at)
    with suppress(BlockingIOError):  # where nobody accepts so fast: it will not be answered
        sock.send(octets)
    return sock


def _send_behind_welcome(sock: socket.socket, octets: bytes) -> None:
    with suppress(OSError):
        if len(sock.recv(len(GREETING) + WELCOME_FRAME)) > len(GREETING):
            sock.send(octets)


def _was_answered(sock: socket.socket) -> bool:
    with sock:
        try:
            return len(sock.recv(len(GREETING) + WELCOME_FRAME)) > len(GREETING)
        except OSError:
            return False


if __name__ == "__main__":
    main(*sys.argv[1:])
