"""Services that are broken, hostile or killed: each costs its own clients their session, and nothing else."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import zmq
from support import zmtp
from support.baseline import KEPT, baseline
from support.client import RawClient, send_endlessly
from support.libzmq import Libzmq
from support.peer import Peer
from support.process import Sidecar, free_port, toml, wait_until
from support.service import Behaviour, RawService, echo
from support.zmtp import COMMAND, MORE

from curveproxy.reasons import BackendFailure
from system.endings import ending

ANY = {"allow": "any"}
OFTEN = {"handshakes_per_second_per_source": 100_000}
KIB, MIB = 1 << 10, 1 << 20
LIMIT = 20_000
FLOOD = 2 * MIB
FAILURES = "curveproxy_backend_failures_total"


# --- in its handshake


def says(*pieces: bytes, then: Callable[[Peer], object] = Peer.hold) -> Behaviour:
    """Says all this without being asked, and then does that."""

    def behaviour(peer: Peer) -> None:
        for piece in pieces:
            peer.send_raw(piece)
        then(peer)

    return behaviour


def drips(peer: Peer) -> None:
    """Greets by one octet now and then, and is never done."""
    for octet in zmtp.greeting(b"NULL"):
        peer.send_raw(bytes([octet]))
        time.sleep(0.05)


NULL = zmtp.greeting(b"NULL")
READY = zmtp.null_ready(zmtp.metadata({"Socket-Type": b"ROUTER"}))
READY_FRAME = zmtp.frame(READY, COMMAND)
LARGE = zmtp.null_ready(zmtp.metadata({"Socket-Type": b"ROUTER", "X-Large": bytes(64 * KIB + 1 - 40)}))
assert len(LARGE) == 64 * KIB + 1

# What it does -> the reason that is counted.
BROKEN: dict[str, tuple[Behaviour, str]] = {
    "offers CURVE": (says(zmtp.greeting(b"CURVE", as_server=1)), "mechanism"),
    "speaks ZMTP 2 and then something else": (says(zmtp.greeting(b"NULL", version=(1, 0))), "handshake"),
    "speaks a version that nobody speaks": (says(zmtp.greeting(b"NULL", version=(2, 0))), "greeting"),
    "drips": (drips, "timeout"),
    "finishes within its greeting": (says(NULL[:32], then=Peer.close), "closed"),
    "finishes within READY": (says(NULL, READY_FRAME[:10], then=Peer.close), "closed"),
    "resets at once": (says(then=Peer.reset), "closed"),
    "resets within its greeting": (says(NULL[:32], then=Peer.reset), "closed"),
    "resets behind its greeting": (says(NULL, then=Peer.reset), "closed"),
    "resets within READY": (says(NULL, READY_FRAME[:10], then=Peer.reset), "closed"),
    "sends READY of 64 KiB and an octet": (says(NULL, zmtp.frame(LARGE, COMMAND)), "handshake"),
    "claims READY of 2^62": (says(NULL, zmtp.frame(READY, COMMAND, size=1 << 62)), "handshake"),
    "sends READY with MORE": (says(NULL, zmtp.frame(READY, COMMAND | MORE)), "handshake"),
    "sends READY with a reserved flag": (says(NULL, zmtp.frame(READY, COMMAND | 8)), "handshake"),
    "sends READY as a message": (says(NULL, zmtp.frame(READY)), "handshake"),
    "sends a message before READY": (says(NULL, zmtp.frame(b"hello"), READY_FRAME), "handshake"),
    "sends PING before READY": (says(NULL, zmtp.frame(zmtp.ping(), COMMAND), READY_FRAME), "handshake"),
    "sends garbage for READY": (says(NULL, bytes(range(256)) * 300), "handshake"),
}


def once_good(behaviour: Behaviour) -> Behaviour:
    """Echoes to the first who comes, and behaves like that to the others."""
    came: list[Peer] = []

    def behaves(peer: Peer) -> None:
        came.append(peer)
        echo(peer) if len(came) == 1 else behaviour(peer)

    return behaves


def service_table(name: str, backend: str, **admission: object) -> str:
    """One service that lets everybody in."""
    service = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": backend, "secret_keys": ["server.key_secret"]}
    tables = toml("[[service]]", service) + toml("[service.clients]", ANY)
    return tables + toml("[service.admission]", OFTEN | admission)


@pytest.fixture(scope="module")
def broken() -> Iterator[Sidecar]:
    """A proxy before two of every kind, of which one was good before, so that it is greeted in another way."""
    with ExitStack() as stack:
        config = ""
        for name, (behaviour, reason) in BROKEN.items():
            # Who is late is waited for; who was good once has time to be that.
            for called, does, late in (
                (name, behaviour, 0.5),
                (f"once good, {name}", once_good(behaviour), 2),
            ):
                raw = stack.enter_context(RawService(does))
                seconds = late if reason == BackendFailure.TIMEOUT else 20
                config += service_table(called, raw.endpoint, backend_connect_seconds=seconds)
        proxy = stack.enter_context(Sidecar(config))
        for name in BROKEN:
            with client_of(proxy, f"once good, {name}") as client:
                client.handshake()
        proxy.wait_metric("curveproxy_sessions", 0)
        yield proxy


def client_of(proxy: Sidecar, service: str = "default", *, minor: int = 1) -> RawClient:
    """Somebody who has connected."""
    return RawClient(proxy.endpoints[service], proxy.server.public, minor=minor)


def test_backends_that_break_in_their_handshake_are_told_and_leave_nothing(broken: Sidecar) -> None:
    wanted = {called: reason for name, (_, reason) in BROKEN.items() for called in (name, f"once good, {name}")}
    with baseline(broken):
        for service in wanted:
            with client_of(broken, service) as client:
                with pytest.raises(EOFError):
                    client.handshake()
                assert client.recv_until_closed().octets == b"", service
    counted = [(name, dict(labels), value) for (name, labels), value in broken.metrics().items() if value]
    outcomes = [labels["service"] for _, labels, value in counted if labels.get("outcome") == "backend_unavailable"]
    failures = {labels["service"]: labels["reason"] for name, labels, _ in counted if name == FAILURES}
    told = {line["service"]: line["reason"] for line in broken.log if line["event"] == "backend failed"}
    assert sorted(outcomes) == sorted(wanted)
    assert told == failures == wanted
    assert all(
        line["hint"] == BackendFailure(line["reason"]).hint
        for line in broken.log
        if line.get("event") == "backend failed"
    )


def dribbles(peer: Peer) -> None:
    """Greets and is ready octet by octet, then echoes."""
    for octet in NULL + READY_FRAME:
        peer.send_raw(bytes([octet]))
    peer.recv_exactly(64)
    peer.recv_ready()
    while True:
        peer.send(peer.recv())


def test_a_backend_that_is_ready_octet_by_octet_is_good() -> None:
    with RawService(dribbles) as raw, Sidecar(backend=raw.endpoint, clients=ANY) as proxy:
        for _ in range(2):  # who is known is greeted in another way
            with client_of(proxy) as client:
                client.handshake()
                client.send([b"hello"])
                assert client.recv() == [b"hello"]
        assert proxy.metric(FAILURES) == 0


# --- in a session

RELEASE = threading.Event()


def obeys(peer: Peer) -> None:
    """Does what a message says, and sends out any other message's octets as they are."""
    peer.handshake()
    while (order := peer.recv()[0]) != b"close":
        if order == b"reset":
            peer.reset()
            break
        if order == b"read nothing":
            RELEASE.wait(60)
            peer.reset()
            break
        while order == b"flood":
            peer.send([bytes(FLOOD)])
        peer.send_raw(order)


