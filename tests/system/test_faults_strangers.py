"""Strangers who mean ill, or know no better, at the door of the running process: it stays as it was."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from threading import Event
from unittest.mock import patch

import pytest
import zmq
from support import curve, zmtp
from support.baseline import baseline
from support.client import RawClient, answers
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import Peer, Refused, connect
from support.process import Sidecar, toml, wait_until
from support.service import RawService, echo, silent
from support.stages import INITIATE, STRANGERS, Stage, walk
from support.zmtp import COMMAND

from curveproxy.policy.sources import MOST_FAILING
from curveproxy.reasons import BackendFailure, Outcome

ANY = {"allow": "any"}
OUTCOMES = "curveproxy_handshakes_total"
FLOOD_SECONDS = 10.0 if os.environ.get("CURVEPROXY_DEEP") else 1.0
MANY = 10  # enough of a kind that a leak of one descriptor or place each is told from an accident


def client_of(proxy: Sidecar, **options: object) -> RawClient:
    """Somebody who has connected."""
    return RawClient(proxy.public, proxy.server.public, **options)  # type: ignore[arg-type]


def is_served(proxy: Sidecar, **options: object) -> bool:
    """Whether an honest client gets in and has its answer."""
    with client_of(proxy, **options) as client:
        return answers(client.handshake())


def warm_up(proxy: Sidecar) -> None:
    """Serve one client, who is gone again."""
    assert is_served(proxy)
    proxy.wait_metric("curveproxy_sessions", 0)


@contextmanager
def expecting(proxy: Sidecar, **wanted: int) -> Iterator[None]:
    """These outcomes come of what is done inside, these alone, and each is told with its hint once at least."""

    def counted() -> dict[str, int]:
        samples = proxy.metrics().items()
        return {dict(labels)["outcome"]: int(value) for (name, labels), value in samples if name == OUTCOMES}

    before = counted()
    yield

    def come() -> dict[str, int]:
        return {name: value - before[name] for name, value in counted().items() if value != before[name]}

    wait_until(lambda: sum(come().values()) >= sum(wanted.values()), f"outcomes {wanted}")
    assert come() == wanted
    hints = {line["outcome"]: line["hint"] for line in proxy.log if "outcome" in line}
    assert {name: hints[name] for name in wanted if name != "admitted"} == {
        name: Outcome(name).hint for name in wanted if name != "admitted"
    }


@pytest.fixture(scope="module")
def service() -> Iterator[RawService]:
    with RawService(echo) as service:
        yield service


@pytest.fixture(scope="module")
def proxy(service: RawService) -> Iterator[Sidecar]:
    """One for all: limits high, deadlines far away, and warm."""
    limits = {"handshake_seconds": 30, "max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000}
    with Sidecar(backend=service.endpoint, clients=ANY, admission=limits) as proxy:
        warm_up(proxy)
        yield proxy


@pytest.fixture
def before_silence() -> Iterator[Sidecar]:
    """One whose deadlines are near, before a service that never says a word."""
    limits = {"handshake_seconds": 3, "backend_connect_seconds": 1}
    with RawService(silent) as service, Sidecar(backend=service.endpoint, clients=ANY, admission=limits) as proxy:
        yield proxy


# --- those who leave with a reset, and those who stay without a word


@pytest.mark.parametrize(("stage", "reach"), STRANGERS.items(), ids=STRANGERS)
def test_a_reset_at_any_stage_of_the_handshake_leaves_nothing(proxy: Sidecar, stage: str, reach: Stage) -> None:
    outcome = "probe" if stage == "connected" else "peer_closed"
    with baseline(proxy), expecting(proxy, **{outcome: MANY}):
        for _ in range(MANY):
            client = client_of(proxy)
            reach(client)
            if stage == "half a greeting":
                proxy.metrics()  # it has been seen by now: else the reset would take it away unseen
            client.reset()


def test_a_reset_behind_ready_ends_the_session_and_leaves_nothing(proxy: Sidecar) -> None:
    closed = proxy.metric("curveproxy_sessions_closed_total", reason="client_reset")
    with baseline(proxy), expecting(proxy, admitted=MANY):
        for _ in range(MANY):
            client_of(proxy).handshake().reset()
        proxy.wait_metric("curveproxy_sessions_closed_total", closed + MANY, reason="client_reset")
    told = [line for line in proxy.log if line["event"] == "session closed"]
    assert told[-1]["reason"] == "client_reset"


def test_a_reset_while_the_backend_is_dialled_or_down_leaves_nothing(before_silence: Sidecar) -> None:
    proxy = before_silence
    with baseline(proxy):
        with expecting(proxy, backend_unavailable=MANY):
            for _ in range(MANY):
                client = client_of(proxy)
                INITIATE(client)
                client.reset()
        with expecting(proxy, peer_closed=MANY):
            held = [client_of(proxy) for _ in range(MANY)]
            for client in held:
                walk(client, "greeting", "hello")  # not answered, for the service is down
            for client in held:
                client.reset()
    failed = [line for line in proxy.log if line["event"] == "backend failed"]
    assert failed[-1]["hint"] == BackendFailure.TIMEOUT.hint


def test_silence_at_any_stage_ends_in_time_and_leaves_nothing(before_silence: Sidecar) -> None:
    proxy = before_silence
    with baseline(proxy), expecting(proxy, timeout=len(STRANGERS), backend_unavailable=1), ExitStack() as stack:
        silent = {name: stack.enter_context(client_of(proxy)) for name in STRANGERS}
        for name, reach in STRANGERS.items():
            reach(silent[name])
        INITIATE(stack.enter_context(client_of(proxy)))
        for client in silent.values():
            client.recv_until_closed()


@pytest.mark.parametrize("outcome", ["admitted", "initiate_box"])
def test_every_octet_alone_is_as_good_as_all_of_them_together(proxy: Sidecar, outcome: str) -> None:
    with baseline(proxy), expecting(proxy, **{outcome: 1}), client_of(proxy) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        together = client.send_raw

        def alone(octets: bytes) -> None:
            for octet in octets:
                together(bytes([octet]))

        with patch.object(client, "send_raw", alone):
            walk(client, "greeting", "hello", "welcome")
            if outcome == "admitted":
                client.initiate()
                client.ready()
                assert answers(client)
            else:
                client.initiate(box=bytes(200))
                assert client.recv_until_closed().octets == b""


# --- metadata

PROPERTIES = {"Socket-Type": b"DEALER", "Identity": b"me", "Resource": b"here", "X-Foo": b"bar", "User-Id": b"root"}


def one(name: str, value: bytes, *, size: int | None = None) -> bytes:
    """One property. size: what it claims instead of its value's."""
    octets = zmtp.metadata({name: value})
    return octets if size is None else octets[: -len(value) - 4] + size.to_bytes(4, "big") + value


