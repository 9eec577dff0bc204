"""The processes that are measured: ``curveproxy run``, and libzmq's proxy between two sockets; and the service behind.

As a program (``python -m bench.peers``) it is one of the latter two: it says on a line of stdout where it listens and
with which key, and ends with its stdin. Which of them a benchmark measures is for ``columns`` to say.
"""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import repeat
from typing import Any, Self

import zmq
from attrs import frozen
from support.curve import Keys
from support.libzmq import Libzmq
from support.process import ROOT, Sidecar, free_port

BACKLOG = 4096  # as curveproxy's: libzmq's default of 100 would cost the load retransmissions
HANDSHAKE_SECONDS = 60  # the longest that curveproxy allows
LINE_SECONDS = 60.0  # how long a child may work before it says a word

# What libzmq's proxy has towards a client or service of this type.
COUNTERPART = {
    "DEALER": "ROUTER",
    "ROUTER": "DEALER",
    "REQ": "ROUTER",
    "REP": "DEALER",
    "PUSH": "PULL",
    "PULL": "PUSH",
    "XSUB": "XPUB",
    "PUB": "XSUB",
}


class BenchError(Exception):
    """A peer has died, or does not do what it should: there is nothing to measure."""


class Child:
    """One process of a module. arguments: of its ``main``; told: the words that it said when it was ready."""

    def __init__(self, *arguments: str, module: str = "bench.peers") -> None:
        self._arguments = (module, *arguments)
        self.told: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self._arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.told = self.line().split()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        died = self.process.poll()
        self.process.kill()
        self.process.communicate()
        if died is not None and kind is None:
            raise BenchError(f"{' '.join(self._arguments)}: it died with {died}")

    def line(self) -> str:
        """The next line that it says. Raises BenchError when none comes."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], LINE_SECONDS)[0]:
            raise BenchError(f"{' '.join(self._arguments)}: nothing within {LINE_SECONDS} s")
        line: bytes = self.process.stdout.readline()
        if not line:
            raise BenchError(f"{' '.join(self._arguments)}: it died")
        return line.decode().strip()

    def say(self, line: str) -> None:
        """Tell it something."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())


class Service(Child):
    """A plain libzmq service. kind: its socket type; client: that of its clients; endpoint: where it is bound."""

    def __init__(self, client: str, kind: str) -> None:
        super().__init__("service", kind)
        self.client, self.kind = client, kind

    @property
    def endpoint(self) -> str:
        return self.told[0]

    @contextmanager
    def handling(self, messages: int, size: int = 0) -> Iterator[None]:
        """The block sends so many; at its end the service has had them all, and has answered them if it is a REP.

        A PUSH or PUB sends so many of ``size`` octets instead, and the block takes them.
        """
        self.say(f"{messages} {size}")
        yield
        if self.line() != "done":
            raise BenchError("the service lost count")


@frozen
class Proxy:
    """A proxy at work. endpoint: where its clients connect; server: S, 32 octets; client: its clients' socket type.

    server: empty where clients speak plain ZMTP, as those of a TLS proxy's other half do.
    """

    pid: int
    endpoint: str
    server: bytes
    client: str


class QuietSidecar(Sidecar):
    """The real command without limits a source. It logs errors only, for libzmq logs nothing.

    codec: that of CURVEPROXY_CODEC; none for the default.
    """

    def __init__(self, backend: str, codec: str = "", workers: int = 1) -> None:
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"  # which it then does not log
        unlimited = dict.fromkeys(
            ("max_half_open", "max_half_open_per_source", "handshakes_per_second_per_source", "max_sessions"), 10**6
        )
        super().__init__(
            backend=backend,
            listen=self.endpoint,
            clients={"allow": "any"},
            admission={"handshake_seconds": HANDSHAKE_SECONDS, **unlimited},
            log={"level": "error"},
            process={"workers": workers},
        )
        if codec:
            self.limited = ["env", f"CURVEPROXY_CODEC={codec}"]  # env becomes the command: the process stays the same

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        died = not self.running
        super().__exit__(kind, *rest)
        if died and kind is None:
            raise BenchError("curveproxy died")

    @property
    def log(self) -> list[dict[str, Any]]:
        return [{"event": "listening", "service": "default", "endpoint": self.endpoint}]


Starter = Callable[[Service], AbstractContextManager[Proxy]]


@contextmanager
def curveproxy(service: Service, codec: str = "", workers: int = 1) -> Iterator[Proxy]:
    """curveproxy before a service."""
    with QuietSidecar(service.endpoint, codec, workers) as sidecar:
        yield Proxy(sidecar.process.pid, sidecar.endpoint, sidecar.server.public, service.client)


@contextmanager
def libzmq(service: Service, threads: int = 1) -> Iterator[Proxy]:
    """libzmq's proxy before a service, with so many I/O threads: what its user would write today."""
    sockets = COUNTERPART[service.client], COUNTERPART[service.kind]
    with Child("proxy", *sockets, service.endpoint, str(threads)) as child:
        endpoint, server = child.told
        yield Proxy(child.process.pid, endpoint, bytes.fromhex(server), service.client)


def high_water(kind: str) -> dict[str, Any]:
    """Options of a socket of this type: one that publishes, or hears it, drops nothing, so that all can be counted."""
    return {"sndhwm": 0, "rcvhwm": 0} if "PUB" in kind or "SUB" in kind else {}


def run_proxy(sockets: Libzmq, front: str, back: str, backend: str, threads: str) -> None:
    """zmq_proxy(), in C, between a CURVE server that lets anybody in and a plain socket, once that is connected."""
    keys = Keys.new()
    sockets.context.io_threads = int(threads)
    public, endpoint = sockets.bind(
        getattr(zmq, front),
        server=keys,
        backlog=BACKLOG,
        handshake_ivl=HANDSHAKE_SECONDS * 1000,
        **high_water(front),
    )
    plain = sockets.socket(getattr(zmq, back), **high_water(back))
    monitor = plain.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    plain.connect(backend)
    monitor.recv_multipart()
    plain.disable_monitor()
    print(endpoint, keys.public.hex(), flush=True)
    for sock in (public, plain):
        sock.rcvtimeo = sock.sndtimeo = -1
    zmq.proxy(public, plain)


def run_service(sockets: Libzmq, kind: str) -> None:
    """Do with as many messages as a line of stdin says what our type does, say "done"."""
    sock, endpoint = sockets.bind(getattr(zmq, kind), backlog=BACKLOG, **high_water(kind))
    print(endpoint, flush=True)
    for line in sys.stdin:
        count, size = map(int, line.split())
        message = bytes(size)
        for _ in repeat(None, count):
            if kind in ("PUSH", "PUB"):
                sock.send(message)
            else:
                message = sock.recv()
                if kind == "REP":
                    sock.send(message)
        print("done", flush=True)


def main(role: str, *arguments: str) -> None:
    """Be a child."""
    sockets = Libzmq()
    if role == "service":
        run_service(sockets, *arguments)
    else:
        threading.Thread(target=run_proxy, args=(sockets, *arguments), daemon=True).start()
        sys.stdin.read()
    os._exit(0)  # the proxy does not return


if __name__ == "__main__":
    main(*sys.argv[1:])