@pytest.fixture(scope="module")
def service() -> Iterator[RawService]:
    with RawService(obeys, minor=1) as service:
        yield service


@pytest.fixture(scope="module")
def proxy(service: RawService) -> Iterator[Sidecar]:
    """One with a narrow limit and one with the default, and warm."""
    config = service_table("narrow", service.endpoint) + toml("[service.messages]", {"max_message_bytes": LIMIT})
    # glibc would keep up to 64 MiB for the next large message: here all that stays is the proxy's own.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MALLOC_MMAP_THRESHOLD_", str(128 * KIB))
        patch.setenv("MALLOC_TRIM_THRESHOLD_", str(128 * KIB))
        with Sidecar(config + service_table("default", service.endpoint)) as proxy:
            with client_of(proxy) as client:
                assert answers(client.handshake())
            proxy.wait_metric("curveproxy_sessions", 0)
            yield proxy


def tell(client: RawClient, octets: bytes) -> None:
    """Have the service send out these octets."""
    for at in range(0, len(octets), LIMIT // 2):
        client.send([octets[at : at + LIMIT // 2]])


def answers(client: RawClient) -> bool:
    """Whether a session goes on."""
    tell(client, zmtp.frame(b"hello"))
    return client.recv() == [b"hello"]


def is_cut(client: RawClient) -> bool:
    """Whether a session ends without another whole message."""
    with pytest.raises((EOFError, ConnectionResetError)):
        client.recv()
    return not client.messages


@contextmanager
def another(proxy: Sidecar, service: str) -> Iterator[None]:
    """Another session with the same service, for which nothing may change; it ends with client_closed."""
    with client_of(proxy, service) as client:
        assert answers(client.handshake())
        yield
        assert answers(client)


PING_FRAMES = [zmtp.frame(b"\4PING" + bytes(size), COMMAND) for size in (0, 1, *range(19, 41))]

# What it sends -> the ending, the flaw, and the octets: one case or several.
HOSTILE: dict[str, tuple[str, str, list[bytes]]] = {
    "a reserved flag": (
        "invalid_message",
        "framing",
        [zmtp.frame(b"x", bit | also) for bit in (8, 16, 32, 64, 128) for also in (0, MORE, COMMAND)],
    ),
    "COMMAND with MORE": ("invalid_message", "framing", [zmtp.frame(zmtp.ping(), COMMAND | MORE)]),
    "a claim of 2^63 or more": (
        "invalid_message",
        "framing",
        [zmtp.frame(b"", flags, size=size) for flags in (0, MORE, COMMAND) for size in (1 << 63, (1 << 64) - 1)],
    ),
    "a claim of less": (
        "limit",
        "too_large",
        [zmtp.frame(b"", flags, size=size) for flags in (0, MORE, COMMAND) for size in (LIMIT, 1 << 62, (1 << 63) - 1)],
    ),
    "a message of its limit and an octet": (
        "limit",
        "too_large",
        [zmtp.frame(bytes(LIMIT - 8)), zmtp.frame(bytes(100), MORE) + zmtp.frame(bytes(LIMIT - 102 - 8))],
    ),
    "endless parts": ("limit", "too_large", [zmtp.frame(b"", MORE) * (LIMIT // 2 + 1)]),
    "PING of any wrong length": ("invalid_message", "command", PING_FRAMES),
    "a malformed command": (
        "invalid_message",
        "command",
        [zmtp.frame(body, COMMAND) for body in (b"", b"\0", b"\0PING", b"\5PING", b"\xff" + bytes(254), b"\4")],
    ),
}


@pytest.mark.parametrize(("reason", "flaw", "cases"), HOSTILE.values(), ids=HOSTILE)
def test_a_service_that_sends_what_it_must_not_costs_that_session_only(
    proxy: Sidecar, reason: str, flaw: str, cases: list[bytes]
) -> None:
    count = len(cases)
    with baseline(proxy), ending(proxy, {reason: count, "client_closed": 1}, {flaw: count}), another(proxy, "narrow"):
        for octets in cases:
            with client_of(proxy, "narrow") as client:
                client.handshake()
                tell(client, zmtp.frame(b"good") + octets + zmtp.frame(b"late"))
                assert client.recv() == [b"good"]
                assert is_cut(client), octets[:20]
    assert "from the service" in {line.get("detail") for line in proxy.log}


@pytest.mark.parametrize("minor", [0, 1])
def test_a_ping_of_a_service_is_answered_by_whoever_knows_how(proxy: Sidecar, service: RawService, minor: int) -> None:
    with baseline(proxy), ending(proxy, {"client_closed": 1}), client_of(proxy, minor=minor) as client:
        client.handshake()
        pongs = service.accepted[-1].commands
        for size in range(17):
            context = bytes(range(size))
            tell(client, zmtp.frame(zmtp.ping(context, 0xFFFF), COMMAND) + zmtp.frame(b"behind it"))
            assert client.recv() == [b"behind it"]
            wait_until(lambda size=size: len(pongs) == size + 1, "a pong")  # type: ignore[misc]
            assert pongs[-1] == (b"PONG", context)
            # No more than 65.5 s, for libzmq counts its milliseconds in 16 bits.
            assert list(client.commands) == [(b"PING", (655).to_bytes(2, "big") + context)] * minor
            client.commands.clear()


def test_an_unlawful_pong_to_a_service_that_has_asked_ends_the_session(proxy: Sidecar, service: RawService) -> None:
    with baseline(proxy), ending(proxy, {"invalid_message": 1}, {"command": 1}), client_of(proxy) as client:
        client.pongs = False
        client.handshake()
        tell(client, zmtp.frame(zmtp.ping(), COMMAND))
        assert client.recv_command() == (b"PING", b"\0\0")
        client.send_command(b"PONG", bytes(17))
        assert is_cut(client)
    assert not service.accepted[-1].commands


UNKNOWN = (b"ERROR", b"READY", b"FOO", b"PONG", b"ping", b"HELLO", b"SUBSCRIBE", b"JOIN", b"\0", b"N" * 255)


def test_an_error_or_an_unknown_command_of_a_service_is_left_out_wherever_it_comes(proxy: Sidecar) -> None:
    with (
        baseline(proxy),
        ending(proxy, {"client_closed": 1}, {"command": 2 * len(UNKNOWN)}),
        client_of(proxy) as client,
    ):
        client.handshake()
        for name in UNKNOWN:
            commands = [zmtp.frame(zmtp.command(name, data), COMMAND) for data in (b"\x03400", bytes(1000))]
            tell(client, zmtp.frame(b"first", MORE) + b"".join(commands) + zmtp.frame(name))
            assert client.recv() == [b"first", name]
        assert not client.commands


# --- that goes away


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_message_that_a_service_has_cut_is_not_delivered_and_spoils_no_other(proxy: Sidecar, end: str) -> None:
    reason = {"close": "backend_closed", "reset": "backend_reset"}[end]
    cut = zmtp.frame(b"before") + zmtp.frame(b"first", MORE) + zmtp.frame(b"second", MORE) + zmtp.frame(b"third")[:4]
    with baseline(proxy), Libzmq() as z, ending(proxy, {reason: 2, "client_closed": 1}), another(proxy, "default"):
        with client_of(proxy) as client:
            client.handshake()
            tell(client, cut)
            assert client.recv() == [b"before"]
            client.send([end.encode()])
            assert is_cut(client)
        reconnecting = z.connect(zmq.DEALER, proxy.endpoints["default"], server=proxy.server.public)
        reconnecting.send(cut)
        assert reconnecting.recv_multipart() == [b"before"]
        admitted = proxy.metric("curveproxy_handshakes_total", outcome="admitted")
        reconnecting.send(end.encode())
        proxy.wait_metric("curveproxy_handshakes_total", admitted + 1, outcome="admitted")
        reconnecting.send(zmtp.frame(b"after"))
        assert reconnecting.recv_multipart() == [b"after"]


# --- that does not read, or sends without end


@pytest.mark.parametrize("size", [64 * KIB, 2 * MIB])
def test_a_service_that_reads_nothing_and_resets_holds_up_its_own_clients_and_costs_little(
    proxy: Sidecar, size: int
) -> None:
    RELEASE.clear()
    with baseline(proxy), ending(proxy, {"backend_reset": 2, "client_closed": 1}), another(proxy, "default"):
        before = proxy.rss()
        clients = [client_of(proxy).handshake() for _ in range(2)]
        for client in clients:
            client.send([b"read nothing"])
            with pytest.raises(TimeoutError):
                send_endlessly(client, [bytes(size)])
        # Each holds what it owes, and what of the next frames was read with it.
        assert proxy.rss() - before < len(clients) * (size + 512 * KIB) + KEPT
        RELEASE.set()
        for client in clients:
            client.recv_until_closed()
            client.close()


def test_a_service_that_sends_large_messages_without_end_to_who_does_not_read_costs_little(proxy: Sidecar) -> None:
    with baseline(proxy), ending(proxy, {"client_reset": 2, "client_closed": 1}), another(proxy, "default"):
        before, seen = proxy.rss(), [0.0]
        clients = [client_of(proxy).handshake() for _ in range(2)]
        for client in clients:
            client.send([b"flood"])

        def is_still() -> bool:
            seen.append(proxy.metric("curveproxy_messages_total", direction="out"))
            return len(seen) > 10 and len(set(seen[-10:])) == 1

        wait_until(is_still, "nobody takes any more")
        assert proxy.rss() - before < len(clients) * (FLOOD + 512 * KIB) + KEPT
        for client in clients:
            assert client.recv() == [bytes(FLOOD)]
            client.reset()


# --- that is killed

# Sends every message back; what it is, and where, are its arguments.
SERVICE = """
import sys, zmq
socket = zmq.Context().socket(getattr(zmq, sys.argv[1]))
socket.bind(sys.argv[2])
while True:
    socket.send_multipart(socket.recv_multipart())
"""


@pytest.mark.parametrize(
    ("kind", "fitting"), [("REP", zmq.REQ), pytest.param("ROUTER", zmq.DEALER, marks=pytest.mark.deep)]
)
def test_two_hundred_sessions_come_back_when_their_service_is_killed_and_starts_again(kind: str, fitting: int) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"

    def start() -> subprocess.Popen[bytes]:
        return stack.enter_context(subprocess.Popen([sys.executable, "-c", SERVICE, kind, endpoint]))

    with ExitStack() as stack, Sidecar(backend=endpoint, clients=ANY) as proxy:
        service = start()
        stack.callback(lambda: service.kill())
        z = stack.enter_context(Libzmq())
        clients = [z.connect(fitting, proxy.public, server=proxy.server.public, rcvtimeo=60_000) for _ in range(200)]
        for life in range(2):
            for number, client in enumerate(clients):
                client.send(b"%d of %d" % (number, life))
            if life:
                service = start()
            for number, client in enumerate(clients):
                assert client.recv() == b"%d of %d" % (number, life)
            assert proxy.metric("curveproxy_sessions") == 200
            service.kill()
            proxy.wait_metric("curveproxy_sessions", 0)
            wait_until(lambda: proxy.metric(FAILURES, reason="refused"), "it is dialled in vain")
