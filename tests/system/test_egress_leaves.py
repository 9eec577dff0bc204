"""An egress in the real process: how it leaves, and what those leave who come and go."""

import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import zmq
from support.baseline import baseline
from support.egress import Egress, Remote, is_silent, local, rig, session
from support.libzmq import Libzmq
from support.local import Client, Client1, Client2
from support.peer import Peer
from support.process import Sidecar, free_port, wait_until
from support.service import echo

pytestmark = pytest.mark.deep

SERVICE_INFO = "curveproxy_service_info"


def answers(client: Peer) -> bool:
    """Whether what it says comes back from a remote that echoes."""
    client.send([b"hello"])
    return client.recv() == [b"hello"]


# --- keys that change while it runs


def comes_through(proxy: Sidecar) -> bool:
    """Whether a client is served."""
    with local(proxy, Client) as client:
        try:
            return answers(client.handshake())
        except (OSError, EOFError):
            return False


def test_a_key_file_that_is_broken_changes_nothing() -> None:
    with rig(echo) as (proxy, _):
        assert comes_through(proxy)
        (proxy.directory / "alice.key_secret").write_text("this is no key\n")
        wait_until(lambda: any("alice.key_secret" in str(line) for line in proxy.log), "it is told")
        assert comes_through(proxy)


# --- what is said of it


def test_a_metric_tells_whether_a_remote_is_there() -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Egress(endpoint) as proxy:
        with local(proxy, Client) as client:
            client.begin()
            client.recv_until_closed()
        proxy.wait_metric("curveproxy_backend_up", 0, service="default")
        assert proxy.metrics()["curveproxy_backend_up", frozenset({("service", "default")})] == 0
        with Remote(proxy.server, echo, endpoint=endpoint):
            wait_until(lambda: comes_through(proxy), "a client is served")
            proxy.wait_metric("curveproxy_backend_up", 1, service="default")


def test_a_secret_is_in_no_line() -> None:
    with rig(echo) as (proxy, _):
        assert comes_through(proxy)
        secret = (proxy.directory / "alice.key_secret").read_text().split('secret-key = "')[1].split('"')[0]
        assert secret not in proxy.stderr + proxy.stdout + proxy.metrics().__repr__()


# --- both ends


def test_two_processes_face_to_face(libzmq: Libzmq) -> None:
    service, backend = libzmq.bind(zmq.ROUTER)
    with Sidecar(backend=backend) as ingress:
        egress = Egress(ingress.public)
        shutil.copy(ingress.directory / "server.key", egress.directory)
        shutil.copy(egress.directory / "alice.key", ingress.clients)
        ingress.wait_listed(1)
        with egress:
            clients = [libzmq.connect(zmq.DEALER, egress.public, identity=b"%d" % number) for number in range(20)]
            for client in clients:
                client.send_multipart([b"hello", b"x" * 100_000])
            for _ in clients:
                service.send_multipart(service.recv_multipart())
            for client in clients:
                assert client.recv_multipart() == [b"hello", b"x" * 100_000]
            assert {line["client"] for line in ingress.log if line["event"] == "session opened"} == {"alice"}


# --- a reload


def test_a_reload_leads_to_another_remote_and_sessions_stay() -> None:
    with rig(echo) as (proxy, first), local(proxy, Client) as inside:
        assert answers(inside.handshake())
        with Remote(proxy.server, echo) as second:
            proxy.config.write_text(proxy.config.read_text().replace(first.endpoint, second.endpoint))
            proxy.signal(signal.SIGHUP)

            def has_moved() -> bool:
                assert comes_through(proxy)
                return bool(second.accepted)

            wait_until(has_moved, "the new remote is used")
            assert answers(inside)


# --- its end


def test_who_is_inside_is_served_until_it_leaves() -> None:
    with rig(echo, process={"drain_seconds": 30}) as (proxy, _), local(proxy, Client) as inside:
        assert answers(inside.handshake())
        proxy.signal()
        wait_until(lambda: proxy.get("/readyz") == (503, "draining\n"), "readyz tells that it drains")
        with pytest.raises(ConnectionRefusedError):
            local(proxy, Client)
        assert answers(inside)
        inside.close()
        assert proxy.wait() == 0


