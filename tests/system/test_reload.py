"""The configuration is read again while the process runs: all of it is taken, or nothing."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
import zmq
from support.baseline import baseline
from support.client import RawClient, answers
from support.libzmq import Libzmq
from support.peer import connect
from support.process import Sidecar, free_port, toml, wait_until
from support.service import RawService, echo

from system.endings import ending

ANYBODY = toml("[service.clients]", {"allow": "any"})


def service(name: str, listen: str, backend: str, **table: object) -> str:
    """One service of a configuration."""
    own = {"name": name, "listen": listen, "backend": backend, "secret_keys": ["server.key_secret"]}
    return toml("[[service]]", {**own, **table}) + ANYBODY


def endpoint() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


def tables(proxy: Sidecar) -> str:
    """What its configuration holds beside the services."""
    return "\n[admin]" + proxy.config.read_text().partition("\n[admin]")[2]


def reloads(proxy: Sidecar, result: str = "success") -> float:
    return proxy.metric("curveproxy_reloads_total", result=result)


def reload(proxy: Sidecar, services: str, result: str = "success") -> None:
    """Put these services into its configuration, and wait until it has taken or refused them."""
    before = reloads(proxy, result)
    proxy.config.write_text(services + tables(proxy))
    proxy.signal(signal.SIGHUP)
    wait_until(lambda: reloads(proxy, result) == before + 1, f"reloaded: {result}")


def troubles(proxy: Sidecar) -> list[str]:
    """What the status page says that is wrong."""
    return [trouble["what"] for trouble in json.loads(proxy.get("/api/status")[1])["troubles"]]


def is_served(public: str, server: bytes) -> bool:
    """Whether a client gets in there, and an answer."""
    try:
        client = RawClient(public, server)
    except ConnectionRefusedError:
        return False
    with client:
        return answers(client.handshake())


def test_services_come_change_and_go_and_the_others_do_not_notice() -> None:
    one, two, three = endpoint(), endpoint(), endpoint()
    with RawService(echo) as behind, RawService(echo) as other_behind:
        kept = service("kept", one, behind.endpoint)
        with Sidecar(kept + service("moved", two, behind.endpoint)) as proxy:
            server = proxy.server.public
            with RawClient(one, server) as inside, RawClient(two, server) as moved:
                inside.handshake()
                moved.handshake()
                new = service("new", two, behind.endpoint)
                with pytest.raises(ConnectionRefusedError):
                    connect(three)
                reload(proxy, kept + service("moved", three, other_behind.endpoint) + new)
                assert is_served(three, server)
                assert len(other_behind.accepted) == 1
                assert is_served(two, server)
                for client in (inside, moved):
                    assert answers(client)
                with ending(proxy, {"drained": 1}):
                    reload(proxy, kept + new)
                    assert moved.recv_until_closed().octets == b""
                    moved.close()
                assert not is_served(three, server)
                assert answers(inside)
                assert {dict(labels).get("service") for _, labels in proxy.metrics()} >= {"kept", "new"}
                assert proxy.metric("curveproxy_sessions", service="kept") == 1


def test_limits_change_for_whoever_comes_from_now_on() -> None:
    public = endpoint()
    with RawService(echo) as behind, Sidecar(service("default", public, behind.endpoint)) as proxy:
        narrow = toml("[service.messages]", {"max_message_bytes": 100})
        narrow += toml("[service.admission]", {"max_sessions": 2, "max_initiate_bytes": 400})
        with RawClient(public, proxy.server.public) as before:
            before.handshake()
            reload(proxy, service("default", public, behind.endpoint) + narrow)
            assert proxy.metric("curveproxy_sessions_limit") == 2
            before.send([bytes(1000)])
            assert before.recv() == [bytes(1000)]
            with (
                RawClient(public, proxy.server.public) as after,
                ending(proxy, {"invalid_message": 1}, {"too_large": 1}),
            ):
                after.handshake()
                after.send([bytes(1000)])
            long = RawClient(public, proxy.server.public, properties={"X-Long": bytes(500)})
            with long, pytest.raises((EOFError, ConnectionResetError)):
                long.handshake()
            proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="initiate_too_large")


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "not TOML": (lambda _: "[[service", "not TOML"),
    "no such setting": (lambda right: right.replace("backend", "bakend"), "did you mean backend"),
    "a key that is not there": (lambda right: right.replace("server.key_secret", "gone"), "gone can not be read"),
    "a port in use": (lambda right: right + service("more", "tcp://127.0.0.1:{taken}", "tcp://127.0.0.1:1"), "in use"),
    "an admin port in use": (lambda right: right + '[admin]\nlisten = "127.0.0.1:{taken}"\n', "in use"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_and_changes_nothing(name: str) -> None:
    public = endpoint()
    wrong, told = WRONG[name]
    with RawService(echo) as behind, RawService() as taken:
        right = service("default", public, behind.endpoint)
        with Sidecar(right) as proxy, RawClient(public, proxy.server.public) as inside:
            inside.handshake()
            before = proxy.config.read_text()
            others = tables(proxy)
            text = wrong(right).replace("{taken}", taken.endpoint.rpartition(":")[2])
            if "[admin]" in text:
                others = "\n[log]" + others.partition("\n[log]")[2]
            with baseline(proxy):
                proxy.config.write_text(text + others)
                proxy.signal(signal.SIGHUP)
                wait_until(lambda: reloads(proxy, "failure") == 1, "it was refused")
            lines = [line for line in proxy.log if line["event"] == "configuration not taken"]
            assert told in " ".join(line["detail"] for line in lines)
            assert {line["hint"] for line in lines} == {"the one before stays in force"}
            assert troubles(proxy) == [f"configuration not taken: {line['detail']}" for line in lines]
            assert answers(inside)
            assert is_served(public, proxy.server.public)
            proxy.config.write_text(before)
            reload(proxy, right)  # and it is not deaf from now on
            assert troubles(proxy) == []


def test_the_admin_page_moves_and_the_level_of_the_log_changes() -> None:
    with RawService(echo) as behind, Sidecar(backend=behind.endpoint, clients={"allow": "any"}) as proxy:
        text, port = proxy.config.read_text(), free_port()
        before = proxy.admin
        proxy.config.write_text(
            text.replace(before.removeprefix("http://"), f"127.0.0.1:{port}").replace("debug", "error")
        )
        proxy.signal(signal.SIGHUP)
        proxy.admin = f"http://127.0.0.1:{port}"
        wait_until(proxy.ready, "it answers at the new place")
        with pytest.raises(ConnectionRefusedError):
            connect(before.replace("http", "tcp"))
        lines = len(proxy.log)
        assert is_served(proxy.public, proxy.server.public)
        assert len(proxy.log) == lines


def test_a_file_that_is_swapped_by_a_link_is_taken_where_that_is_wanted() -> None:
    """As a kubelet swaps a ConfigMap: the directory's name is a link, and becomes another one."""
    public, other = endpoint(), endpoint()
    with RawService(echo) as behind:
        proxy = Sidecar(service("default", public, behind.endpoint), process={"watch": True})
        text = proxy.config.read_text()
        for version in ("1", "2"):
            (proxy.directory / version).mkdir()
            (proxy.directory / version / "c.toml").write_text(text.replace("server.key_secret", "../server.key_secret"))
        (proxy.directory / "now").symlink_to("1")
        proxy.config = proxy.directory / "now" / "c.toml"
        with proxy:
            changed = proxy.directory / "2" / "c.toml"
            changed.write_text(changed.read_text().replace(public, other))
            assert reloads(proxy) == 1  # the start
            (proxy.directory / "next").symlink_to("2")
            os.replace(proxy.directory / "next", proxy.directory / "now")
            wait_until(lambda: reloads(proxy) == 2, "it is taken")
            assert is_served(other, proxy.server.public)
            assert not is_served(public, proxy.server.public)