# flaw -> what is made of a property.
FLAWS: dict[str, Callable[[str, bytes], bytes]] = {
    "its name is cut": lambda name, value: one(name, value)[: len(name)],
    "its size is cut": lambda name, value: one(name, value)[: -len(value) - 1],
    "its value is cut": lambda name, value: one(name, value)[:-1],
    "it claims one octet more": lambda name, value: one(name, value, size=len(value) + 1),
    "it claims 2^31": lambda name, value: one(name, value, size=1 << 31),
    "it claims 2^32-1": lambda name, value: one(name, value, size=(1 << 32) - 1),
    "it claims one octet less": lambda name, value: one(name, value, size=len(value) - 1),
    "it comes twice": lambda name, value: one(name, value) * 2,
    "it comes twice in two spellings": lambda name, value: one(name, value) + one(name.swapcase(), value),
    "its name has 0 octets": lambda name, value: one("", value) + one(name, value),
    "its name has 255 letters, none of them lawful": lambda name, value: one("/" * 255, value),
}
IDENTITIES = {"of 256 octets": b"a" * 256, "of 3,000": b"a" * 3000, "of one zero": b"\0", "led by zero": b"\0\0\0\0\1"}


def is_told(proxy: Sidecar, metadata: bytes) -> bool:
    """Whether a client with such metadata is told that it is refused, and no more."""
    with walk(client_of(proxy), "greeting", "hello", "welcome") as client:
        client.initiate(metadata=metadata)
        with pytest.raises(Refused, match="400"):
            client.ready()
        return client.recv_until_closed().octets == b""


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_in_any_property_is_told_and_leaves_nothing(proxy: Sidecar, flaw: str) -> None:
    with baseline(proxy), expecting(proxy, metadata=len(PROPERTIES)):
        for name, value in PROPERTIES.items():
            others = zmtp.metadata({other: PROPERTIES[other] for other in PROPERTIES if other != name})
            assert is_told(proxy, others + FLAWS[flaw](name, value)), name


def test_an_identity_that_harms_a_service_is_told_in_any_spelling_of_its_name(proxy: Sidecar) -> None:
    with baseline(proxy), expecting(proxy, metadata=3 * len(IDENTITIES)):
        for identity in IDENTITIES.values():
            for name in ("Identity", "identity", "IDENTITY"):
                assert is_told(proxy, zmtp.metadata({"Socket-Type": b"DEALER", name: identity}))


