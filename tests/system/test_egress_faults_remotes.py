"""Remotes of an egress that are down, broken or hostile: each costs its own clients their way in, and nobody else."""

import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from support import curve, zmtp
from support.baseline import baseline
from support.client import RawServer
from support.curve import Keys
from support.egress import FAILURES, Egress, Remote, table
from support.libzmq import Libzmq
from support.peer import Peer
from support.process import free_port, toml, wait_until
from support.zmtp import COMMAND, MORE
from zmq.utils import z85

from curveproxy.reasons import ClientFailure, EgressOutcome
from system.broken_remotes import BROKEN, ENDED, SILENT, behaviour
from system.endings import ending

KIB = 1 << 10
SHORT, LONG = 1.0, 20.0  # connect_seconds, for remotes that answer nothing and for all others
OUTCOMES = "curveproxy_handshakes_total"
MOUNTS = ["unshare", "--mount", "--map-root-user"]

FINAL = "refuses with 400"


# --- in its handshake


def echo(peer: Peer) -> None:
    """An honest one."""
    peer.handshake()
    while True:
        peer.send(peer.recv())


@pytest.fixture(scope="module")
def keys() -> Keys:
    """S, of all remotes."""
    return Keys.new()


@pytest.fixture(scope="module")
def good(keys: Keys) -> Iterator[Remote]:
    with Remote(keys, echo) as remote:
        yield remote


@contextmanager
def before_broken(keys: Keys, good: Remote, names: Iterable[str], *behind: str) -> Iterator[Egress]:
    """An egress for each of these broken remotes, with others behind it, and one whose remote is good."""
    server = z85.encode(keys.public).decode()
    with ExitStack() as stack:
        config = table("honest", good.endpoint, server_keys=[server])
        for name in names:
            does, _ = BROKEN[name]
            bad = stack.enter_context(Remote(keys, behaviour(does))).endpoint
            seconds = SHORT if name in SILENT else LONG
            config += table(name, bad, *behind, server_keys=[server], connect_seconds=seconds)
        proxy = stack.enter_context(Egress(config=config))
        with client_at(proxy, "honest") as client:
            assert answers(client.handshake())
        proxy.wait_metric("curveproxy_sessions", 0)
        yield proxy


def client_at(proxy: Egress, name: str) -> Peer:
    """A plain client that has connected to the egress of this name."""
    return Peer.to(proxy.endpoints[name])


def answers(client: Peer) -> bool:
    """Whether what it says comes back from a remote that echoes."""
    client.send([b"hello"])
    return client.recv() == [b"hello"]


@contextmanager
def another(proxy: Egress, name: str = "honest") -> Iterator[None]:
    """A session for which nothing may change, and a newcomer behind it."""
    with client_at(proxy, name) as inside, client_at(proxy, name) as newcomer:
        assert answers(inside.handshake())
        yield
        assert answers(inside)
        assert answers(newcomer.handshake())


def counted(proxy: Egress, metric: str, label: str) -> dict[str, dict[str, int]]:
    """Service -> value of a label -> how often."""
    found: dict[str, dict[str, int]] = {}
    for (name, labels), value in proxy.metrics().items():
        if name == metric and value:
            own = dict(labels)
            found.setdefault(own["service"], {})[own[label]] = int(value)
    return found


MANY = [*ENDED, *(name for name in BROKEN if "is ready with" in name)]
FEW = [name for name in BROKEN if name not in MANY]


@pytest.mark.parametrize("names", [FEW, pytest.param(MANY, marks=pytest.mark.deep)], ids=["a few", "many"])
def test_remotes_that_break_in_their_handshake_are_told_and_leave_nothing(
    keys: Keys, good: Remote, names: Iterable[str]
) -> None:
    wanted = {name: BROKEN[name][1] for name in names}
    with before_broken(keys, good, names) as proxy:
        with baseline(proxy), another(proxy), ExitStack() as stack:
            clients = [stack.enter_context(client_at(proxy, name)) for name in wanted]
            for client in clients:
                client.greeting()
                client.send_ready()
            for client in clients:
                assert client.recv_until_closed().octets == b"", "nobody is told that it is in"
        failures, outcomes = counted(proxy, FAILURES, "reason"), counted(proxy, OUTCOMES, "outcome")
        told = {line["service"]: line for line in proxy.log if line["event"] == "backend failed"}
        refused = {line["service"]: line for line in proxy.log if line["event"] == "client refused"}
        for name, word in wanted.items():
            assert failures[name] == {word: 1}, name
            assert outcomes[name] == {"backend_unavailable": 1}, name
            assert (told[name]["reason"], told[name]["hint"]) == (word, ClientFailure(word).hint), name
            assert refused[name]["hint"] == EgressOutcome.BACKEND_UNAVAILABLE.hint, name
        assert "go away" not in proxy.stderr, "a remote's own words are not repeated"


