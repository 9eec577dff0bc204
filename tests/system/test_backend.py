"""The service behind the proxy: absent, broken, slow, or gone. Its clients are closed and may come again, and what
was sent before an end arrives.
"""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import zmq
from support.client import RawClient, answers
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import Peer, Refused
from support.process import Sidecar, free_port, toml, wait_until
from support.service import (
    Behaviour,
    RawService,
    answers_error,
    closes_after_greeting,
    closes_at_once,
    echo,
    garbage,
    malformed_ready,
    never_ready,
    silent,
    wrong_mechanism,
    wrong_socket_type,
)

MIB = 1024 * 1024

# What is behind -> the reason that is counted.
BROKEN: dict[Behaviour, str] = {
    answers_error: "handshake",
    closes_after_greeting: "closed",
    closes_at_once: "closed",
    garbage: "greeting",
    malformed_ready: "handshake",
    never_ready: "timeout",
    silent: "timeout",
    wrong_mechanism: "mechanism",
    wrong_socket_type: "socket_type",
}


@pytest.fixture(scope="module")
def broken() -> Iterator[Sidecar]:
    """A proxy before every broken service, each named for what is wrong with it, and one before none."""
    services = {behaviour.__name__: RawService(behaviour) for behaviour in BROKEN}
    config = ""
    for name, endpoint in [*((name, raw.endpoint) for name, raw in services.items()), ("absent", "ipc://absent")]:
        service = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": endpoint}
        config += toml("[[service]]", {**service, "secret_keys": ["server.key_secret"]})
        config += toml("[service.clients]", {"allow": "any"})
        config += toml("[service.admission]", {"backend_connect_seconds": 2})
    for raw in services.values():
        raw.__enter__()
    try:
        with Sidecar(config) as proxy:
            yield proxy
    finally:
        for raw in services.values():
            raw.close()


def any_sidecar(backend: str) -> Sidecar:
    """A proxy that lets everybody in."""
    return Sidecar(backend=backend, clients={"allow": "any"})


def client_of(proxy: Sidecar, service: str = "default", socket_type: str = "DEALER") -> RawClient:
    """A stranger at a service's door."""
    return RawClient(proxy.endpoints[service], proxy.server.public, socket_type=socket_type)


@pytest.mark.parametrize(
    ("name", "reason"), [("absent", "refused"), *((behaviour.__name__, reason) for behaviour, reason in BROKEN.items())]
)
def test_a_client_of_a_broken_service_is_closed_and_the_reason_told(broken: Sidecar, name: str, reason: str) -> None:
    final = reason == "socket_type"  # no waiting helps: the client is told
    with client_of(broken, name) as client:
        with pytest.raises(Refused if final else EOFError):
            client.handshake()
        assert client.recv_until_closed().octets == b""
    outcome = "socket_type" if final else "backend_unavailable"
    assert broken.metric("curveproxy_handshakes_total", service=name, outcome=outcome) == 1
    assert broken.metric("curveproxy_handshakes_total", service=name) == 1
    assert broken.metric("curveproxy_backend_failures_total", service=name, reason=reason) == 1
    assert broken.metric("curveproxy_backend_failures_total", service=name) == 1
    assert broken.metric("curveproxy_backend_up", service=name) == final
    line, *_ = [line for line in broken.log if line["event"] == "backend failed" and line["service"] == name]
    assert line["reason"] == reason
    assert line["hint"]


