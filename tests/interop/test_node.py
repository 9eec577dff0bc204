"""Node.js before the proxy and behind it: another binding, another libzmq, and the draft types that pyzmq lacks.

The patterns are tried before an ingress, before an egress, and with both between client and service.
"""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import zmq
from interop.node.peer import Node, NodeSocket, installed
from support import egress
from support.client import RawClient
from support.curve import Keys
from support.egress import BothEnds, EgressLane
from support.lane import Lane
from support.libzmq import Libzmq
from support.peer import Peer
from support.process import Sidecar, free_port, wait_until
from support.service import RawService, echo
from zmq import SocketType

pytestmark = pytest.mark.node

KINDS = {  # as pyzmq has it -> as the package has it
    "REQ": "Request",
    "REP": "Reply",
    "DEALER": "Dealer",
    "ROUTER": "Router",
    "PUSH": "Push",
    "PULL": "Pull",
    "PUB": "Publisher",
    "SUB": "Subscriber",
    "XPUB": "XPublisher",
    "XSUB": "XSubscriber",
    "PAIR": "Pair",
}
NAMED = {"REQ", "REP", "DEALER", "ROUTER"}
SIZES = [0, 1, 255, 256, 8192, 1 << 20]
FIRST, SECOND = b"the first", b"the second"  # the identities of who speaks first and who answers

# Who speaks first, who answers, and what stands before a message as each of them sends and sees it.
TALKS: list[tuple[str, str, list[bytes], list[bytes]]] = [
    ("REQ", "REP", [], []),
    ("REQ", "ROUTER", [], [FIRST, b""]),
    ("DEALER", "REP", [b""], []),
    ("DEALER", "ROUTER", [], [FIRST]),
    ("DEALER", "DEALER", [], []),
    ("PAIR", "PAIR", [], []),
]

by_side = pytest.mark.parametrize("first_is_client", [True, False], ids=["client first", "service first"])
by_place = pytest.mark.parametrize(("before", "behind"), [("node", "pyzmq"), ("pyzmq", "node")])


class Socket(Protocol):
    """What a socket of either library can do."""

    def send_multipart(self, parts: list[bytes], /) -> object: ...
    def recv_multipart(self) -> list[bytes]: ...
    def poll(self, milliseconds: int, /) -> object: ...


class Ends:
    """Makes clients and services of either library, with the proxy between them."""

    def __init__(self, lane: Lane, libzmq: Libzmq, node: Node) -> None:
        self.lane, self.libzmq, self.node = lane, libzmq, node

    def service(self, whose: str, kind: str, identity: bytes = SECOND) -> Socket:
        """A plain one behind the proxy."""
        if whose == "pyzmq":
            return self.lane.bind(self.libzmq, SocketType[kind], identity=identity)
        server = self.lane.proxy.server if isinstance(self.lane, EgressLane) else None
        return self.node.bind(KINDS.get(kind, kind), self.lane.backend, server=server, **routing_id(kind, identity))

    def client(self, whose: str, kind: str, identity: bytes = FIRST) -> Socket:
        """One that is on the list."""
        if whose == "pyzmq":
            return self.lane.connect(self.libzmq, SocketType[kind], identity=identity)
        return connect(self.node, self.lane, KINDS.get(kind, kind), **routing_id(kind, identity))

    def pair(
        self, before: str, behind: str, first: str, second: str, *, first_is_client: bool
    ) -> tuple[Socket, Socket]:
        """The first and the second, one of them the client."""
        if first_is_client:
            service = self.service(behind, second, SECOND)
            return self.client(before, first, FIRST), service
        return self.service(behind, first, FIRST), self.client(before, second, SECOND)


def routing_id(kind: str, identity: bytes) -> dict[str, str]:
    return {"routingId": identity.decode()} if kind in NAMED else {}


