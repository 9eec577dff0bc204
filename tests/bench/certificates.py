"""Processor time of a handshake by a certificate, new, cached or bad, beside one with a key that is listed, or not."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import repeat

from support import zmtp
from support.certificates import OTHER_SEED, authority_text, issued
from support.curve import Keys
from support.process import free_port, wait_until

from bench import accounts
from bench.figures import OURS, Figure
from bench.load import WAVE, CurveLoad, one_address
from bench.peers import ADMISSION, BenchError, Proxy, QuietSidecar, Service
from bench.turns import by_turns

ROUNDS, SHORT_ROUNDS = 9, 1
CONNECTIONS, FEW = 400, 10
PROPERTY = "X-Curveproxy-Certificate"
ERROR = b"\x05ERROR"


class Presenting(CurveLoad):
    """Clients of one key, that present certificates. texts: one for each; empty for none."""

    def __init__(self, proxy: Proxy, keys: Keys, texts: Iterator[bytes]) -> None:
        super().__init__(proxy)
        self._keys, self._texts = keys, texts
        self._said = {"Socket-Type": proxy.client.encode(), "Identity": b""}

    def _initiate(self, welcome: bytes) -> tuple[bytes, bytes]:
        text = next(self._texts)
        self._properties = zmtp.metadata({**self._said, **({PROPERTY: text} if text else {})})
        return super()._initiate(welcome)

    def refused(self, count: int) -> None:
        """So many clients come, are told that they must not, and go. Raises OSError, BenchError."""
        for begin in range(0, count, WAVE):
            wave = [self._connect(one_address(0)) for _ in range(min(WAVE, count - begin))]
            try:
                for sock, welcome in zip(wave, self._go(wave, self.helloed), strict=True):
                    sock.send(self._initiate(welcome)[0])
                for sock in wave:
                    _take_error(sock)
            finally:
                for sock in wave:
                    sock.close()


def _take_error(sock: socket.socket) -> None:
    octets = b""
    while got := sock.recv(4096):
        octets += got
    if octets[2 : 2 + len(ERROR)] != ERROR:
        raise BenchError("a client was not told that it is refused")


def measure(short: bool) -> Iterator[Figure]:
    """Microseconds a connection, by turns, all with one proxy."""
    count, rounds = (FEW, SHORT_ROUNDS) if short else (CONNECTIONS, ROUNDS)
    with Service("DEALER", "ROUTER") as service, trusting(service) as (proxy, listed):
        keys, stranger = Keys.new(), Keys.new()
        fresh = [[issued(keys.public) for _ in range(count)] for _ in range(rounds + 1)]
        new = Presenting(proxy, keys, iter([text for texts in fresh for text in texts]))
        forged = issued(keys.public).replace(b'name = "desk-7"', b'name = "desk-8"')
        kinds: Mapping[str, Callable[[int], None]] = {
            "admitted: its key is listed": Presenting(proxy, listed, repeat(b"")).admitted,
            "  by a certificate, cached": Presenting(proxy, keys, repeat(issued(keys.public))).admitted,
            "  by a certificate, new": new.admitted,
            "refused: its key is not listed": Presenting(proxy, stranger, repeat(b"")).refused,
            "  by a certificate of nobody who is listed": Presenting(
                proxy, keys, repeat(issued(keys.public, seed=OTHER_SEED))
            ).refused,
            "  by a certificate with a bad signature": Presenting(proxy, keys, repeat(forged)).refused,
        }
        spent = by_turns(kinds, lambda come: cpu(proxy, partial(come, count)) / count, rounds)
    for what, runs in spent.items():
        yield Figure(what, "us CPU", {OURS: runs})


def cpu(proxy: Proxy, come: Callable[[], None]) -> float:
    """Microseconds of the proxy's processor while they come, until the last of them is closed."""
    descriptors, before = accounts.descriptors(proxy.pid), accounts.cpu(proxy.pid)
    come()
    wait_until(lambda: accounts.descriptors(proxy.pid) <= descriptors, "all connections are closed")
    return 1e6 * (accounts.cpu(proxy.pid) - before)


@contextmanager
def trusting(service: Service) -> Iterator[tuple[Proxy, Keys]]:
    """curveproxy that believes an authority, without limits a source; and the one key that is listed."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    sidecar = QuietSidecar(
        endpoint,
        backend=service.endpoint,
        listen=endpoint,
        clients={"authorities": [{"file": "plant-1.authority"}]},
        admission=ADMISSION,
    )
    (sidecar.directory / "plant-1.authority").write_text(authority_text("plant-1"))
    listed = sidecar.new_client("listed")
    with sidecar:
        yield Proxy(sidecar.process.pid, endpoint, sidecar.server.public, service.client), listed