@pytest.mark.deep
def test_behind_a_remote_that_breaks_in_its_handshake_another_is_found(keys: Keys, good: Remote) -> None:
    with before_broken(keys, good, BROKEN, good.endpoint) as proxy:
        with baseline(proxy), another(proxy), ExitStack() as stack:
            clients = {name: stack.enter_context(client_at(proxy, name)) for name in BROKEN}
            for client in clients.values():
                client.greeting()
                client.send_ready()
            with pytest.raises(EOFError):
                clients.pop(FINAL).recv_ready()
            for client in clients.values():
                client.recv_ready()
            for name, client in clients.items():
                assert answers(client), name
        failures = counted(proxy, FAILURES, "reason")
        for name, (_, word) in BROKEN.items():
            assert failures[name] == {word: 1}, name


def dribbles(peer: Peer) -> None:
    """Says all of its handshake octet by octet, then echoes."""
    send = peer.send_raw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peer, "send_raw", lambda octets: [send(bytes([octet])) for octet in octets])
        peer.handshake()
    while True:
        peer.send(peer.recv())


def test_a_remote_that_is_ready_octet_by_octet_is_good(keys: Keys) -> None:
    with Remote(keys, dribbles) as remote, Egress(remote.endpoint, egress=known(keys)) as proxy:
        with client_at(proxy, "default") as client:
            assert answers(client.handshake())
        assert proxy.failures() == {}


def known(keys: Keys) -> dict[str, object]:
    """Where the remote's key is this one."""
    return {"server_keys": [z85.encode(keys.public).decode()]}


