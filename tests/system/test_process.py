"""The running process: its signals, its files, its end, and what it leaves behind."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import zmq
from support.baseline import settled, standing
from support.client import RawClient, answers
from support.libzmq import Libzmq
from support.peer import connect
from support.process import Sidecar, curveproxy, environment, wait_until
from support.service import RawService, echo

# Runs the command up to its loop, and says there whether others may look at its memory and how large a core may be.
HIDDEN = """
import ctypes, resource, sys, trio
from curveproxy.app.cli import main
def look(*_):
    print("dumpable", ctypes.CDLL(None).prctl(3), "core", resource.getrlimit(resource.RLIMIT_CORE)[0])
    raise KeyboardInterrupt
trio.run = look
main(sys.argv[1:])
"""

IDLE_PSS = 48 * 1024 * 1024


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_serves_who_is_inside_and_ends_with_0(number: int) -> None:
    process = {"drain_seconds": 30}
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, process=process) as proxy,
        connect(proxy.public) as stranger,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake()
        proxy.signal(number)
        wait_until(lambda: proxy.get("/readyz") == (503, "draining\n"), "readyz tells that it drains")
        assert proxy.get("/healthz")[0] == 200
        wait_until(lambda: proxy.metric("curveproxy_handshakes_total", outcome="shutdown") == 1, "the stranger goes")
        assert stranger.recv(100)
        assert stranger.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(proxy.public)
        assert answers(client)
        client.close()
        assert proxy.wait() == 0


def test_who_does_not_leave_is_cut_when_the_time_is_over() -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, process={"drain_seconds": 0.5}) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake()
        proxy.signal()
        assert proxy.wait() == 0
        assert client.recv_until_closed().octets == b""
        closed = [line for line in proxy.log if line["event"] == "session closed"]
        assert [line["reason"] for line in closed] == ["drained"]


def test_a_second_signal_leaves_at_once() -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, process={"drain_seconds": 600}) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake()
        proxy.signal()
        wait_until(lambda: any(line["event"] == "draining" for line in proxy.log), "it drains")
        proxy.signal()
        assert proxy.wait() == 1


def test_a_signal_under_load_loses_nothing_that_was_taken() -> None:
    with Libzmq() as z:
        pull, endpoint = z.bind(zmq.PULL, "tcp://127.0.0.1:0", rcvhwm=0)
        with Sidecar(backend=endpoint, clients={"allow": "any"}, process={"drain_seconds": 20}) as proxy:
            with RawClient(proxy.public, proxy.server.public, socket_type="PUSH") as client:
                client.handshake()
                client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(5000)))
                proxy.signal()
                client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(5000, 10000)))
            assert [pull.recv() for _ in range(10000)] == [b"%d" % number for number in range(10000)]
            assert proxy.wait() == 0


def test_a_port_in_use_is_a_sentence_and_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = f"tcp://127.0.0.1:{port}"
        done = curveproxy("run", "--listen", listen, "--backend", "tcp://127.0.0.1:1", "--allow-any", "--admin", "")
        assert done.returncode == 1
        assert f"cannot listen on {listen}: the address is in use" in done.stderr
        done = curveproxy(
            "run", "--listen", "tcp://127.0.0.1:0", "--backend", "tcp://127.0.0.1:1", "--allow-any",
            "--admin", f"127.0.0.1:{port}",
        )  # fmt: skip
        assert done.returncode == 1
        assert "the address is in use" in done.stderr
        assert "Traceback" not in done.stderr


def test_health_follows_readyz() -> None:
    with Sidecar(backend="tcp://127.0.0.1:1", process={"drain_seconds": 5}) as proxy:
        done = curveproxy("health", str(proxy.config))
        assert (done.returncode, done.stdout) == (0, "ready\n")
    assert curveproxy("health", str(proxy.config)).returncode != 0


def test_an_idle_sidecar_is_small() -> None:
    with Sidecar(backend="tcp://127.0.0.1:1") as proxy:
        proxy.metrics()
        assert proxy.pss() < IDLE_PSS


def test_200_clients_that_came_and_went_leave_nothing() -> None:
    limits = {"handshakes_per_second_per_source": 10_000}
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, admission=limits, clients={"allow": "any"}) as proxy,
    ):
        with RawClient(proxy.public, proxy.server.public) as client:
            client.handshake()
        wait_until(lambda: not proxy.metric("curveproxy_sessions"), "warmed up")
        before = settled(proxy).descriptors
        clients = [RawClient(proxy.public, proxy.server.public) for _ in range(200)]
        for client in clients:
            client.handshake()
            client.send([b"hello"])
        assert proxy.metric("curveproxy_sessions") == 200
        for client in clients:
            assert client.recv() == [b"hello"]
            client.close()
        wait_until(lambda: not proxy.metric("curveproxy_sessions"), "all have gone")
        wait_until(lambda: standing(proxy).descriptors == before, "their descriptors are back")
        assert proxy.metric("curveproxy_sessions_closed_total", reason="client_closed") == 201


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--listen", "tcp://127.0.0.1:0", "--backend", "tcp://127.0.0.1:1", "--allow-any"],
        ["worker", "0", "1", "100"],
        ["demo", "--once"],
    ],
    ids=["run", "worker", "demo"],
)
@pytest.mark.parametrize("wanted", ["", "1"])
def test_nobody_but_root_may_look_at_the_memory_of_what_has_keys(arguments: list[str], wanted: str) -> None:
    channel, other = socket.socketpair()
    with channel, other:
        done = subprocess.run(
            [sys.executable, "-c", HIDDEN, *arguments],
            stdin=channel.fileno(),
            env={**environment(), "CURVEPROXY_DUMPABLE": wanted},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert f"dumpable {wanted or 0} core 0" in done.stdout, done.stderr
