"""The processes that are measured: ``curveproxy run``, and libzmq's proxy between two sockets; and the service behind.

An ingress speaks CURVE to its clients, an egress to its service. As a program (``python -m bench.peers``) this is
libzmq's proxy or a service: it says on a line of stdout where it listens and with which key, and ends with its stdin.
Which of them a benchmark measures is for ``columns`` to say.
"""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import repeat
from typing import Any, Protocol, Self

import zmq
from attrs import frozen
from support.curve import Keys
from support.libzmq import Libzmq, Socket
from support.process import ROOT, Sidecar, free_port, toml
from zmq.utils import z85

BACKLOG = 4096  # as curveproxy's: libzmq's default of 100 would cost the load retransmissions
HANDSHAKE_SECONDS = 60  # the longest that curveproxy allows
UNLIMITED = 10**6
LIMITS = {"handshake_seconds": HANDSHAKE_SECONDS, "max_half_open": UNLIMITED, "max_sessions": UNLIMITED}
ADMISSION = LIMITS | {  # a service that a busy machine makes wait is not down, and no client is to give up for it
    "backend_connect_seconds": HANDSHAKE_SECONDS,
    "max_half_open_per_source": UNLIMITED,
    "handshakes_per_second_per_source": UNLIMITED,
}
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

    role = "service"

    def __init__(self, client: str, kind: str) -> None:
        super().__init__(self.role, kind)
        self.client, self.kind = client, kind

    @property
    def endpoint(self) -> str:
        return self.told[0]

    @property
    def server(self) -> bytes:
        """S, 32 octets; empty where it speaks plain ZMTP."""
        return bytes.fromhex(self.told[1]) if len(self.told) > 1 else b""

    @contextmanager
    def handling(self, messages: int, size: int = 0) -> Iterator[None]:
        """The block sends so many; at its end the service has had them all, and has answered them if it is a REP.

        A PUSH or PUB sends so many of ``size`` octets instead, and the block takes them.
        """
        self.say(f"{messages} {size}")
        yield
        if self.line() != "done":
            raise BenchError("the service lost count")


class CurveService(Service):
    """The same with CURVE, which lets anybody in: what an egress stands before."""

    role = "curve-service"


@frozen
class Proxy:
    """A proxy at work. endpoint: where its clients connect; server: S, 32 octets; client: its clients' socket type.

    server: empty where clients speak plain ZMTP, as those of an egress or of a TLS proxy's other half do.
    far, inner: where another proxy is between this one and the clients, its process, and the port that it connects to.
    """

    pid: int
    endpoint: str
    server: bytes
    client: str
    far: int = 0
    inner: int = 0


class Remote(Protocol):
    """What an egress stands before: as of ``Service``."""

    @property
    def endpoint(self) -> str: ...
    @property
    def server(self) -> bytes: ...
    @property
    def client(self) -> str: ...
    @property
    def kind(self) -> str: ...


class QuietSidecar(Sidecar):
    """The real command, with one service or egress. It logs errors only, for libzmq logs nothing.

    endpoint: where that listens; tables: as of ``Sidecar``; codec: that of CURVEPROXY_CODEC; none for the default.
    """

    def __init__(self, endpoint: str, codec: str = "", workers: int = 1, **tables: Any) -> None:
        self.endpoint = endpoint  # which it then does not log
        super().__init__(log={"level": "error"}, process={"workers": workers}, **tables)
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
    """curveproxy before a service, without limits a source."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with QuietSidecar(
        endpoint,
        codec,
        workers,
        backend=service.endpoint,
        listen=endpoint,
        clients={"allow": "any"},
        admission=ADMISSION,
    ) as sidecar:
        yield Proxy(sidecar.process.pid, endpoint, sidecar.server.public, service.client)


@contextmanager
def curveproxy_egress(service: Remote, codec: str = "", records: str = "auto") -> Iterator[Proxy]:
    """curveproxy before a service that speaks CURVE, for clients that do not. records: the setting."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    egress = {
        "name": "default",
        "listen": endpoint,
        "remote": [service.endpoint],
        "server_keys": [z85.encode(service.server).decode()],
        "secret_key": "server.key_secret",  # any pair: the service asks for none in particular
        "connect_seconds": HANDSHAKE_SECONDS,
    }
    config = toml("[[egress]]", egress) + toml("[egress.limits]", LIMITS)
    config += toml("[egress.messages]", {"records": records})
    with QuietSidecar(endpoint, codec, config=config) as sidecar:
        yield Proxy(sidecar.process.pid, endpoint, b"", service.client)


