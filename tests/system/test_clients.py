"""The list of clients, as real libzmq clients meet it while the proxy runs."""

import html
import json
import subprocess
from collections.abc import Iterator

import pytest
import zmq
from support.client import RawClient, answers
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import Refused
from support.process import Sidecar, certificate, free_port, toml, wait_until
from support.service import RawService, echo
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

INLINE = Keys.new()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Sidecar]:
    """One service for every way to say who may come in; the list is the same directory."""
    lists: dict[str, dict[str, object]] = {
        "told": {"directory": "clients"},
        "closed": {"directory": "clients", "refusal": "close"},
        "inline": {"keys": [z85.encode(INLINE.public).decode()]},
        "any": {"allow": "any"},
    }
    with RawService(echo) as service:
        config = ""
        for name, clients in lists.items():
            table = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": service.endpoint}
            config += toml("[[service]]", {**table, "secret_keys": ["server.key_secret"]})
            config += toml("[service.clients]", clients)
        with Sidecar(config) as proxy:
            yield proxy


def refused(proxy: Sidecar, service: str) -> float:
    return proxy.metric("curveproxy_handshakes_total", service=service, outcome="client_unknown")


def test_an_unknown_key_is_named_and_its_line_lets_the_client_in() -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint, clients={"refusal": "close"}) as proxy:
        bob = Keys.new()
        key = z85.encode(bob.public).decode()
        with RawClient(proxy.public, proxy.server.public, bob) as client, pytest.raises(EOFError):
            client.handshake()
        wait_until(lambda: any(line.get("client") == key for line in proxy.log), "its key is in the log")
        [told] = json.loads(proxy.get("/api/status")[1])["services"][0]["unknown_keys"]
        assert (told["key"], told["total"]) == (key, 1)
        page = html.unescape(proxy.get("/")[1])
        line = page[page.index("printf '%s") :].partition("</code>")[0]
        assert key in line
        subprocess.run(line, shell=True, check=True, cwd=proxy.directory)
        wait_until(lambda: any(line.get("came") == ["NAME"] for line in proxy.log), "it is told who came")
        with RawClient(proxy.public, proxy.server.public, bob) as client:
            assert answers(client.handshake())
            (proxy.directory / "clients" / "NAME.key").unlink()
            wait_until(lambda: any(line.get("went") == ["NAME"] for line in proxy.log), "and who went")


def test_a_refused_client_that_was_just_closed_gets_in_once_its_key_is_added(proxy: Sidecar) -> None:
    keys = certificate(proxy.directory, "late")
    with Libzmq() as z:
        client = z.connect(zmq.REQ, proxy.endpoints["closed"], server=proxy.server.public, keys=keys)
        client.send(b"let me in")
        wait_until(lambda: refused(proxy, "closed") >= 2, "it is refused, and comes again by itself")
        (proxy.directory / "late.key").rename(proxy.clients / "late.key")
        assert client.recv() == b"let me in"
        assert any(line["event"] == "session opened" and line["client"] == "late" for line in proxy.log)


def test_a_refused_client_that_was_told_gives_up(proxy: Sidecar) -> None:
    with Libzmq() as z:
        before = refused(proxy, "told")
        client = z.connect(zmq.REQ, f"tcp://127.0.0.1:{free_port()}", server=proxy.server.public)
        with client.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH) as monitor:
            client.connect(proxy.endpoints["told"])  # only now: the monitor misses nothing
            assert monitor.poll(10_000)
            assert recv_monitor_message(monitor)["value"] == 400
            assert monitor.poll(500) == 0  # libzmq would have tried five times
            client.disable_monitor()
        assert refused(proxy, "told") == before + 1


def gets_in(proxy: Sidecar, service: str, keys: Keys) -> bool:
    with RawClient(proxy.endpoints[service], proxy.server.public, keys) as client:
        try:
            return answers(client.handshake())
        except (Refused, EOFError, ConnectionError):  # refused, or let in and revoked at once
            return False


def test_every_list_lets_in_whom_it_names_and_nobody_else(proxy: Sidecar) -> None:
    listed = proxy.new_client("bob")
    wait_until(lambda: gets_in(proxy, "told", listed), "the directory is read again")
    who = {"listed": listed, "inline": INLINE, "stranger": Keys.new()}
    for service, welcome in (("told", {"listed"}), ("inline", {"inline"}), ("any", {"listed", "inline", "stranger"})):
        assert {name for name, keys in who.items() if gets_in(proxy, service, keys)} == welcome
    (proxy.clients / "bob.key").unlink()
    wait_until(lambda: not gets_in(proxy, "told", listed), "he is no longer listed")
