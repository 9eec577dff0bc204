"""Whoever floods, whatever with, the others are served: no turn is long, and nobody has two for one."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from support import curve, zmtp
from support.cases import deep
from support.client import RawClient, answers
from support.curve import Keys
from support.peer import Peer, connect
from support.process import Sidecar, toml, wait_until
from support.service import RawService, echo

from system.endings import ending

ANY = {"allow": "any"}
HEALTHY_SECONDS = 5.0  # without turns it is more than twenty
UNKNOWN = zmtp.command(b"X")
FRAMES = 7000  # more than a pump reads at once


def answers_or_ends(peer: Peer) -> None:
    """What is asked is answered; all else is taken."""
    peer.handshake()
    while True:
        message = peer.recv()
        if message == [b"hello"]:
            peer.send(message)
        peer.messages.clear()


@contextmanager
def flooding(peer: Peer, octets: bytes) -> Iterator[None]:
    """Send these octets meanwhile, and take what comes back."""

    def send() -> None:
        with suppress(OSError):
            peer.sock.sendall(octets)

    def take() -> None:
        with suppress(OSError):
            while peer.sock.recv(1 << 20):
                pass

    threads = [threading.Thread(target=job) for job in (send, take)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            peer.sock.shutdown(socket.SHUT_RDWR)  # wakes those threads, which a close does not
        for thread in threads:
            thread.join()


def is_healthy(proxy: Sidecar) -> bool:
    with urllib.request.urlopen(proxy.admin + "/healthz", timeout=HEALTHY_SECONDS) as answer:
        return bool(answer.status == 200)


FLOODS: dict[str, Callable[[RawClient], bytes]] = {
    "PINGs": lambda client: client.seal(zmtp.ping(), command=True),
    "empty messages": lambda client: client.seal(b""),
    "empty parts": lambda client: client.seal(b"", more=True),
}


@pytest.mark.parametrize("one", FLOODS.values(), ids=FLOODS)
def test_beside_a_client_that_floods_the_others_are_served(one: Callable[[RawClient], bytes]) -> None:
    with (
        RawService(answers_or_ends) as service,
        Sidecar(backend=service.endpoint, clients=ANY) as proxy,
        RawClient(proxy.public, proxy.server.public) as flooder,
        RawClient(proxy.public, proxy.server.public) as other,
    ):
        flooder.handshake()
        other.handshake()
        octets = b"".join(one(flooder) for _ in range(5 * FRAMES))
        with flooding(flooder, octets):
            for _ in range(20):
                assert answers(other)
                assert is_healthy(proxy)


PLAIN = {
    "PINGs": zmtp.frame(zmtp.ping(), zmtp.COMMAND),
    "empty frames": zmtp.frame(b""),
    "messages of 1 KiB": zmtp.frame(bytes(1024)),
}


@pytest.mark.parametrize("frame", PLAIN.values(), ids=PLAIN)
def test_beside_a_service_that_floods_other_services_are_served(frame: bytes) -> None:
    blob = frame * ((1 << 20) // len(frame))

    def floods(peer: Peer) -> None:
        peer.handshake()
        while True:
            peer.send_raw(blob)

    with RawService(floods) as bad, RawService(echo) as good:
        config = ""
        for name, service in (("bad", bad), ("good", good)):
            own = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": service.endpoint}
            config += toml("[[service]]", {**own, "secret_keys": ["server.key_secret"]}) + toml(
                "[service.clients]", ANY
            )
        with (
            Sidecar(config) as proxy,
            RawClient(proxy.endpoints["bad"], proxy.server.public) as victim,
            RawClient(proxy.endpoints["good"], proxy.server.public) as other,
        ):
            other.handshake()
            victim.handshake()
            with flooding(victim, b""):
                for _ in range(20):
                    assert answers(other)
                    assert is_healthy(proxy)


UNLIMITED = {"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 1_000_000}


@pytest.mark.deep
def test_clients_get_in_beside_busy_sessions_and_a_crowd_of_strangers() -> None:
    """A service sends without end, and hundreds of strangers say HELLO at once, again and again."""
    blob = zmtp.frame(bytes(64)) * 10_000

    def floods(peer: Peer) -> None:
        peer.handshake()
        while True:
            peer.send_raw(blob)

    with (
        RawService(floods) as service,
        Sidecar(backend=service.endpoint, clients=ANY, admission=UNLIMITED) as proxy,
        RawClient(proxy.public, proxy.server.public) as busy,
    ):
        hello = zmtp.greeting() + zmtp.frame(curve.hello(Keys.new(), proxy.server.public), zmtp.COMMAND)
        busy.handshake()
        with flooding(busy, b""):
            for _ in range(3):
                before = proxy.metric("curveproxy_messages_total", direction="out")
                with ExitStack() as strangers:
                    for _ in range(300):
                        strangers.enter_context(connect(proxy.public)).send(hello)
                    with RawClient(proxy.public, proxy.server.public) as client:
                        client.handshake()
                assert proxy.metric("curveproxy_messages_total", direction="out") > before
            assert is_healthy(proxy)


def test_thousands_of_unknown_commands_end_the_session_and_a_handful_does_not() -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients=ANY, messages={"max_invalid_per_minute": 10}) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake()
        client.send_raw(b"".join(client.seal(UNKNOWN, command=True) for _ in range(10)))
        assert answers(client)
        with ending(proxy, {"invalid_message": 1}, {"command": 1}):
            client.send_raw(b"".join(client.seal(UNKNOWN, command=True) for _ in range(1000)))
            client.recv_until_closed()
            client.close()
        assert proxy.metric("curveproxy_invalid_messages_total", reason="command") == 11


def test_a_service_that_sends_unknown_commands_without_end_loses_its_session() -> None:
    def floods(peer: Peer) -> None:
        peer.handshake()
        peer.recv()
        peer.send_raw(peer.seal(b"before") + zmtp.frame(UNKNOWN, zmtp.COMMAND) * 1000)
        peer.hold()

    with (
        RawService(floods) as service,
        Sidecar(backend=service.endpoint, clients=ANY) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake()
        with ending(proxy, {"invalid_message": 1}, {"command": 101}):
            client.send([b"go"])
            assert client.recv() == [b"before"]
            client.recv_until_closed()
            client.close()
        line = next(line for line in proxy.log if line["event"] == "invalid message")
        assert (line["reason"], line["detail"]) == ("command", "from the service")


# --- quotas count what costs


@pytest.mark.parametrize("one", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize(
    ("limit", "most"),
    [({"messages_per_second_per_client": 10}, 16 * 10), deep({"bytes_per_second_per_client": 3500}, 100)],
    ids=["messages", "octets"],
)
def test_a_flood_of_whatever_kind_is_held_up(
    limit: dict[str, int], most: int, one: Callable[[RawClient], bytes]
) -> None:
    with (
        RawService(minor=1) as service,
        Sidecar(backend=service.endpoint, clients={**ANY, **limit}) as proxy,
        RawClient(proxy.public, proxy.server.public, minor=1) as client,
    ):

        def greet() -> None:
            service.accept().handshake()

        service.start(greet)
        client.handshake()
        service.threads[-1].join()
        backend = service.accepted[-1]
        begin = time.monotonic()
        with flooding(client, b"".join(one(client) for _ in range(FRAMES))):
            wait_until(lambda: proxy.metric("curveproxy_throttled_seconds_total") > 1, "it is held up")
            backend.sock.setblocking(False)
            come = b""
            with suppress(BlockingIOError):
                while got := backend.sock.recv(1 << 20):
                    come += got
            seconds = time.monotonic() - begin
        backend.close()
        assert 0 < len(zmtp.read_frames(come)) <= 2 * most * (1 + seconds) < FRAMES
