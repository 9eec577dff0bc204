"""Host names with several addresses, as localhost is with the hosts file of Debian and Docker; IPv6 with its zone."""

import json
import socket
import subprocess

import pytest
import zmq
from support.client import RawClient, answers
from support.libzmq import Libzmq
from support.process import Sidecar, free_port, wait_until
from support.service import RawService, echo

ANY = {"allow": "any"}
Launcher = list[str]


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_a_service_is_found_at_whichever_address_of_its_name(hosts: Launcher, address: str) -> None:
    port = free_port()  # which nobody has at the other address either
    with RawService(echo, endpoint=f"tcp://{address}:{port}") as service:
        backend = service.endpoint.replace(address, "both")
        with Sidecar(backend=backend, clients=ANY, launcher=hosts) as proxy:
            for _ in range(2):
                with RawClient(proxy.public, proxy.server.public) as client:
                    assert answers(client.handshake())
            assert proxy.metric("curveproxy_backend_failures_total") == 0


def test_each_address_that_failed_is_told_with_its_reason(hosts: Launcher) -> None:
    port = free_port()
    with Sidecar(backend=f"tcp://both:{port}", clients=ANY, launcher=hosts) as proxy:
        with RawClient(proxy.public, proxy.server.public) as client, pytest.raises(EOFError):
            client.handshake()
        [line] = [line for line in proxy.log if line["event"] == "backend failed"]
        assert line["reason"] == "refused"
        told = line["detail"].split("; ")
        assert sorted(told) == [f"127.0.0.1:{port}: connection refused", f"[::1]:{port}: connection refused"]


@pytest.mark.parametrize("first", ["silent", "there"])
def test_an_address_that_does_not_answer_leaves_time_for_the_next(hosts: Launcher, first: str) -> None:
    """A listener whose backlog is full lets a dial wait, as a firewall does."""
    port = free_port()
    with RawService(echo, endpoint=f"tcp://127.0.0.1:{port}"), socket.socket(socket.AF_INET6) as deaf:
        if first == "silent":
            deaf.bind(("::1", port))
            deaf.listen(0)
            fill = [socket.socket(socket.AF_INET6) for _ in range(3)]
            for sock in fill:
                sock.setblocking(False)
                sock.connect_ex(("::1", port))
        with Sidecar(backend=f"tcp://both:{port}", clients=ANY, launcher=hosts) as proxy:
            for _ in range(2):
                with RawClient(proxy.public, proxy.server.public) as client:
                    assert answers(client.handshake())
            assert proxy.metric("curveproxy_backend_failures_total") == 0
        for sock in fill if first == "silent" else ():
            sock.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_name_is_listened_on_at_all_its_addresses(hosts: Launcher, workers: int) -> None:
    port = free_port()
    with (
        RawService(echo) as service,
        Sidecar(
            backend=service.endpoint,
            listen=f"tcp://both:{port}",
            clients=ANY,
            process={"workers": workers},
            launcher=hosts,
        ) as proxy,
    ):
        for address in ("127.0.0.1", "[::1]") * 2:
            with RawClient(f"tcp://{address}:{port}", proxy.server.public) as client:
                assert answers(client.handshake())
        line = next(line for line in proxy.log if line["event"] == "listening")
        assert sorted(line["addresses"]) == [f"127.0.0.1:{port}", f"[::1]:{port}"]


def test_both_sockets_go_when_the_proxy_drains(hosts: Launcher) -> None:
    port = free_port()
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, listen=f"tcp://both:{port}", clients=ANY, launcher=hosts) as proxy,
        RawClient(f"tcp://127.0.0.1:{port}", proxy.server.public) as inside,
    ):
        assert answers(inside.handshake())
        proxy.signal()
        wait_until(lambda: not any(map(listens, [("127.0.0.1", port), ("::1", port)])), "nobody listens")


def listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except OSError:
        return False
    return True


def test_a_backend_with_a_zone_is_reached() -> None:
    try:
        told = subprocess.run(["ip", "-j", "-6", "addr"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no ip command")
    links = [
        f"{each['local']}%{link['ifname']}"
        for link in json.loads(told)
        for each in link.get("addr_info", ())
        if each["scope"] == "link"
    ]
    if not links:
        pytest.skip("no interface has a link-local address")
    with Libzmq() as z:
        service, _ = z.bind(zmq.REP, f"tcp://[{links[0]}]:{(port := free_port())}", ipv6=True)
        backend = f"tcp://[{links[0]}]:{port}"
        with Sidecar(backend=backend, service={"allow_remote_backend": True}, clients=ANY) as proxy:
            client = z.connect(zmq.REQ, proxy.public, server=proxy.server.public)
            client.send(b"hello")
            assert service.recv() == b"hello"