def test_the_longest_name_and_the_longest_identity_reach_the_service(proxy: Sidecar, service: RawService) -> None:
    properties = {"Socket-Type": b"DEALER", "Identity": b"\xff" * 255, "X-" + "n" * 253: b"v" * 3000}
    with baseline(proxy), expecting(proxy, admitted=1):
        assert is_served(proxy, properties=properties)
    assert service.accepted[-1].theirs == properties


# The service's properties -> what a client is told: libzmq 4.0 has 256 octets for all of them.
READIES: dict[str, tuple[dict[str, bytes], set[str]]] = {
    "256 octets": ({"Socket-Type": b"ROUTER", "Identity": b"i" * 190, "X-Foo": b"x" * 21}, {"Identity", "X-Foo"}),
    "257 octets": ({"Socket-Type": b"ROUTER", "Identity": b"i" * 190, "X-Foo": b"x" * 22}, {"Identity"}),
    "X- properties of 60,000 octets": (
        {"Socket-Type": b"ROUTER", "Identity": b"me", **{f"X-{number}": b"x" * 6000 for number in range(10)}},
        {"Identity"},
    ),
    "an identity of 255 octets": ({"Socket-Type": b"ROUTER", "Identity": b"i" * 255}, set()),
    "a property that is neither, of 300 octets": ({"Socket-Type": b"ROUTER", "Resource": b"r" * 300}, set()),
}


@pytest.mark.parametrize(("properties", "kept"), READIES.values(), ids=READIES)
def test_ready_has_room_in_256_octets_whatever_the_service_tells(
    proxy: Sidecar,
    service: RawService,
    monkeypatch: pytest.MonkeyPatch,
    properties: dict[str, bytes],
    kept: set[str],
) -> None:
    def talkative(peer: Peer) -> None:
        peer.properties = properties
        echo(peer)

    monkeypatch.setattr(service, "behaviour", talkative)
    with baseline(proxy), expecting(proxy, admitted=1), client_of(proxy) as client:
        client.handshake()
    assert client.theirs == {name: properties[name] for name in {"Socket-Type", *kept}}
    assert len(zmtp.metadata(client.theirs)) <= 256


# --- more of them than there is room for


def test_more_strangers_than_descriptors_keep_nobody_out_and_leave_nothing() -> None:
    limits = {"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000, "handshake_seconds": 60}
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients=ANY, admission=limits, descriptors=300) as proxy,
    ):
        warm_up(proxy)
        with baseline(proxy), ExitStack() as stack, client_of(proxy).handshake() as inside:
            for _ in range(600):
                stack.enter_context(connect(proxy.public))
            assert is_served(proxy)
            assert answers(inside)
            assert proxy.fds() < 300
            assert proxy.metric(OUTCOMES, outcome="evicted") > 600 - 300
        told = [line for line in proxy.log if line.get("outcome") == "evicted"]
        assert told[0]["hint"] == Outcome.EVICTED.hint


# A process that comes and goes as fast as it can, its source each time another one or not.
FLOOD = """
import collections, random, socket, struct, sys, time
port, hello, seconds, kind, sources = sys.argv[1:]
octets, until, silent = bytes.fromhex(hello), time.monotonic() + float(seconds), collections.deque()
while time.monotonic() < until:
    sock = socket.socket()
    try:
        if sources == "many sources":
            sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            sock.bind((f"127.{random.randrange(1, 250)}.{random.randrange(256)}.{random.randrange(1, 255)}", 0))
        if kind != "FIN":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.settimeout(1)
        sock.connect(("127.0.0.1", int(port)))
        if kind == "HELLO":
            sock.send(octets)
            silent.append(sock)
            sock = silent.popleft() if len(silent) > 200 else None
    except OSError:
        pass  # no port is free, or there is no room in the backlog
    if sock is not None:
        sock.close()
"""


@pytest.fixture(scope="module")
def by_default(service: RawService) -> Iterator[Sidecar]:
    """One whose limits are the program's own."""
    with Sidecar(backend=service.endpoint, clients=ANY) as proxy:
        warm_up(proxy)
        yield proxy


