"""A service's own keys: one takes the place of another, and several services share one endpoint by them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from support.client import RawClient
from support.curve import Keys
from support.libzmq import Libzmq
from support.process import Sidecar, certificate, free_port, toml, wait_until
from support.service import RawService, echo


def greets(proxy: Sidecar, key: Keys, service: str = "default") -> bool:
    """Whether a stranger's HELLO opens that was made for this key."""
    before = proxy.metric("curveproxy_handshakes_total", outcome="hello_box")
    with RawClient(proxy.endpoints[service], key.public) as client:
        client.greeting()
        client.hello()
        try:
            client.welcome()
        except EOFError:
            proxy.wait_metric("curveproxy_handshakes_total", before + 1, outcome="hello_box")
            return False
        return True


def test_a_key_is_rotated_without_a_restart() -> None:
    keys = {"secret_keys": ["server.key_secret", "next.key_secret"]}
    with RawService(echo) as service:
        patient = {"handshakes_per_second_per_source": 10_000}  # for who goes away before it is admitted
        proxy = Sidecar(backend=service.endpoint, clients={"allow": "any"}, service=keys, admission=patient)
        new, old = certificate(proxy.directory, "next"), proxy.server
        with proxy, RawClient(proxy.public, old.public) as before, RawClient(proxy.public, new.public) as client:
            for peer in (before, client):
                peer.handshake()
            for name in ("server", "next"):
                assert proxy.metric("curveproxy_server_key_handshakes_total", service="default", key=name) == 1
            (proxy.directory / "server.key_secret").unlink()
            wait_until(lambda: not greets(proxy, old), "the old one is gone")
            assert greets(proxy, new)
            for peer in (before, client):  # whoever is inside stays
                peer.send([b"still here"])
                assert peer.recv() == [b"still here"]
            newest = certificate(proxy.directory, "newest")
            (proxy.directory / "newest.key_secret").rename(proxy.directory / "next.key_secret")
            wait_until(lambda: greets(proxy, newest), "the file was read again")
            assert not greets(proxy, new)
            (proxy.directory / "next.key_secret").write_text("half a fi")
            wait_until(lambda: any(line["event"] == "server key can not be read" for line in proxy.log), "it is told")
            assert greets(proxy, newest)
            (proxy.directory / "next.key_secret").unlink()
            wait_until(lambda: not greets(proxy, newest), "the last one is gone")
            assert [line["hint"] for line in proxy.log if line["event"] == "no server key is left"] == [
                "nobody can connect: put a key file back"
            ]
            assert proxy.metric("curveproxy_sessions") == 2


NAMES = ("orders", "prices")


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[Sidecar, dict[str, Keys]]]:
    """Two services on one endpoint, each with a key of its own, and a third service that is down."""
    listen, config = f"tcp://127.0.0.1:{free_port()}", ""
    keys = {name: certificate(tmp_path, name) for name in (*NAMES, "down")}
    with RawService(echo) as service:
        for name in keys:
            backend = service.endpoint if name in NAMES else f"tcp://127.0.0.1:{free_port()}"
            table = {"name": name, "listen": listen, "backend": backend, "forward_identity": True}
            config += toml("[[service]]", {**table, "secret_keys": [str(tmp_path / f"{name}.key_secret")]})
            config += toml("[service.clients]", {"allow": "any"})
        with Sidecar(config) as proxy:
            yield proxy, keys


def test_services_share_an_endpoint_and_the_key_tells_which(shared: tuple[Sidecar, dict[str, Keys]]) -> None:
    proxy, keys = shared
    assert len(set(proxy.endpoints.values())) == 1
    with Libzmq() as z:
        for name in NAMES:
            client = z.connect(zmq.DEALER, proxy.public, server=keys[name].public)
            client.send(b"hello")
            assert client.recv() == b"hello"
            assert proxy.metric("curveproxy_sessions", service=name) == 1
    for name in NAMES:
        proxy.wait_metric("curveproxy_sessions_closed_total", 1, service=name)
        assert proxy.metric("curveproxy_handshakes_total", service=name, outcome="admitted") == 1
    assert not greets(proxy, Keys.new(), "prices")
    assert proxy.metric("curveproxy_handshakes_total", service="orders", outcome="hello_box") == 1
    assert proxy.metric("curveproxy_connections_accepted_total", service="orders") == 3
    assert proxy.metric("curveproxy_connections_accepted_total", service="prices") == 0


def test_one_that_is_down_keeps_nobody_from_the_others(shared: tuple[Sidecar, dict[str, Keys]]) -> None:
    proxy, keys = shared
    for _ in range(3):
        with RawClient(proxy.public, keys["down"].public) as client, pytest.raises(EOFError):
            client.handshake()
        with RawClient(proxy.public, keys["prices"].public) as client:
            client.handshake().send([b"hello"])
            assert client.recv() == [b"hello"]
    proxy.wait_metric("curveproxy_handshakes_total", 3, service="down", outcome="backend_unavailable")
