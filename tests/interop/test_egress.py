"""Plain clients before an egress: every pattern with CURVE servers behind it, and with an ingress at the other end."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyomq
import pytest
import zmq
from interop.test_omq import Omq
from interop.test_patterns import PUBLICATIONS, TALKS, Pair, converse, publish
from support import egress
from support.curve import Keys
from support.lane import CLIENT, SERVICE, Lane
from support.libzmq import Libzmq, check_each_is_answered
from zmq import SocketType
from zmq.utils import z85

by_side = pytest.mark.parametrize("first_is_client", [True, False], ids=["client first", "service first"])


class PlainOmq(Omq):
    """OMQ, which is written in Rust, without CURVE."""

    def connect(
        self, kind: int, endpoint: str, *, server: bytes | None = None, keys: Keys | None = None, **options: Any
    ) -> Any:
        return Libzmq.connect(self, kind, endpoint, **options)


@pytest.fixture(scope="module")
def remote() -> Iterator[Lane]:
    """An egress, whose remote is libzmq."""
    with egress.lanes({"egress": {}}) as lanes:
        yield lanes["egress"]


@pytest.fixture(scope="module")
def ends() -> Iterator[Lane]:
    """An egress, an ingress, and a plain service."""
    with egress.both_ends({"egress": {}}, {"egress": {}}) as lanes:
        yield lanes["egress"]


@pytest.fixture(params=["remote", "ends"])
def lane(request: pytest.FixtureRequest) -> Lane:
    found: Lane = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def omq() -> Iterator[Omq]:
    with PlainOmq() as omq:
        yield omq
        for sock in reversed(omq.sockets):
            sock.close(linger=0)


@by_side
@pytest.mark.parametrize(("first", "second"), TALKS)
def test_a_conversation(lane: Lane, libzmq: Libzmq, first: str, second: str, first_is_client: bool) -> None:
    converse(Pair(lane, libzmq, first, second, first_is_client=first_is_client))


@by_side
@pytest.mark.parametrize(("first", "second"), PUBLICATIONS)
def test_a_publication(lane: Lane, libzmq: Libzmq, first: str, second: str, first_is_client: bool) -> None:
    publish(Pair(lane, libzmq, first, second, first_is_client=first_is_client))


@by_side
def test_a_pipeline_keeps_all_and_in_order(lane: Lane, libzmq: Libzmq, first_is_client: bool) -> None:
    pair = Pair(lane, libzmq, "PUSH", "PULL", first_is_client=first_is_client)
    for number in range(500):
        pair.first.send_multipart([b"%d" % number, b"", b"x" * number])
    for number in range(500):
        assert pair.second.recv_multipart() == [b"%d" % number, b"", b"x" * number]


@pytest.mark.parametrize("kind", ["REQ", "DEALER", "SUB", "PUSH"])
def test_a_client_of_rust(remote: Lane, libzmq: Libzmq, omq: Omq, kind: str) -> None:
    first, second = {"REQ": ("REQ", "REP"), "DEALER": ("DEALER", "ROUTER"), "SUB": ("XPUB", "SUB")}.get(
        kind, ("PUSH", "PULL")
    )

    ends: Any = SimpleNamespace(bind=libzmq.bind, connect=omq.connect)
    pair = Pair(remote, ends, first, second, first_is_client=kind != "SUB")
    if kind == "SUB":
        publish(pair)
    elif kind == "PUSH":
        pair.say(pair.first, b"job")
        assert pair.hear(pair.second) == [b"job"]
    else:
        converse(pair)


@pytest.mark.parametrize("size", [0, 255, 256, 65_536, 10_000_000])
def test_a_frame_of_any_size_passes_both_ways(lane: Lane, libzmq: Libzmq, size: int) -> None:
    service, client = lane.bind(libzmq, zmq.ROUTER), lane.connect(libzmq, zmq.DEALER)
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    client.send_multipart([body, b"end"])
    name, *there = service.recv_multipart()
    assert there == [body, b"end"]
    service.send_multipart([name, b"begin", body])
    assert client.recv_multipart() == [b"begin", body]


def test_a_router_tells_its_clients_apart(lane: Lane, libzmq: Libzmq) -> None:
    router = lane.bind(libzmq, zmq.ROUTER)
    named = {name: lane.connect(libzmq, zmq.DEALER, identity=name) for name in (b"a", b"b" * 255, b"\xff\x00")}
    nameless = [lane.connect(libzmq, zmq.DEALER, identity=None) for _ in range(2)]
    for sock in [*named.values(), *nameless]:
        sock.send(b"who am I")
    seen = [router.recv_multipart()[0] for _ in range(5)]
    assert set(named) < set(seen)
    for name in seen:
        router.send_multipart([name, name])
    for name, sock in named.items():
        assert sock.recv() == name
    assert {sock.recv() for sock in nameless} == set(seen) - set(named)


def test_heartbeats_of_both_sides_keep_a_silent_session(lane: Lane, libzmq: Libzmq) -> None:
    beat: dict[str, Any] = {"heartbeat_ivl": 100, "heartbeat_timeout": 1000, "heartbeat_ttl": 1000}
    service, client = lane.bind(libzmq, zmq.ROUTER, **beat), lane.connect(libzmq, zmq.DEALER, **beat)
    client.send(b"before")
    assert service.recv_multipart() == [CLIENT, b"before"]
    admitted = lane.metric("curveproxy_handshakes_total", outcome="admitted")
    assert client.poll(2000) == 0  # silence of the application, twice as long as the time-out
    service.send_multipart([CLIENT, b"after"])
    assert client.recv() == b"after"
    assert lane.metric("curveproxy_handshakes_total", outcome="admitted") == admitted


def test_fifty_clients_at_once(lane: Lane, libzmq: Libzmq) -> None:
    service = lane.bind(libzmq, zmq.ROUTER)
    clients = [lane.connect(libzmq, zmq.DEALER, identity=b"%d" % number) for number in range(50)]
    check_each_is_answered(service, clients)


@pytest.mark.parametrize(("before", "behind"), [("PUSH", "PULL"), ("DEALER", "ROUTER"), ("REQ", "REP")])
def test_what_is_sent_before_the_remote_is_there_arrives(lane: Lane, libzmq: Libzmq, before: str, behind: str) -> None:
    """It waits in the client's library, which has no connection yet."""
    client = lane.connect(libzmq, SocketType[before])
    jobs = [b"%d" % number for number in range(1 if before == "REQ" else 100)]
    for job in jobs:
        client.send(job)
    lane.wait_metric("curveproxy_half_open_connections", 1)
    service = lane.bind(libzmq, SocketType[behind])
    assert [service.recv_multipart()[-1] for _ in jobs] == jobs