def test_a_service_that_starts_late_is_not_stormed_and_finds_its_clients_waiting(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/late"
    with any_sidecar(endpoint) as proxy, Libzmq() as z:
        clients = [z.connect(zmq.REQ, proxy.public, server=proxy.server.public) for _ in range(30)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
        wait_until(lambda: proxy.metric("curveproxy_half_open_connections") >= 29, "all wait for their HELLO's answer")
        # Who had its WELCOME when the first dial failed has dialled too; from then on nobody does.
        failures = partial(proxy.metric, "curveproxy_backend_failures_total", reason="refused")
        wait_until(failures, "the first dial has failed")
        assert failures() < 2 * len(clients)
        assert proxy.metric("curveproxy_backend_up") == 0
        service, _ = z.bind(zmq.REP, endpoint)
        for _ in clients:
            service.send(b"answer to " + service.recv())
        for number, client in enumerate(clients):
            assert client.recv() == b"answer to %d" % number
        assert proxy.metric("curveproxy_backend_up") == 1


def held(proxy: Sidecar, count: int, server: bytes) -> list[RawClient]:
    """So many strangers who have said HELLO, to the proxy's key or to none that it has, and will say no more."""
    strangers = []
    for _ in range(count):
        client = RawClient(proxy.public, server)
        client.greeting()
        client.hello()
        strangers.append(client)
    return strangers


STRANGERS = {"handshake_seconds": 60, "max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 10_000}


def test_a_service_that_is_up_again_is_reached_whoever_else_waits_for_it() -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Sidecar(backend=endpoint, clients={"allow": "any"}, admission=STRANGERS) as proxy, ExitStack() as stack:
        z = stack.enter_context(Libzmq())
        client = z.connect(zmq.REQ, proxy.public, server=proxy.server.public)
        client.send(b"question")
        proxy.wait_metric("curveproxy_backend_failures_total", 1, reason="refused")
        strangers = [*held(proxy, 200, Keys.new().public), *held(proxy, 50, proxy.server.public)]
        for stranger in strangers:
            stack.callback(stranger.close)
        proxy.wait_metric("curveproxy_half_open_connections", len(strangers) + 1)
        service, _ = z.bind(zmq.REP, endpoint)
        service.send(b"answer to " + service.recv())
        assert client.recv() == b"answer to question"


def test_a_service_that_is_well_again_is_reached_though_only_a_client_can_find_that_out() -> None:
    with (
        RawService(closes_at_once) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, admission=STRANGERS) as proxy,
        ExitStack() as stack,
    ):
        with RawClient(proxy.public, proxy.server.public) as client, suppress(EOFError):
            client.handshake()
        strangers = held(proxy, 60, proxy.server.public)
        for stranger in strangers:
            stack.callback(stranger.close)
        service.behaviour = echo
        with RawClient(proxy.public, proxy.server.public) as client:
            assert answers(client.handshake())


def test_a_client_waits_while_another_program_has_the_place_of_its_service() -> None:
    """As in the middle of an upgrade. Whoever has never fitted is told that it does not."""
    with RawService(echo) as service, any_sidecar(service.endpoint) as proxy:
        with client_of(proxy) as client:
            assert answers(client.handshake())
        service.behaviour = wrong_socket_type
        with client_of(proxy) as client, pytest.raises(EOFError):
            client.handshake()
        assert proxy.metric("curveproxy_handshakes_total", outcome="backend_unavailable") == 1
        with client_of(proxy, socket_type="PUSH") as client, pytest.raises(Refused):
            client.handshake()
        service.behaviour = echo
        with client_of(proxy) as client:
            assert answers(client.handshake())


# --- what was sent arrives


def test_what_a_client_sent_before_it_left_arrives() -> None:
    with Libzmq() as z:
        service, endpoint = z.bind(zmq.PULL, rcvhwm=0)
        with any_sidecar(endpoint) as proxy:
            client = z.connect(zmq.PUSH, proxy.public, server=proxy.server.public, sndhwm=0)
            for number in range(1000):
                client.send_multipart([b"%d" % number, b"x" * 1000])
            client.close(linger=10_000)
            for number in range(1000):
                assert service.recv_multipart() == [b"%d" % number, b"x" * 1000]
            proxy.wait_metric("curveproxy_sessions_closed_total", 1, reason="client_closed")


def test_what_a_service_sent_before_it_died_arrives() -> None:
    with Libzmq() as z:
        service, endpoint = z.bind(zmq.PUSH, sndhwm=0)
        with any_sidecar(endpoint) as proxy:
            client = z.connect(zmq.PULL, proxy.public, server=proxy.server.public, rcvhwm=0)
            for number in range(1000):
                service.send_multipart([b"%d" % number, b"x" * 10_000])
            service.close(linger=10_000)
            for number in range(1000):
                assert client.recv_multipart() == [b"%d" % number, b"x" * 10_000]
            proxy.wait_metric("curveproxy_sessions_closed_total", 1, reason="backend_closed")


@pytest.mark.parametrize("end", ["finish", "reset", "forgery"])
def test_a_message_that_was_cut_is_not_delivered_and_spoils_no_other(end: str) -> None:
    with Libzmq() as z:
        service, endpoint = z.bind(zmq.PULL)
        with any_sidecar(endpoint) as proxy, client_of(proxy, socket_type="PUSH") as client:
            client.handshake()
            client.send([b"before"])
            client.send_raw(client.seal(b"first", more=True) + client.seal(b"second", more=True))
            third = client.seal(b"third")
            client.send_raw(third if end == "forgery" else third[:20])
            if end == "forgery":
                client.send_raw(third)  # the same nonce again
            elif end == "reset":
                assert service.recv_multipart() == [b"before"]  # a reset takes what is still on its way with it
                client.reset()
            else:
                client.finish()
            wait_until(lambda: proxy.metric("curveproxy_sessions_closed_total") == 1, "the session has ended")
            with client_of(proxy, socket_type="PUSH") as other:
                other.handshake()
                other.send([b"after", b""])
                whole = [[b"before"], [b"first", b"second", b"third"]] if end == "forgery" else [[b"before"]]
                expected = [*(whole[1:] if end == "reset" else whole), [b"after", b""]]
                # A PULL takes from its two clients by turns.
                assert sorted(service.recv_multipart() for _ in expected) == sorted(expected)
                assert not service.poll(100)


# --- whoever does not read


def floods_or_echoes(peer: Peer) -> None:
    """Send without end to whoever asks for it, and echo to others."""
    peer.handshake()
    while (message := peer.recv()) != [b"flood"]:
        peer.send(message)
    while True:
        peer.send([b"x" * 65536])


def test_clients_that_do_not_read_hold_up_their_own_session_only_and_cost_little() -> None:
    with RawService(floods_or_echoes) as service, any_sidecar(service.endpoint) as proxy:
        clients = [client_of(proxy).handshake() for _ in range(5)]
        with clients[0] as honest:
            assert answers(honest)
            before = proxy.rss()
            for client in clients[1:]:
                client.send([b"flood"])
            seen = [0.0]

            def is_still() -> bool:
                seen.append(proxy.metric("curveproxy_messages_total", direction="out"))
                return len(set(seen[-10:])) == 1 and seen[-1] > 1

            wait_until(is_still, "nobody takes any more", 30)
            assert proxy.rss() - before < 8 * MIB
            assert answers(honest)
        for client in clients[1:]:
            assert client.recv() == [b"x" * 65536]
            client.close()
        proxy.wait_metric("curveproxy_sessions", 0)
