"""A service manager starts it: what it is told, and the sockets that it hands over."""

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.client import RawClient
from support.peer import SECONDS, connect
from support.process import START_SECONDS, Sidecar, free_port, wait_until
from support.service import RawService, echo

Facts = dict[str, str]
ANYBODY = {"allow": "any"}


class NotifySocket:
    """The manager's end of sd_notify(3). environment: what it tells those that it starts, for ``env``."""

    def __init__(self, address: str, *watchdog: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self.sock.settimeout(SECONDS)
        self.environment = ["env", f"NOTIFY_SOCKET={address}", *watchdog]

    def hear(self) -> Facts:
        """The next that is told. Raises TimeoutError."""
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())

    def heard_already(self) -> list[Facts]:
        """What has been told already."""
        heard = []
        self.sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                heard.append(self.hear())
        self.sock.settimeout(SECONDS)
        return heard


@contextmanager
def notify_socket(address: str, *watchdog: str) -> Iterator[NotifySocket]:
    manager = NotifySocket(address, *watchdog)
    with manager.sock:
        yield manager


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_manager_hears_of_the_start_of_reloads_and_of_the_end(tmp_path: Path, kind: str) -> None:
    address = {"path": f"{tmp_path}/notify", "abstract": f"@curveproxy-{free_port()}"}[kind]
    with notify_socket(address) as manager, RawService(echo) as behind:
        proxy = Sidecar(
            backend=behind.endpoint,
            clients=ANYBODY,
            process={"drain_seconds": 7},
            launcher=manager.environment,
        )
        with proxy, RawClient(proxy.public, proxy.server.public) as client:
            client.handshake()
            assert manager.hear() == {"READY": "1", "STATUS": "serving default"}
            right = proxy.config.read_text()
            for text, status in (("[[service", "configuration not taken: the one before"), (right, "serving default")):
                proxy.config.write_text(text)
                proxy.signal(signal.SIGHUP)
                reloading = manager.hear()
                assert reloading.pop("RELOADING") == "1"
                assert 0 < int(reloading.pop("MONOTONIC_USEC")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                ready = manager.hear()
                assert (reloading, ready.pop("READY")) == ({}, "1")
                assert ready["STATUS"].startswith(status)
            proxy.signal()
            stopping = manager.hear()
            assert (stopping["STOPPING"], stopping["STATUS"]) == ("1", "draining")
            assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 7_000_000
            client.close()
            assert proxy.wait() == 0
        assert manager.heard_already() == []


def test_the_watchdog_hears_of_us_for_as_long_as_the_loop_turns(tmp_path: Path) -> None:
    with (
        notify_socket(f"{tmp_path}/notify", "WATCHDOG_USEC=200000") as manager,
        Sidecar(backend="tcp://127.0.0.1:1", launcher=manager.environment) as proxy,
    ):
        for _ in range(2):
            heard = [manager.hear() for _ in range(5)]
            assert heard.count({"WATCHDOG": "1"}) >= 4
            proxy.signal(signal.SIGSTOP)
            wait_until(lambda: Path(f"/proc/{proxy.process.pid}/stat").read_text().split()[2] == "T", "it stands")
            manager.heard_already()
            manager.sock.settimeout(1)
            with pytest.raises(TimeoutError):
                manager.hear()
            proxy.signal(signal.SIGCONT)
            manager.sock.settimeout(SECONDS)


def test_another_process_s_watchdog_hears_nothing(tmp_path: Path) -> None:
    with notify_socket(f"{tmp_path}/notify", "WATCHDOG_USEC=1000", "WATCHDOG_PID=1") as manager:
        with Sidecar(backend="tcp://127.0.0.1:1", launcher=manager.environment) as proxy:
            proxy.signal(signal.SIGHUP)
            proxy.wait_metric("curveproxy_reloads_total", 2, result="success")
        assert [next(iter(facts)) for facts in manager.heard_already()] == [
            "READY",
            "RELOADING",
            "READY",
            "STOPPING",
        ]


def wait_and_connect(endpoint: str, server: bytes) -> RawClient:
    """A client of one who does not listen yet."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return RawClient(endpoint, server)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


ADDRESSES = {
    "tcp": ("tcp://127.0.0.1:{port}", "127.0.0.1:{port}"),
    "any address": ("tcp://*:{port}", "{port}"),
    "a host's name": ("tcp://localhost:{port}", "127.0.0.1:{port}"),
    "path": ("ipc://{path}", "{path}"),
    "abstract": ("ipc://@curveproxy-{port}", "@curveproxy-{port}"),
}


@pytest.mark.systemd
@pytest.mark.parametrize("kind", ADDRESSES)
def test_a_socket_that_was_handed_over_is_listened_on_and_left_as_it_was(tmp_path: Path, kind: str) -> None:
    """Who connected before the proxy ran, and so started it, is served; a reload does not lose the socket."""
    path, port = tmp_path / "public", free_port()
    listen, address = (text.format(port=port, path=path) for text in ADDRESSES[kind])
    public = listen.replace("*", "127.0.0.1").replace("localhost", "127.0.0.1")
    with RawService(echo) as behind, ThreadPoolExecutor() as threads:
        launcher = ["systemd-socket-activate", f"--listen={address}"]
        proxy = Sidecar(backend=behind.endpoint, listen=listen, clients=ANYBODY, launcher=launcher)
        first = threads.submit(wait_and_connect, public, proxy.server.public)
        with proxy, first.result() as client:
            client.handshake().send([b"hello"])
            assert client.recv() == [b"hello"]
            text = proxy.config.read_text()
            elsewhere = f"tcp://127.0.0.1:{free_port()}"
            for number, endpoint in enumerate((elsewhere, listen), 2):
                proxy.config.write_text(text.replace(listen, endpoint))
                proxy.signal(signal.SIGHUP)
                proxy.wait_metric("curveproxy_reloads_total", number, result="success")
            with RawClient(public, proxy.server.public) as again:
                again.handshake().send([b"hello"])
                assert again.recv() == [b"hello"]
            unused = [line for line in proxy.log if line["event"] == "a socket that was handed over is not used"]
            assert len(unused) == 1
        assert path.exists() == (kind == "path")


@pytest.mark.systemd
def test_a_socket_that_nobody_wants_is_told_and_the_proxy_listens_on_its_own() -> None:
    unwanted = free_port()
    with RawService(echo) as behind, ThreadPoolExecutor() as threads:
        launcher = ["systemd-socket-activate", f"--listen=127.0.0.1:{unwanted}"]
        proxy = Sidecar(backend=behind.endpoint, clients=ANYBODY, launcher=launcher)
        knock = threads.submit(wait_and_connect, f"tcp://127.0.0.1:{unwanted}", proxy.server.public)
        with proxy, knock.result(), connect(proxy.public):
            line = next(line for line in proxy.log if line["event"] == "a socket that was handed over is not used")
            assert (line["address"], line["level"]) == (["127.0.0.1", unwanted], "warning")
