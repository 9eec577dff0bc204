"""The real ``curveproxy`` command as a process, in a directory of its own, on free ports of the loopback interface.

``with Sidecar(backend=...) as proxy`` returns once it is ready, and at the end demands that it ended well: no
unexpected error counted, no traceback written.
"""

import fcntl
import http.client
import itertools
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import zmq.auth
from prometheus_client.parser import text_string_to_metric_families
from zmq.utils import z85

from support.curve import Keys
from support.peer import SECONDS

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 60.0
# Below those that the kernel gives to whoever connects, and by chance, for another user's run may be looking too.
PORTS = itertools.cycle(random.sample(range(20_000, 32_768), 32_768 - 20_000))
# Its octet at a port's place is locked by the process whose port it is: pytest's workers, and other runs of this user.
PORT_LOCKS = os.open(f"{tempfile.gettempdir()}/curveproxy-tests-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)
# The size of the tester's terminal, which pytest's workers export, and a Python that keeps nothing back for its exit.
TESTERS = {"COLUMNS", "LINES", "PYTHONUNBUFFERED"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def raise_descriptors() -> None:
    """Let this process, and those that it starts, have all the descriptors that they may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Memory(NamedTuple):
    """Octets of a process: all of its resident pages, and its share of them."""

    rss: int
    pss: int


def command() -> list[str]:
    """How to start the program: the installed command beside this Python, else the package of this tree."""
    beside = shutil.which("curveproxy", path=str(Path(sys.executable).parent))
    return [beside] if beside else [sys.executable, "-m", "curveproxy"]


def environment() -> dict[str, str]:
    """This process's environment, without what would make a program behave otherwise than for its users.

    What is not installed is found in this tree, and who is not root may look at it.
    """
    own = {name: value for name, value in os.environ.items() if name not in TESTERS}
    if os.geteuid():
        own["CURVEPROXY_DUMPABLE"] = "1"
    return own if len(command()) == 1 else {**own, "PYTHONPATH": str(ROOT)}


def curveproxy(*arguments: str, directory: Path | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; what it wrote is text."""
    return subprocess.run(
        [*command(), *arguments],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def wait_until(condition: Callable[[], object], what: str = "", timeout: float = SECONDS) -> None:
    """Ask again and again until it is so. Raises TimeoutError when it does not come about."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.02)


def free_port() -> int:
    """A port of the loopback interface that is free, no second time the same, and ours until this process ends."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", port := next(PORTS))):
            fcntl.lockf(PORT_LOCKS, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            return port


def children(pid: int) -> list[int]:
    """The processes that a process has started, whichever of its threads has."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(word) for file in threads for word in file.read_text().split())


def certificate(directory: Path, name: str) -> Keys:
    """Write NAME.key and NAME.key_secret as pyzmq does."""
    _, secret = zmq.auth.create_certificates(str(directory), name)
    public, private = zmq.auth.load_certificate(secret)
    assert private is not None
    return Keys(z85.decode(public), z85.decode(private))


def toml(table: str, values: Mapping[str, object]) -> str:
    """One table of TOML."""
    return "\n".join([table, *(f"{name} = {_inline(value)}" for name, value in values.items()), "", ""])


def _inline(value: object) -> str:
    """A value of TOML: strings, numbers and truths are written there as in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_inline(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


class Sidecar:
    """One running proxy.

    config: TOML of its services, or of all; ``[admin]``, ``[log]`` and ``[process]`` are added where they are
        missing. Paths in it are relative to ``directory``, where ``server.key_secret`` and ``clients`` are.
    backend, listen, and the tables service, clients, admission, messages: instead of ``config``, one service
        named ``default`` for the clients of ``new_client``; what is not given is the program's default.
    process, log: those tables.
    descriptors: how many it may have, both limits; 0 for as many as we.
    launcher: what starts it, and becomes it: ``env NAME=VALUE``, ``systemd-socket-activate`` ...
    clean: whether to demand at the end that nothing unexpected happened.

    server: S. endpoints: service -> bound endpoint; public: the first of them. admin: its page's URL.
    """

    def __init__(
        self,
        config: str | None = None,
        *,
        backend: str = "",
        listen: str = "tcp://127.0.0.1:0",
        service: Mapping[str, object] | None = None,
        clients: Mapping[str, object] | None = None,
        admission: Mapping[str, object] | None = None,
        messages: Mapping[str, object] | None = None,
        process: Mapping[str, object] | None = None,
        log: Mapping[str, object] | None = None,
        descriptors: int = 0,
        launcher: Sequence[str] = (),
        clean: bool = True,
    ) -> None:
        self.limited = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh"] if descriptors else list(launcher)
        self.directory = Path(tempfile.mkdtemp(prefix="curveproxy-"))
        self.clients = self.directory / "clients"
        self.clients.mkdir()
        self.server = certificate(self.directory, "server")
        self.server_key = z85.encode(self.server.public).decode()
        self.clean, self.endpoints, self.public = clean, dict[str, str](), ""
        self.config = self.directory / "curveproxy.toml"
        if config is None:
            own = {"name": "default", "listen": listen, "backend": backend, "secret_keys": ["server.key_secret"]}
            config = toml("[[service]]", {**own, **(service or {})})
            config += toml("[service.clients]", {"allow": "listed", "directory": "clients", **(clients or {})})
            config += toml("[service.admission]", admission or {})
            config += toml("[service.messages]", messages or {})
        admin = f"127.0.0.1:{free_port()}"
        self.admin = f"http://{admin}"
        for table, values in (
            ("[admin]", {"listen": admin}),
            ("[log]", {"level": "debug", "format": "json", **(log or {})}),
            ("[process]", {"drain_seconds": 1, **(process or {})}),
        ):
            if table not in config:
                config += "\n" + toml(table, values)
        self.config.write_text(config)
        self.process: subprocess.Popen[bytes]
        self.streams: list[IO[bytes]] = []

    # --- its life ---

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        unexpected: float | None = None
        try:
            if self.running and self.clean:
                with suppress(OSError):
                    unexpected = self.metric("curveproxy_unexpected_errors_total")
            self.stop()
            written = self.stderr
        finally:
            if self.running:
                self.process.kill()
                self.process.wait()
            for stream in self.streams:
                stream.close()
            shutil.rmtree(self.directory, ignore_errors=True)
        if kind is not None:
            print(written, file=sys.stderr)  # pytest shows it with the test that failed
        elif self.clean:
            assert not unexpected, written
            assert "Traceback" not in written, written

    def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError, with what it wrote, when it ends before."""
        for stream in self.streams:  # of one that was here before
            stream.close()
        self.streams = [(self.directory / name).open("wb") for name in ("stdout", "stderr")]
        self.process = subprocess.Popen(
            [*self.limited, *command(), "run", str(self.config)],
            cwd=self.directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.streams[0],
            stderr=self.streams[1],
        )
        wait_until(lambda: not self.running or (self.ready() and self.listens()), "ready", START_SECONDS)
        if not self.running:
            raise RuntimeError(f"it ended with {self.process.returncode}\n{self.stderr}")
        self.public = next(iter(self.endpoints.values()))

    def listens(self) -> bool:
        """Whether it has said where, of all its tables: its log is written beside what it does, and may come later."""
        listening = [line for line in self.log if line.get("event") == "listening" and "service" in line]
        self.endpoints = {line["service"]: line["endpoint"] for line in listening}
        tables = self.config.read_text()
        return len(self.endpoints) >= max(1, tables.count("[[service]]") + tables.count("[[egress]]"))

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 60) -> int:
        """Its exit status. Raises TimeoutExpired."""
        return self.process.wait(timeout)

    def stop(self) -> int:
        """Ask it to leave, if it is still there; its exit status."""
        if self.running:
            self.signal()
        return self.wait()

    # --- what it says ---

    @property
    def stdout(self) -> str:
        return (self.directory / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log so far; what is not JSON is passed over."""
        lines = []
        for line in self.stderr.splitlines():
            with suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict)]

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of its admin endpoint. Raises OSError when nobody answers, or not to the end."""
        try:
            with urllib.request.urlopen(self.admin + path, timeout=SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError("it has left in the middle of its answer") from error

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        with suppress(OSError):
            return self.get("/readyz")[0] == 200
        return False

    def metrics(self) -> Samples:
        """(name, labels) -> value, of all samples."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels; 0 without any."""
        wanted = labels.items()
        return sum(value for (found, has), value in self.metrics().items() if found == name and wanted <= has)

    def wait_listed(self, keys: int, service: str = "default") -> None:
        """Wait until so many keys are on a service's list."""
        self.wait_metric("curveproxy_client_keys", keys, service=service)

    def wait_metric(self, name: str, value: float, *, timeout: float = SECONDS, **labels: str) -> None:
        """Wait until a metric has exactly this value."""
        wait_until(lambda: self.metric(name, **labels) == value, f"{name} {labels} = {value}", timeout)

    def new_client(self, name: str, metadata: Mapping[str, str] | None = None) -> Keys:
        """A new pair of keys whose public half is in the list of clients. metadata: what is written beside it."""
        with tempfile.TemporaryDirectory() as directory:
            keys, file = certificate(Path(directory), name), Path(directory) / f"{name}.key"
            if metadata:
                lines = [f'    {word} = "{value}"\n' for word, value in metadata.items()]
                file.write_text(file.read_text().replace("metadata\n", "".join(["metadata\n", *lines])))
            shutil.move(file, self.clients)
        return keys

    # --- what it takes ---

    def fds(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def memory(self) -> Memory:
        """Its memory now."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        octets = {line.split()[0]: int(line.split()[1]) * 1024 for line in rollup if line.endswith("kB")}
        return Memory(octets["Rss:"], octets["Pss:"])

    def rss(self) -> int:
        """Octets of its resident pages."""
        return self.memory.rss

    def pss(self) -> int:
        """Octets of its share of them."""
        return self.memory.pss