def test_a_remote_whose_host_does_not_answer_is_left_for_the_next(keys: Keys, good: Remote) -> None:
    """A listener whose backlog is full answers no SYN, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as stack:
        port = deaf.getsockname()[1]
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        proxy = stack.enter_context(
            Egress(f"tcp://127.0.0.1:{port}", good.endpoint, egress={**known(keys), "connect_seconds": SHORT})
        )
        with client_at(proxy, "default") as client:
            assert answers(client.handshake())
        with client_at(proxy, "default") as client:
            assert answers(client.handshake())
        assert proxy.failures() == {"connect_timeout": 1}, "the other is tried first for a while"


# --- its name


@pytest.fixture
def dead_name_server(tmp_path: Path) -> Iterator[list[str]]:
    """What starts a proxy whose name server takes questions and says nothing."""
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 127.0.0.9\noptions timeout:2 attempts:1\n")
    launcher = [*MOUNTS, "sh", "-c", f'mount --bind {file} /etc/resolv.conf && exec "$@"', "sh"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind(("127.0.0.9", 53))
            subprocess.run([*launcher, "true"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this user may not be a name server, or give a process one of its own")
        yield launcher


@pytest.mark.deep
def test_a_name_server_that_hangs_holds_up_nobody_but_those_who_need_it(
    dead_name_server: list[str], keys: Keys, good: Remote
) -> None:
    named, slow = "tcp://orders.example:5556", {**known(keys), "connect_seconds": 0.5}
    config = table("honest", good.endpoint, **known(keys)) + table("named", named, **slow)
    config += table("named, then a good one", named, good.endpoint, **slow)
    with Egress(config=config, launcher=dead_name_server) as proxy:
        with client_at(proxy, "honest") as client:
            assert answers(client.handshake())
        proxy.wait_metric("curveproxy_sessions", 0)
        with baseline(proxy), another(proxy):
            with client_at(proxy, "named") as client, pytest.raises(EOFError):
                client.handshake()
            with client_at(proxy, "named, then a good one") as client:
                assert answers(client.handshake())
        failures = counted(proxy, FAILURES, "reason")
        assert failures == {"named": {"resolve_timeout": 1}, "named, then a good one": {"resolve_timeout": 1}}
        [hint] = {line["hint"] for line in proxy.log if line["event"] == "backend failed"}
        assert hint == ClientFailure.RESOLVE_TIMEOUT.hint


# --- clients that it does not want


@pytest.mark.parametrize("through", ["libzmq", pytest.param("an ingress", marks=pytest.mark.deep)])
def test_clients_that_do_not_fit_the_remote_cost_no_other_client_its_way_in(through: str) -> None:
    backend = f"tcp://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        z = stack.enter_context(Libzmq())
        front = f"tcp://127.0.0.1:{free_port()}"
        config = table("default", front if through == "an ingress" else backend)
        if through == "an ingress":
            own = {"name": "ingress", "listen": front, "backend": backend, "secret_keys": ["server.key_secret"]}
            config += toml("[[service]]", own) + toml("[service.clients]", {"directory": "clients"})
        proxy = Egress(config=config)
        server = None if through == "an ingress" else proxy.server
        router, _ = z.bind(zmq.ROUTER, backend, server=server)
        stack.enter_context(proxy)
        proxy.public = proxy.endpoints["default"]

        def is_served() -> bool:
            client = z.connect(zmq.REQ, proxy.public)
            client.send(b"question")
            router.send_multipart(router.recv_multipart())
            return client.recv() == b"question"

        assert is_served()
        for _ in range(20):
            z.connect(zmq.SUB, proxy.public)
        misfits = 20
        wait_until(
            lambda: proxy.metric(OUTCOMES, service="default", outcome="socket_type") > misfits, "they come again"
        )
        for _ in range(3):
            assert is_served()
        outcomes = counted(proxy, OUTCOMES, "outcome")["default"]
        assert set(outcomes) == {"admitted", "socket_type"}
        assert not counted(proxy, FAILURES, "reason").get("default"), "the remote is not at fault"
        line, *_ = [line for line in proxy.log if line.get("outcome") == "socket_type" and line["service"] == "default"]
        assert (line["detail"], line["hint"]) == ("client SUB, service ROUTER", EgressOutcome.SOCKET_TYPE.hint)


# --- in a session

LIMIT = 20_000


Frames = Callable[[RawServer], bytes]


def sealed(data: bytes, **options: Any) -> Frames:
    """Makes one frame, with the options of ``CurvePeer.seal``."""
    return lambda server: server.seal(data, **options)


def nonce(of: Callable[[int], int]) -> Frames:
    """Makes one frame whose nonce follows from the last."""
    return lambda server: server.seal(b"x", nonce=of(server.last))


def clear(octets: bytes, flags: int = 0, size: int | None = None) -> Frames:
    """Makes one frame that is not sealed."""
    return lambda _: zmtp.frame(octets, flags, size=size)


RESERVED = [bit | also for bit in (8, 16, 32, 64, 128) for also in (0, MORE, COMMAND)]
PINGS = [zmtp.command(b"PING", bytes(size)) for size in (0, 1, *range(19, 41))]


def flipped(at: int) -> Frames:
    """Makes one frame of which a bit has been changed."""

    def make(server: RawServer) -> bytes:
        changed = bytearray(server.seal(b"spoiled"))
        changed[at] ^= 1
        return bytes(changed)

    return make


def reflected(server: RawServer) -> bytes:
    """What the client could have sealed."""
    return zmtp.frame(curve.message(server.shared, curve.FROM_CLIENT, server.next_nonce(), b"mirror"))


def endless(server: RawServer) -> bytes:
    return b"".join(server.seal(b"", more=True) for _ in range(LIMIT // 2 + 1))


GAPS = [nonce(lambda last: last + 2), sealed(b"x", nonce=(1 << 64) - 1)]
UNSEALED = [clear(b"hello" * 20), clear(zmtp.command(b"READY", bytes(99)))]
# What it sends -> how the session ends, the flaw, and the frames: one case or several.
HOSTILE: dict[str, tuple[str, str, list[Frames]]] = {
    "a reserved flag": ("invalid_message", "framing", [sealed(b"x", outer=flags) for flags in RESERVED]),
    "an outer MORE": ("invalid_message", "outer_more", [sealed(b"x", outer=MORE)]),
    "a claim of 2^62 or more": (
        "invalid_message",
        "framing",
        [clear(b"\7MESSAGE", size=size) for size in (1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)],
    ),
    "a nonce once more": ("invalid_message", "nonce", [nonce(lambda last: last), nonce(lambda last: last - 1)]),
    "nonce 0": ("invalid_message", "nonce", [sealed(b"x", nonce=0)]),
    "a nonce that leaves others out": (
        "invalid_message",
        "gap",
        GAPS,
    ),
    "a box that does not open": (
        "invalid_message",
        "box",
        [flipped(18), flipped(26), flipped(-1)],
    ),
    "a box sealed by the client": ("invalid_message", "box", [reflected]),
    "a MESSAGE without a box": ("invalid_message", "too_short", [clear(zmtp.command(b"MESSAGE", bytes(24)))]),
    "what is not sealed": (
        "invalid_message",
        "not_message",
        [clear(b"hello" * 20), clear(zmtp.command(b"READY", bytes(99)))],
    ),
    "a message of its limit and an octet": ("limit", "too_large", [sealed(bytes(LIMIT - 8))]),
    "endless parts": (
        "limit",
        "too_large",
        [endless],
    ),
    "PING of any wrong length": ("invalid_message", "command", [sealed(body, command=True) for body in PINGS]),
    "a malformed command": (
        "invalid_message",
        "command",
        [sealed(body, command=True) for body in (b"", b"\0", b"\0PING", b"\5PING", b"\xff" + bytes(254), b"\4")],
    ),
}


@pytest.fixture(scope="module")
def remote(keys: Keys) -> Iterator[Remote]:
    """One whose connections are in the test's hands."""
    with Remote(keys, minor=1) as remote:
        yield remote


