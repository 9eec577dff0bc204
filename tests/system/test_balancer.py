"""Behind a load balancer: whose connection it is comes before the greeting, and from whom it is believed."""

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import zmtp
from support.cases import deep, some_deep
from support.client import RawClient, answers
from support.peer import connect
from support.process import Sidecar, free_port, wait_until
from support.service import RawService, echo

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BELIEVED = {"proxy_protocol": True, "proxy_protocol_from": ["127.0.0.0/8"]}
SOMEBODY = "192.0.2.7"


def header(host: str = SOMEBODY, port: int = 4242, *, command: int = 0x21) -> bytes:
    """What a balancer says of a connection."""
    body = socket.inet_aton(host) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 5556)
    return SIGNATURE + struct.pack(">BBH", command, 0x11, len(body)) + body


@contextmanager
def sidecar(*, service: dict[str, object] | None = None, **admission: object) -> Iterator[Sidecar]:
    with (
        RawService(echo) as behind,
        Sidecar(
            backend=behind.endpoint, clients={"allow": "any"}, service=service or BELIEVED, admission=admission
        ) as proxy,
    ):
        yield proxy


class Forwarded(RawClient):
    """A client whose connection a balancer forwards. octets: what that says first, in so many pieces."""

    def __init__(self, proxy: Sidecar, octets: bytes, pieces: int = 1) -> None:
        super().__init__(proxy.public, proxy.server.public)
        size = -(-len(octets) // pieces)
        for begin in range(0, len(octets), size):
            self.send_raw(octets[begin : begin + size])
            if pieces > 1:
                time.sleep(0.002)


def is_served(client: RawClient) -> bool:
    with client:
        return answers(client.handshake())


def opened(proxy: Sidecar) -> str:
    """Where the last that came in is from."""
    peer: str = [line for line in proxy.log if line["event"] == "session opened"][-1]["peer"]
    return peer


@pytest.mark.parametrize("pieces", [28, deep(1), deep(2)])
def test_the_log_knows_whose_connection_it_is(pieces: int) -> None:
    with sidecar() as proxy:
        assert is_served(Forwarded(proxy, header(), pieces))
        assert opened(proxy) == f"{SOMEBODY}:4242"


def test_a_balancer_that_speaks_for_itself_is_itself() -> None:
    with sidecar() as proxy:
        assert is_served(Forwarded(proxy, header(command=0x20)))
        assert opened(proxy).startswith("127.0.0.1:")


def test_header_and_greeting_may_come_together() -> None:
    with sidecar() as proxy, RawClient(proxy.public, proxy.server.public) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        client.send_raw(header() + zmtp.greeting())
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        client.recv_exactly(64)
        client.hello()
        client.welcome()
        client.initiate()
        client.ready()
        assert answers(client)
        assert opened(proxy) == f"{SOMEBODY}:4242"


BAD = {
    "no header": b"\xff" + bytes(7) + b"\x01\x7f",
    "version 1": b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 5556\r\n",
    "another version": header(command=0x31),
    "too long": SIGNATURE + b"\x21\x11\xff\xff",
    "without its address": SIGNATURE + b"\x21\x11\x00\x04abcd",
}


@pytest.mark.parametrize("name", some_deep(BAD, {"no header", "without its address"}))
def test_a_balancer_without_a_good_header_is_refused(name: str) -> None:
    with sidecar() as proxy, Forwarded(proxy, BAD[name]) as client:
        client.recv_until_closed()
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="not_zmtp")
        [line] = [line for line in proxy.log if line["event"] == "client refused"]
        assert "PROXY" in line["detail"]


def test_a_header_that_does_not_end_has_the_handshake_s_time() -> None:
    with sidecar(handshake_seconds=0.5) as proxy, Forwarded(proxy, header()[:20]) as client:
        client.recv_until_closed()
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="timeout")


def test_a_balancer_that_looks_whether_the_port_is_open_is_no_failure() -> None:
    with sidecar() as proxy:
        connect(proxy.public).close()
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="probe")


