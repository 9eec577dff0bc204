"""Proxies side by side, each between its own service and its own load from libzmq."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat
from typing import NamedTuple

import zmq
from attrs import frozen
from support.libzmq import Libzmq, Socket

from bench import accounts, wire
from bench.peers import HANDSHAKE_SECONDS, BenchError, Proxy, Service, Starter, high_water

SUBSCRIBE = b"\x01"  # to everything
AT_ONCE = 200  # connections of one socket that are begun together


class Spent(NamedTuple):
    """Of a message: microseconds of the proxy's processor time and of the clock; and of two ends, see ``Proxy``.

    far: microseconds of the other end's processor time; octets: on the wire between the two, both ways.
    """

    cpu: float
    clock: float
    far: float = 0.0
    octets: float = 0.0


@frozen
class Lane:
    """One proxy at work: its service, and the socket that is its load, however many connections that has.

    monitor: tells of each handshake that the socket has done.
    """

    service: Service
    proxy: Proxy
    sock: Socket
    monitor: Socket

    def connect(self, count: int) -> None:
        """So many connections more, all of them through their handshakes. Raises BenchError."""
        for begin in range(0, count, AT_ONCE):
            wave = min(AT_ONCE, count - begin)
            for _ in range(wave):
                self.sock.connect(self.proxy.endpoint)
            for number in range(wave):
                try:
                    self.monitor.recv_multipart()
                except zmq.Again:
                    raise BenchError(f"of {wave} clients {number} got through their handshakes") from None

    def relay(self, size: int, count: int, copies: int = 1) -> Spent:
        """So many messages go from one end to the other, and back if it is REQ. copies: how many a subscriber gets."""
        message, kind = bytes(size), self.sock.type
        send, recv = self.sock.send, self.sock.recv
        before = self._used()
        with self.service.handling(count, size):
            if kind == zmq.PUSH:
                for _ in repeat(None, count):
                    send(message)
            elif kind == zmq.REQ:
                for _ in repeat(None, count):
                    send(message)
                    recv()
            else:
                for _ in repeat(None, count * copies):
                    recv()
        messages = count * copies
        return Spent(*((end - begin) / messages for end, begin in zip(self._used(), before, strict=True)))

    def _used(self) -> Spent:
        """Until now, in microseconds and octets."""
        far, inner = self.proxy.far, self.proxy.inner
        cpu, clock = accounts.cpu(self.proxy.pid), time.perf_counter()
        others = accounts.cpu(far) if far else 0.0
        return Spent(1e6 * cpu, 1e6 * clock, 1e6 * others, wire.octets(inner) if inner else 0)


@contextmanager
def lanes(
    client: str, kind: str, starters: Mapping[str, Starter], connections: int = 1, make: type[Service] = Service
) -> Iterator[dict[str, Lane]]:
    """One for each proxy. client, kind: socket types of the load and of the service; make: the service.

    Nobody is pinned. Two threads of libzmq's, held on one core, take turns for each message and cost twice as much; and
    load and service, held on the other, are slower than most proxies: what comes slowly costs a proxy more.
    """
    with ExitStack() as stack:
        sockets = stack.enter_context(Libzmq())
        found = {}
        for name, start in starters.items():
            service = stack.enter_context(make(client, kind))
            proxy = stack.enter_context(start(service))
            sock = sockets.socket(getattr(zmq, client), handshake_ivl=HANDSHAKE_SECONDS * 1000, **high_water(client))
            if proxy.server:
                sock.curve_serverkey = proxy.server
                sock.curve_publickey, sock.curve_secretkey = zmq.curve_keypair()
            if client == "XSUB":  # a SUB connects to one endpoint once only
                sock.send(SUBSCRIBE)
            monitor = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            monitor.rcvtimeo = HANDSHAKE_SECONDS * 1000
            found[name] = Lane(service, proxy, sock, monitor)
            found[name].connect(connections)
        yield found


def cpu(found: Mapping[str, Sequence[Spent]]) -> dict[str, list[float]]:
    """The processor's part of each run, for a figure."""
    return {name: [spent.cpu for spent in runs] for name, runs in found.items()}


def clock(found: Mapping[str, Sequence[Spent]]) -> dict[str, list[float]]:
    """The clock's part."""
    return {name: [spent.clock for spent in runs] for name, runs in found.items()}