def test_a_client_finds_its_service_again_after_a_restart(lane: Lane, libzmq: Libzmq) -> None:
    service, client = lane.bind(libzmq, zmq.ROUTER), lane.connect(libzmq, zmq.DEALER)
    client.send(b"one")
    assert service.recv_multipart() == [CLIENT, b"one"]
    service.close(linger=0)
    lane.wait_metric("curveproxy_sessions", 0)
    service = lane.bind(libzmq, zmq.ROUTER)
    client.send(b"two")
    assert service.recv_multipart() == [CLIENT, b"two"]
    service.send_multipart([CLIENT, SERVICE])
    assert client.recv() == SERVICE


@pytest.mark.parametrize("kind", ["REP", "ROUTER", "PUB", "PULL"])
def test_a_server_of_rust(remote: Lane, libzmq: Libzmq, kind: str) -> None:
    with Omq() as omq:
        server = remote.proxy.server
        keys: dict[str, Any] = {"curve_publickey": server.public, "curve_secretkey": server.secret}
        options: dict[str, Any] = {"curve_server": True, **{name: z85.encode(key) for name, key in keys.items()}}
        before = {"REP": zmq.REQ, "ROUTER": zmq.DEALER, "PUB": zmq.SUB, "PULL": zmq.PUSH}[kind]
        service = Libzmq.bind(omq, getattr(pyomq, kind), remote.backend, **options)[0]
        client = remote.connect(libzmq, before)
        if kind == "PUB":
            client.setsockopt(zmq.SUBSCRIBE, b"a")
            while not client.poll(50):
                service.send(b"a")
            assert client.recv() == b"a"
        else:
            client.send(b"hello")
            seen = service.recv_multipart()
            assert seen[-1] == b"hello"
            if kind != "PULL":
                service.send_multipart([*seen[:-1], b"hello yourself"])
                assert client.recv() == b"hello yourself"