def connect(node: Node, lane: Lane, kind: str, **options: Any) -> NodeSocket:
    """A client under Node.js that knows the server's key and has a listed one, unless options say otherwise.

    A plain one where an egress speaks CURVE for it.
    """
    if isinstance(lane, EgressLane | BothEnds):
        return node.connect(kind, lane.public, **options)
    keys: dict[str, Any] = {"server": lane.proxy.server.public, "keys": lane.keys}
    return node.connect(kind, lane.public, **keys | options)


@pytest.fixture(scope="module")
def modules() -> Path:
    return installed()


@pytest.fixture
def node(modules: Path) -> Iterator[Node]:
    with Node(modules) as node:
        yield node


@pytest.fixture(scope="module")
def behind_egress() -> Iterator[Lane]:
    with egress.lanes({"egress": {}}) as lanes:
        yield lanes["egress"]


@pytest.fixture(scope="module")
def both() -> Iterator[Lane]:
    with egress.both_ends({"egress": {}}, {"egress": {}}) as lanes:
        yield lanes["egress"]


@pytest.fixture(params=["tcp", "behind_egress", "both"], ids=["ingress", "egress", "both ends"])
def ends(request: pytest.FixtureRequest, libzmq: Libzmq, node: Node) -> Ends:
    return Ends(request.getfixturevalue(request.param), libzmq, node)


# --- every pattern


@by_side
@by_place
@pytest.mark.parametrize(("first", "second", "sent", "seen"), TALKS, ids=[f"{talk[0]} {talk[1]}" for talk in TALKS])
def test_a_conversation(
    ends: Ends,
    first: str,
    second: str,
    sent: list[bytes],
    seen: list[bytes],
    before: str,
    behind: str,
    first_is_client: bool,
) -> None:
    one, other = ends.pair(before, behind, first, second, first_is_client=first_is_client)
    for parts in ([b"hello"], [b""], [b"a", b"", b"c"], [b"x" * 300, b""]):
        one.send_multipart([*sent, *parts])
        assert other.recv_multipart() == [*seen, *parts]
        other.send_multipart([*seen, *parts, b"too"])
        assert one.recv_multipart() == [*sent, *parts, b"too"]