@contextmanager
def libzmq(service: Service, threads: int = 1) -> Iterator[Proxy]:
    """libzmq's proxy before a service, with so many I/O threads: what its user would write today."""
    sockets = COUNTERPART[service.client], COUNTERPART[service.kind]
    with Child("proxy", *sockets, service.endpoint, str(threads)) as child:
        endpoint, server = child.told
        yield Proxy(child.process.pid, endpoint, bytes.fromhex(server), service.client)


@contextmanager
def libzmq_egress(service: Remote) -> Iterator[Proxy]:
    """libzmq's proxy before a service that speaks CURVE, whose client it is, once for all of its own clients."""
    sockets = COUNTERPART[service.client], COUNTERPART[service.kind]
    with Child("egress", *sockets, service.endpoint, service.server.hex()) as child:
        [endpoint] = child.told
        yield Proxy(child.process.pid, endpoint, b"", service.client)


def high_water(kind: str) -> dict[str, Any]:
    """Options of a socket of this type: one that publishes, or hears it, drops nothing, so that all can be counted."""
    return {"sndhwm": 0, "rcvhwm": 0} if "PUB" in kind or "SUB" in kind else {}


def run_proxy(sockets: Libzmq, front: str, back: str, backend: str, threads: str) -> None:
    """zmq_proxy(), in C, between a CURVE server that lets anybody in and a plain socket, once that is connected."""
    keys = Keys.new()
    sockets.context.io_threads = int(threads)
    public, endpoint = bind(sockets, front, keys)
    plain = sockets.socket(getattr(zmq, back), **high_water(back))
    connect(plain, backend)
    print(endpoint, keys.public.hex(), flush=True)
    relay(public, plain)


def run_egress(sockets: Libzmq, front: str, back: str, remote: str, server: str) -> None:
    """zmq_proxy() between a plain socket and a CURVE client of a service, once that is connected. server: S, in hex."""
    keys = Keys.new()
    plain, endpoint = bind(sockets, front)
    public = sockets.socket(getattr(zmq, back), **high_water(back))
    public.curve_serverkey, public.curve_publickey, public.curve_secretkey = (
        bytes.fromhex(server),
        keys.public,
        keys.secret,
    )
    connect(public, remote)
    print(endpoint, flush=True)
    relay(plain, public)


def bind(sockets: Libzmq, kind: str, keys: Keys | None = None) -> tuple[Socket, str]:
    """A socket for many clients, and where it listens. keys: of a CURVE server that lets anybody in."""
    return sockets.bind(
        getattr(zmq, kind), server=keys, backlog=BACKLOG, handshake_ivl=HANDSHAKE_SECONDS * 1000, **high_water(kind)
    )


def connect(sock: Socket, endpoint: str) -> None:
    """Connect, and wait until the handshake is over."""
    monitor = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    sock.connect(endpoint)
    monitor.recv_multipart()
    sock.disable_monitor()


def relay(front: Socket, back: Socket) -> None:
    """Between the two, for ever."""
    for sock in (front, back):
        sock.rcvtimeo = sock.sndtimeo = -1
    zmq.proxy(front, back)


def run_service(sockets: Libzmq, kind: str, keys: Keys | None = None) -> None:
    """Do with as many messages as a line of stdin says what our type does, say "done"."""
    sock, endpoint = bind(sockets, kind, keys)
    print(endpoint, keys.public.hex() if keys else "", flush=True)
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
    if role.endswith("service"):
        run_service(sockets, arguments[0], Keys.new() if role.startswith("curve") else None)
    else:
        run = {"proxy": run_proxy, "egress": run_egress}[role]
        threading.Thread(target=run, args=(sockets, *arguments), daemon=True).start()
        sys.stdin.read()
    os._exit(0)  # the proxy does not return


if __name__ == "__main__":
    main(*sys.argv[1:])