@pytest.fixture(scope="module")
def proxy(keys: Keys, good: Remote, remote: Remote) -> Iterator[Egress]:
    """One before that remote, and one before a good one. It is warm."""
    config = table("hostile", remote.endpoint, **known(keys)) + toml("[egress.messages]", {"max_message_bytes": LIMIT})
    with Egress(config=config + table("honest", good.endpoint, **known(keys))) as proxy:
        with session(proxy, remote):
            pass
        with client_at(proxy, "honest") as client:
            assert answers(client.handshake())
        proxy.wait_metric("curveproxy_sessions", 0)
        yield proxy


@contextmanager
def session(proxy: Egress, remote: Remote) -> Iterator[tuple[Peer, RawServer]]:
    """The two ends of a new session."""
    with client_at(proxy, "hostile") as client:
        client.greeting()
        client.send_ready()
        with remote.accept().handshake() as server:
            client.recv_ready()
            yield client, server


@pytest.mark.parametrize(("reason", "flaw", "cases"), HOSTILE.values(), ids=HOSTILE)
def test_a_remote_that_sends_what_it_must_not_costs_that_session_only(
    proxy: Egress, remote: Remote, reason: str, flaw: str, cases: list[Frames]
) -> None:
    count = len(cases)
    with baseline(proxy), ending(proxy, {reason: count, "client_closed": 2}, {flaw: count}), another(proxy):
        for make in cases:
            with session(proxy, remote) as (client, server):
                server.send_raw(server.seal(b"good") + make(server) + server.seal(b"late"))
                assert client.recv() == [b"good"]
                with pytest.raises((EOFError, ConnectionResetError)):
                    client.recv()
                assert not client.messages
    assert "from the remote" in {line.get("detail") for line in proxy.log}


@pytest.mark.parametrize(("end", "reason"), [(Peer.close, "backend_closed"), (Peer.reset, "backend_reset")])
def test_a_message_that_a_remote_has_cut_is_not_delivered(
    proxy: Egress, remote: Remote, end: Callable[[Peer], None], reason: str
) -> None:
    with (
        baseline(proxy),
        ending(proxy, {reason: 1, "client_closed": 2}),
        another(proxy),
        session(proxy, remote) as (client, server),
    ):
        server.send_raw(server.seal(b"good") + server.seal(b"first", more=True) + server.seal(b"second")[:20])
        assert client.recv() == [b"good"]
        end(server)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.recv()
        assert not client.messages


def test_what_a_hundred_sessions_are_promised_and_not_sent_costs_a_little(proxy: Egress, remote: Remote) -> None:
    with baseline(proxy), another(proxy), ExitStack() as stack:
        before = proxy.rss()
        for _ in range(100):
            _, server = stack.enter_context(session(proxy, remote))
            server.send_raw(zmtp.frame(b"\7MESSAGE", size=LIMIT - 1))
        assert proxy.metric("curveproxy_sessions", service="hostile") == 100
        assert proxy.rss() - before < 100 * 64 * KIB