def test_sources_are_those_that_the_balancer_tells() -> None:
    with sidecar(max_half_open_per_source=2) as proxy:
        held = []
        for number in range(20):
            held.append(Forwarded(proxy, header(f"192.0.2.{number // 2}")))
            held[-1].recv_exactly(11)  # a greeting: its header has been read, before those of the next
        assert is_served(Forwarded(proxy, header("192.0.2.3")))
        held[6].recv_until_closed()
        [refused] = [line for line in proxy.log if line.get("outcome") == "source_limit"]
        assert (refused["peer"], refused["detail"]) == (
            "192.0.2.3:4242",
            "the oldest of its source: max_half_open_per_source",
        )
        assert proxy.metric("curveproxy_half_open_connections") == 19, "nobody else has gone"
        for client in held:
            client.close()


@pytest.mark.parametrize("service", [{}, {"proxy_protocol": True, "proxy_protocol_from": ["192.0.2.0/24"]}])
def test_nobody_else_is_believed(service: dict[str, object]) -> None:
    with sidecar(service={"forward_identity": False, **service}) as proxy:
        with Forwarded(proxy, header()) as client:
            client.recv_until_closed()
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="not_zmtp")
        assert is_served(RawClient(proxy.public, proxy.server.public))


@pytest.mark.haproxy
def test_a_real_balancer(tmp_path: Path) -> None:
    with sidecar() as proxy:
        port = free_port()
        (tmp_path / "haproxy.cfg").write_text(
            f"""\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend public
    bind 127.0.0.1:{port}
    default_backend sidecar
backend sidecar
    server one {proxy.public.removeprefix("tcp://")} send-proxy-v2 check-send-proxy check inter 100
"""
        )
        process = subprocess.Popen(["haproxy", "-q", "-db", "-f", str(tmp_path / "haproxy.cfg")])
        try:

            def there() -> bool:
                with suppress(OSError):
                    connect(f"tcp://127.0.0.1:{port}").close()
                    return True
                return False

            wait_until(there, "it listens")
            with RawClient(f"tcp://127.0.0.1:{port}", proxy.server.public) as client:
                ours = client.sock.getsockname()[1]
                client.handshake().send([b"hello"])
                assert client.recv() == [b"hello"]
            assert opened(proxy) == f"127.0.0.1:{ours}"
        finally:
            process.terminate()
            process.wait(10)


# --- who fails again and again


@pytest.mark.deep
def test_who_keeps_failing_may_begin_half_as_often_and_who_gets_in_clears_it() -> None:
    with sidecar(handshakes_per_second_per_source=2) as proxy:

        def fails(host: str) -> str:
            """With which outcome a handshake that ends in garbage ends."""
            before = proxy.metrics()
            with suppress(OSError), Forwarded(proxy, header(host) + b"GET / HTTP/1.1\r\n") as client:
                client.recv_until_closed()

            def new() -> list[str]:
                return [
                    dict(labels)["outcome"]
                    for (name, labels), value in proxy.metrics().items()
                    if name == "curveproxy_handshakes_total" and value > before.get((name, labels), 0)
                ]

            wait_until(new, "it has an outcome")
            [outcome] = new()
            return outcome

        for _ in range(4):
            time.sleep(0.6)  # slower than its rate
            assert fails("192.0.2.1") == "not_zmtp"
        wait_until(lambda: fails("192.0.2.1") == "source_limit", "one comes sooner than half of the rate allows")
        details = {line["detail"] for line in proxy.log if line.get("outcome") == "source_limit"}
        assert details == {"too many failures: half of handshakes_per_second_per_source is left"}
        assert is_served(Forwarded(proxy, header("192.0.2.2"))), "another source is not concerned"

        def gets_in() -> bool:
            with suppress(EOFError, OSError):
                return is_served(Forwarded(proxy, header("192.0.2.1")))
            return False

        wait_until(gets_in, "one of its clients gets in", 20)
        for _ in range(2):
            time.sleep(0.6)
            assert fails("192.0.2.1") == "not_zmtp", "it begins anew"