@pytest.mark.parametrize("sources", ["one source", "many sources"])
@pytest.mark.parametrize("kinds", [("FIN", "RST"), ("HELLO", "HELLO")], ids=["FIN and RST", "HELLO"])
def test_an_honest_client_gets_in_through_a_flood(by_default: Sidecar, kinds: tuple[str, str], sources: str) -> None:
    proxy, ours = by_default, {"source": ("127.0.0.2", 0)}
    hello = zmtp.greeting() + zmtp.frame(curve.hello(Keys.new(), proxy.server.public), COMMAND)
    flood = [sys.executable, "-c", FLOOD, proxy.public.rpartition(":")[2], hello.hex(), str(FLOOD_SECONDS)]
    admitted, came = proxy.metric(OUTCOMES, outcome="admitted"), proxy.metric(OUTCOMES)
    # Of sources that have failed, as after HELLO, the last are remembered; the table of them grows by copying.
    memory = 340 * MOST_FAILING if (kinds[0], sources) == ("HELLO", "many sources") else 0
    # They send for so long, and the backlog is 4,096.
    with baseline(proxy, memory=memory, timeout=5 * FLOOD_SECONDS + 10), ExitStack() as stack:
        floods = [stack.enter_context(subprocess.Popen([*flood, kind, sources])) for kind in kinds]
        served = 0
        while any(process.poll() is None for process in floods):
            served += is_served(proxy, **ours)
            time.sleep(0.02)  # the rate of one source is for honest ones too
    assert [process.returncode for process in floods] == [0, 0]
    assert proxy.metric(OUTCOMES, outcome="admitted") == admitted + served > admitted
    assert proxy.metric(OUTCOMES) - came - served > 100 * FLOOD_SECONDS, "else it was no flood"


# --- what strangers can not take from others


def two_services(backend: str, admission: Mapping[str, object]) -> str:
    """A configuration of two services on two ports."""
    config = ""
    for name in ("crowded", "quiet"):
        table = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": backend, "secret_keys": ["server.key_secret"]}
        config += toml("[[service]]", table) + toml("[service.clients]", ANY) + toml("[service.admission]", admission)
    return config


def test_strangers_at_one_port_take_no_place_from_those_at_another(service: RawService) -> None:
    limits = {"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000, "handshake_seconds": 60}
    with Sidecar(two_services(service.endpoint, limits), descriptors=300) as proxy, ExitStack() as stack:
        first, *_ = [stack.enter_context(connect(proxy.endpoints["crowded"])) for _ in range(300)]
        slow = [stack.enter_context(RawClient(proxy.endpoints["quiet"], proxy.server.public)) for _ in range(20)]
        for stage in (RawClient.greeting, RawClient.hello, RawClient.welcome, RawClient.initiate, RawClient.ready):
            for _ in range(100):
                stack.enter_context(connect(proxy.endpoints["crowded"]))
            for client in slow:
                stage(client)
        assert all(map(answers, slow))
        Peer(first).recv_until_closed()
        assert proxy.metric(OUTCOMES, outcome="evicted", service="quiet") == 0
        wait_until(lambda: proxy.metric(OUTCOMES, outcome="evicted", service="crowded") > 800 - 300, "all are accepted")


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["fails", "is silent"])
def test_who_shares_an_address_with_one_that_fails_or_is_silent_gets_in(service: RawService, kind: str) -> None:
    limits = {"handshakes_per_second_per_source": 40, "max_half_open_per_source": 40, "handshake_seconds": 60}
    with (
        Sidecar(backend=service.endpoint, clients=ANY, admission=limits) as proxy,
        Libzmq() as z,
        ThreadPoolExecutor(1) as pool,
    ):
        stop, opened = Event(), list[socket.socket]()

        def neighbour() -> None:
            while not stop.wait(0.005):
                opened.append(connect(proxy.public))
                if kind == "fails":
                    with suppress(OSError):
                        opened[-1].send(b"GET / HTTP/1.1\r\n\r\n")

        going = pool.submit(neighbour)
        try:
            wait_until(lambda: proxy.metric(OUTCOMES, outcome="source_limit") > 100, "the neighbour is at its limits")
            for _ in range(2):
                client = z.connect(zmq.DEALER, proxy.public, server=proxy.server.public)
                client.send(b"question")
                assert client.recv() == b"question"
        finally:
            stop.set()
            going.result()
            for sock in opened:
                sock.close()


@pytest.mark.deep
def test_who_was_told_error_counts_and_lists_are_read_with_a_full_table(service: RawService) -> None:
    limits = {"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000, "handshake_seconds": 60}
    with (
        Sidecar(backend=service.endpoint, admission=limits, descriptors=300) as proxy,
        ExitStack() as stack,
    ):
        alice = stack.enter_context(client_of(proxy, keys=proxy.new_client("alice")))
        wait_until(lambda: proxy.metric("curveproxy_client_keys") == 1, "she is listed")
        alice.handshake()
        for _ in range(300):
            stack.enter_context(connect(proxy.public))
        told, most = [], 0
        for _ in range(300):
            unlisted = stack.enter_context(client_of(proxy))
            with suppress(Refused, EOFError, OSError):
                unlisted.handshake()
            told.append(unlisted)
            most = max(most, proxy.fds())
        assert most < 300 - 64, "the reserve is there for the list"
        (proxy.directory / "clients" / "alice.key").unlink()
        alice.recv_until_closed()
        assert not [line for line in proxy.log if "listed" in line["event"]]
        assert proxy.metric(OUTCOMES, outcome="client_unknown") > 250