@pytest.mark.parametrize(("before", "behind"), [("node", "pyzmq"), ("pyzmq", "node"), ("node", "node")])
def test_a_message_of_any_size_passes_both_ways(ends: Ends, before: str, behind: str) -> None:
    client, service = ends.pair(before, behind, "DEALER", "ROUTER", first_is_client=True)
    bodies = [(bytes(range(251)) * (size // 251 + 1))[:size] for size in SIZES]
    for parts in [*([body] for body in bodies), bodies, bodies[::-1]]:
        client.send_multipart(parts)
        assert service.recv_multipart() == [FIRST, *parts]
        service.send_multipart([FIRST, *parts])
        assert client.recv_multipart() == parts


@by_side
@by_place
def test_a_pipeline_keeps_all_and_in_order(ends: Ends, before: str, behind: str, first_is_client: bool) -> None:
    push, pull = ends.pair(before, behind, "PUSH", "PULL", first_is_client=first_is_client)
    messages = [[b"%d" % number, b"", b"x" * number * 10] for number in range(50)]
    for message in messages:
        push.send_multipart(message)
    assert [pull.recv_multipart() for _ in messages] == messages


@by_side
@by_place
@pytest.mark.parametrize(("first", "second"), [("PUB", "SUB"), ("XPUB", "XSUB")])
def test_a_publication(ends: Ends, first: str, second: str, before: str, behind: str, first_is_client: bool) -> None:
    publisher, subscriber = ends.pair(before, behind, first, second, first_is_client=first_is_client)

    def arrives(*parts: bytes) -> bool:
        publisher.poll(0)  # a bound one takes notice of who came only when it is called
        publisher.send_multipart([*parts])
        return bool(subscriber.poll(50))

    change(subscriber, b"a", wanted=True)
    wait_until(lambda: arrives(b"a", b"", b"one"), "the first subscription works")
    assert subscriber.recv_multipart() == [b"a", b"", b"one"]
    change(subscriber, b"a", wanted=False)
    change(subscriber, b"b", wanted=True)
    wait_until(lambda: arrives(b"b"), "the second subscription works, and so the first is gone")
    publisher.send_multipart([b"a2"])
    publisher.send_multipart([b"b2"])
    heard = [subscriber.recv_multipart()]
    while heard[-1] != [b"b2"]:
        heard.append(subscriber.recv_multipart())
    assert [b"a2"] not in heard
    if first == "XPUB":
        assert [publisher.recv_multipart() for _ in range(3)] == [[b"\1a"], [b"\0a"], [b"\1b"]]


def change(subscriber: Socket, topic: bytes, *, wanted: bool) -> None:
    """Subscribe or unsubscribe, each type in its own way."""
    if isinstance(subscriber, NodeSocket):
        if subscriber.kind == "Subscriber":
            subscriber.call("subscribe" if wanted else "unsubscribe", topic)
            return
    elif isinstance(subscriber, zmq.Socket) and subscriber.type == SocketType.SUB:
        subscriber.setsockopt(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, topic)
        return
    subscriber.send_multipart([bytes([wanted]) + topic])


# --- the draft types, which only Node.js has on both sides


@by_side
def test_a_server_answers_the_client_that_asked(ends: Ends, first_is_client: bool) -> None:
    client, server = draft(ends, "Client", "Server", first_is_client)
    for body in (b"one", b"", b"x" * 300):
        client.send_multipart([body])
        there, sender = server.recv_multipart()
        assert there == body
        server.send_multipart([body + b" too"], **sender)
        assert client.recv_multipart() == [body + b" too"]


@by_side
def test_what_is_scattered_is_gathered(ends: Ends, first_is_client: bool) -> None:
    scatter, gather = draft(ends, "Scatter", "Gather", first_is_client)
    messages = [[b"x" * number * 10] for number in range(50)]
    for message in messages:
        scatter.send_multipart(message)
    assert [gather.recv_multipart() for _ in messages] == messages


@by_side
def test_a_dish_hears_the_groups_it_has_joined(ends: Ends, first_is_client: bool) -> None:
    radio, dish = draft(ends, "Radio", "Dish", first_is_client)

    def arrives(group: str) -> bool:
        radio.send_multipart([b"to " + group.encode()], group=group)
        return dish.poll(50)

    dish.call("join", "a")
    wait_until(lambda: arrives("a"), "the first group is joined")
    assert dish.recv_multipart() == [b"to a", {"group": b"a"}]
    dish.call("leave", "a")
    dish.call("join", "b")
    wait_until(lambda: arrives("b"), "the second group is joined, and so the first is left")
    radio.send_multipart([b"to nobody"], group="a")
    radio.send_multipart([b"the last"], group="b")
    heard = [dish.recv_multipart()]
    while heard[-1] != [b"the last", {"group": b"b"}]:
        heard.append(dish.recv_multipart())
    assert b"to nobody" not in [body for body, _ in heard]


def test_a_radio_is_told_what_its_dish_joins_and_leaves(tcp: Lane, node: Node) -> None:
    with RawService(endpoint=tcp.backend, socket_type="RADIO") as service:
        dish = connect(node, tcp, "Dish")
        with service.accept().handshake() as radio:
            dish.call("join", "news", "sport")
            dish.call("leave", "news")
            commands = [radio.recv_command() for _ in range(3)]
    assert commands == [(b"JOIN", b"news"), (b"JOIN", b"sport"), (b"LEAVE", b"news")]


def draft(ends: Ends, first: str, second: str, first_is_client: bool) -> tuple[NodeSocket, NodeSocket]:
    one, other = ends.pair("node", "node", first, second, first_is_client=first_is_client)
    assert isinstance(one, NodeSocket)
    assert isinstance(other, NodeSocket)
    return one, other


# --- metadata


def test_the_properties_of_a_client_reach_the_service(tcp: Lane, node: Node) -> None:
    said = {"X-Colour": "green", "X-Curve-Key": "root", "X-Peer-Address": "10.0.0.1:1"}
    with RawService(endpoint=tcp.backend) as service:
        connect(node, tcp, "Dealer", routingId="me", metadata=said)
        with service.accept().handshake() as peer:
            properties = peer.theirs
    assert properties == {"Socket-Type": b"DEALER", "Identity": b"me", "X-Colour": b"green"}


def test_an_application_reads_the_properties_of_its_client(tcp: Lane, libzmq: Libzmq, node: Node) -> None:
    service = tcp.bind(libzmq, zmq.PULL)
    connect(node, tcp, "Push", metadata={"X-Colour": "green"}).send_multipart([b"hello"])
    [frame] = service.recv_multipart(copy=False)
    assert (frame.bytes, frame.get("X-Colour"), frame.get("Socket-Type")) == (b"hello", "green", "PUSH")


def test_the_properties_of_a_service_reach_the_client(tcp: Lane, node: Node) -> None:
    node.bind("Router", tcp.backend, metadata={"X-Colour": "green"})
    with RawClient(tcp.public, tcp.proxy.server.public, tcp.keys) as client:
        client.handshake()
        assert client.theirs == {"Socket-Type": b"ROUTER", "Identity": b"", "X-Colour": b"green"}


# --- who is refused, and how Node.js hears of it

REFUSED: dict[str, tuple[dict[str, Any], str, tuple[str, int | None]]] = {
    "another server's key": ({"server": Keys.new().public}, "hello_box", ("disconnect", None)),
    "a key not listed": ({"keys": Keys.new()}, "client_unknown", ("handshake:error:auth", 400)),
    "a type that does not fit": ({"kind": "Subscriber"}, "socket_type", ("handshake:error:auth", 400)),
    "no CURVE": ({"server": None}, "mechanism", ("disconnect", None)),
}


@pytest.mark.parametrize(("options", "outcome", "told"), REFUSED.values(), ids=REFUSED)
def test_who_is_refused_hears_of_it_and_is_counted(
    lanes: dict[str, Lane],
    libzmq: Libzmq,
    node: Node,
    options: dict[str, Any],
    outcome: str,
    told: tuple[str, int | None],
) -> None:
    tcp = lanes["named"]  # it has never had a service that a subscriber fits: the refusal of one is final
    tcp.bind(libzmq, zmq.ROUTER)
    before = tcp.metric("curveproxy_handshakes_total", outcome=outcome)
    once: dict[str, Any] = {"kind": "Dealer", "reconnectInterval": -1}
    client = connect(node, tcp, **once | options)
    tcp.wait_metric("curveproxy_handshakes_total", before + 1, outcome=outcome)
    wait_until(lambda: told in client.events(), f"the client hears {told}")
    assert "handshake" not in dict(client.events())


# --- heartbeats

# Twelve heartbeats take longer than a client waits for the answer to one.
BEAT: dict[str, Any] = {"heartbeatInterval": 50, "heartbeatTimeout": 500, "heartbeatTimeToLive": 1000}


@pytest.mark.parametrize("minor", [0, 1])
def test_heartbeats_are_answered_by_the_service_or_for_it(tcp: Lane, node: Node, minor: int) -> None:
    with RawService(endpoint=tcp.backend, minor=minor) as service:
        client = connect(node, tcp, "Dealer", **BEAT)
        with service.accept().handshake() as peer:
            if minor:
                assert [peer.recv_command() for _ in range(12)] == [(b"PING", b"\0\x0a")] * 12
            else:
                silence = client.poll(1500)  # three times as long as the client waits for an answer
                assert not silence
            client.send_multipart([b"still here"])
            assert peer.recv() == [b"still here"]
            assert not peer.commands or minor
            assert "disconnect" not in dict(client.events())


def test_a_service_that_answers_no_heartbeat_is_left(tcp: Lane, node: Node) -> None:
    def answers_nothing(peer: Peer) -> None:
        peer.pongs = False
        peer.handshake()
        peer.recv()

    closed = tcp.metric("curveproxy_sessions_closed_total", reason="client_closed")
    with RawService(answers_nothing, endpoint=tcp.backend, minor=1):
        client = connect(node, tcp, "Dealer", reconnectInterval=-1, **BEAT)
        wait_until(lambda: "disconnect" in dict(client.events()), "the client leaves")
        assert "handshake" in dict(client.events())
        tcp.wait_metric("curveproxy_sessions_closed_total", closed + 1, reason="client_closed")


def test_the_heartbeats_of_a_service_reach_its_client(tcp: Lane, node: Node) -> None:
    service = node.bind("Router", tcp.backend, **BEAT)
    with RawClient(tcp.public, tcp.proxy.server.public, tcp.keys, identity=FIRST) as client:
        client.handshake()
        assert [client.recv_command() for _ in range(12)] == [(b"PING", b"\0\x0a")] * 12
        client.send([b"still here"])
        assert service.recv_multipart() == [FIRST, b"still here"]
        assert "disconnect" not in dict(service.events())


# --- another proxy in the place of the first


class Successor(Sidecar):
    """A proxy with the address and the key of another."""

    def __init__(self, first: Sidecar, backend: str) -> None:
        super().__init__(backend=backend, listen=first.public, clients={"allow": "any"})
        for name in ("server.key", "server.key_secret"):
            shutil.copy(first.directory / name, self.directory)
        self.server, self.server_key = first.server, first.server_key


def test_a_client_goes_on_with_the_next_proxy_while_the_first_still_drains(node: Node) -> None:
    listen = f"tcp://127.0.0.1:{free_port()}"
    with (
        RawService(echo) as service,
        Sidecar(
            backend=service.endpoint, listen=listen, clients={"allow": "any"}, process={"drain_seconds": 60}
        ) as first,
    ):
        client = node.connect("Dealer", listen, server=first.server.public)
        client.send_multipart([b"one"])
        assert client.recv_multipart() == [b"one"]
        first.signal()
        wait_until(lambda: any(line["event"] == "draining" for line in first.log), "it drains")
        with Successor(first, service.endpoint) as second:
            client.send_multipart([b"two"])  # the session that it has is served as long as it lasts
            assert client.recv_multipart() == [b"two"]
            assert second.metric("curveproxy_sessions") == 0
            first.signal()
            assert first.wait() == 1
            client.send_multipart([b"three"])
            assert client.recv_multipart() == [b"three"]
            assert second.metric("curveproxy_sessions") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_comes_again_after_a_restart_has_its_subscriptions(node: Node, libzmq: Libzmq, number: int) -> None:
    listen = f"tcp://127.0.0.1:{free_port()}"
    publisher, backend = libzmq.bind(zmq.XPUB)
    with Sidecar(backend=backend, listen=listen, clients={"allow": "any"}, process={"drain_seconds": 0.1}) as first:
        client = node.connect("Subscriber", listen, server=first.server.public)
        client.call("subscribe", "news")
        assert publisher.recv() == b"\1news"
        first.signal(number)
        first.wait()
        assert publisher.recv() == b"\0news"
        with Successor(first, backend):
            # a socket subscribes again only when it is called
            wait_until(lambda: client.poll(0) or publisher.poll(20), "the subscription arrives")
            assert publisher.recv() == b"\1news"
            publisher.send_multipart([b"news", b"are good"])
            assert client.recv_multipart() == [b"news", b"are good"]
            names = [name for name, _ in client.events()]
            assert names.count("handshake") == 2