def test_a_changed_file_is_not_taken_where_nobody_asked_for_it() -> None:
    with RawService(echo) as behind, Sidecar(backend=behind.endpoint, clients={"allow": "any"}) as proxy:
        proxy.config.write_text("[[service")
        time.sleep(2.5)  # twice as long as it takes where it is wanted
        assert reloads(proxy, "failure") == 0


@contextmanager
def stream(public: str, server: bytes, backend: str) -> Iterator[list[int]]:
    """Numbers flow from a PUSH client to a PULL service, each of which must arrive in order. Gives what has come."""
    come: list[int] = []
    over = threading.Event()

    def push() -> None:
        with Libzmq() as z:
            client = z.connect(zmq.PUSH, public, server=server)
            number = 0
            while not over.wait(0.0005):
                client.send(b"%d" % number)
                number += 1
            client.send(b"-1")
            done.wait(20)

    def pull() -> None:
        with Libzmq() as z:
            service, _ = z.bind(zmq.PULL, backend)
            while (number := int(service.recv())) >= 0:
                come.append(number)
            done.set()

    done = threading.Event()
    threads = [threading.Thread(target=pull), threading.Thread(target=push)]
    for thread in threads:
        thread.start()
    try:
        yield come
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert come == list(range(len(come)))


@pytest.mark.deep
def test_under_load_a_reload_and_a_revocation_lose_nothing_of_others() -> None:
    public, backend, other = endpoint(), endpoint(), endpoint()
    keys: Mapping[str, object] = {"directory": "clients"}
    with RawService(echo) as behind:
        loaded = service("loaded", public, backend)
        crowd = service("crowd", other, behind.endpoint).replace(ANYBODY, toml("[service.clients]", keys))
        crowd += toml("[service.admission]", {"handshakes_per_second_per_source": 1000})
        with Sidecar(loaded + crowd) as proxy:
            alice, bob = proxy.new_client("alice"), proxy.new_client("bob")
            proxy.wait_listed(2, "crowd")
            clients = [RawClient(other, proxy.server.public, (alice, bob)[number % 2]) for number in range(200)]
            try:
                for client in clients:
                    client.handshake()
                with stream(public, proxy.server.public, backend) as come:
                    wait_until(lambda: len(come) > 100, "it flows")
                    more = service("more", endpoint(), behind.endpoint)
                    for services in (loaded + crowd + more, loaded + crowd):
                        reload(proxy, services)
                    with ending(proxy, {"revoked": 100}):
                        (proxy.clients / "alice.key").unlink()
                    seen = len(come)
                    wait_until(lambda: len(come) > seen + 100, "it still flows")
                for client in clients[1::2]:
                    assert answers(client)
            finally:
                for client in clients:
                    client.close()


def test_signals_that_mean_something_to_others_kill_nobody() -> None:
    with RawService(echo) as behind, Sidecar(backend=behind.endpoint, clients={"allow": "any"}) as proxy:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            proxy.signal(number)
        assert is_served(proxy.public, proxy.server.public)