def test_what_a_client_has_said_is_delivered(libzmq: Libzmq) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    proxy = Egress(endpoint, process={"drain_seconds": 20})
    pull, _ = libzmq.bind(zmq.PULL, endpoint, server=proxy.server, rcvhwm=0)
    with proxy:
        with local(proxy, Client, socket_type="PUSH") as client:
            client.handshake()
            client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(5000)))
            proxy.signal()
            client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(5000, 10_000)))
        assert [pull.recv() for _ in range(10_000)] == [b"%d" % number for number in range(10_000)]
        assert proxy.wait() == 0


LOCAL: dict[str, tuple[type[Client], Callable[[Any], object]]] = {
    "connected": (Client, lambda client: None),
    "half a greeting": (Client, lambda client: client.send_raw(b"\xff" + bytes(4))),
    "signed": (Client, lambda client: client.say_first()),
    "greeted": (Client, lambda client: client.greeting()),
    "half of READY": (Client, lambda client: (client.greeting(), client.send_raw(b"\4\x20\5READY"))),
    "half an old identity": (Client1, lambda client: client.send_raw(b"\x05\0ab")),
    "signed by 2.0": (Client2, lambda client: client.say_first()),
}


@pytest.mark.parametrize("name", LOCAL)
def test_it_leaves_whatever_a_client_is_about(name: str) -> None:
    kind, stage = LOCAL[name]
    with rig(process={"drain_seconds": 20}) as (proxy, remote), local(proxy, kind) as client:
        stage(client)
        proxy.wait_metric("curveproxy_half_open_connections", 1)
        proxy.signal()
        client.recv_until_closed()
        assert proxy.wait() == 0
        assert not remote.accepted


REMOTE = {
    "accepted": [],
    "greeted": ["greeting"],
    "HELLO": ["greeting", "hello"],
    "WELCOME": ["greeting", "hello", "welcome"],
    "INITIATE": ["greeting", "hello", "welcome", "initiate"],
}


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize("kind", [Client1, Client2, Client])
def test_it_leaves_whatever_a_remote_is_about(kind: type[Client], name: str) -> None:
    with rig(process={"drain_seconds": 1}) as (proxy, remote), local(proxy, kind) as client:
        client.begin()
        with remote.accept() as behind:
            for step in REMOTE[name]:
                getattr(behind, step)()
            proxy.signal()
            client.recv_until_closed()
            behind.recv_until_closed()
        assert proxy.wait() == 0


@pytest.mark.parametrize("kind", [Client1, Client2, Client])
def test_it_leaves_while_clients_wait_for_a_remote_that_is_down(kind: type[Client]) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Egress(endpoint, egress={"client_socket_type": "DEALER"}, process={"drain_seconds": 20}) as proxy:
        with local(proxy, kind) as client:
            client.begin()
            client.recv_until_closed()
        with ExitStack() as stack:
            waiting = [stack.enter_context(local(proxy, kind)) for _ in range(5)]
            for client in waiting:
                client.say_first()
            proxy.wait_metric("curveproxy_half_open_connections", 5)
            assert all(is_silent(client, 0.02) for client in waiting)
            proxy.signal()
            for client in waiting:
                client.recv_until_closed()
        assert proxy.wait() == 0


# --- who goes at any stage leaves nothing


@pytest.mark.parametrize("steps", REMOTE.values(), ids=REMOTE)
@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_a_client_that_goes_while_its_remote_is_dialled_leaves_nothing(steps: list[str], reset: bool) -> None:
    with rig(egress={"connect_seconds": 1}) as (proxy, remote):
        with session(proxy, remote) as (client, behind):
            client.send([b"warm"])
            assert behind.recv() == [b"warm"]
        proxy.wait_metric("curveproxy_sessions", 0)
        with baseline(proxy):
            client = local(proxy, Client)
            client.begin()
            with remote.accept() as behind:
                for step in steps:
                    getattr(behind, step)()
                client.reset() if reset else client.close()
                behind.recv_until_closed()


def test_fifty_clients_that_came_and_went_leave_nothing() -> None:
    with rig(echo) as (proxy, _):
        assert comes_through(proxy)
        proxy.wait_metric("curveproxy_sessions", 0)
        with baseline(proxy), ExitStack() as stack:
            clients = [stack.enter_context(local(proxy, Client)) for _ in range(50)]
            for client in clients:
                client.handshake()
            assert proxy.metric("curveproxy_sessions") == 50
            for client in clients:
                assert answers(client)
