"""Every pair of socket types, both ways round, over every kind of endpoint: the proxy changes nothing of a pattern."""

from typing import Any

import pytest
import zmq
from support.lane import CLIENT, SERVICE, Lane
from support.libzmq import Libzmq, Socket
from support.process import wait_until
from zmq import SocketType

ENDPOINTS = ["tcp", "tcp6", "ipc", "abstract", "tcp to ipc", "ipc to tcp6"]

# Who speaks first, and who answers. (A ROUTER can not begin with a REP: that one tells nobody its identity.)
TALKS = [
    ("REQ", "REP"),
    ("REQ", "ROUTER"),
    ("DEALER", "REP"),
    ("DEALER", "ROUTER"),
    ("DEALER", "DEALER"),
    ("ROUTER", "DEALER"),
    ("ROUTER", "ROUTER"),
    ("PAIR", "PAIR"),
]
PUBLICATIONS = [("PUB", "SUB"), ("PUB", "XSUB"), ("XPUB", "SUB"), ("XPUB", "XSUB")]


class Pair:
    """Two sockets with the proxy between them: the one that speaks or publishes, and the other."""

    def __init__(self, lane: Lane, libzmq: Libzmq, first: str, second: str, *, first_is_client: bool) -> None:
        behind, before = (second, first) if first_is_client else (first, second)

        def options(kind: str) -> dict[str, Any]:
            return {"router_mandatory": True} if kind == "ROUTER" else {}  # who is not there is an error, not silence

        service = lane.bind(libzmq, SocketType[behind], **options(behind))
        client = lane.connect(libzmq, SocketType[before], **options(before))
        self.first, self.second = (client, service) if first_is_client else (service, client)
        self.delimited = bool({first, second} & {"REQ", "REP"})
        self.names = {client: SERVICE, service: CLIENT}  # how each calls the other

    def envelope(self, sock: Socket) -> list[bytes]:
        """What stands before a message, as this socket sends and sees it."""
        own = sock.getsockopt(zmq.TYPE) in (SocketType.REQ, SocketType.REP)
        name = [self.names[sock]] if sock.getsockopt(zmq.TYPE) == SocketType.ROUTER else []
        return name + ([b""] if self.delimited and not own else [])

    def say(self, sock: Socket, *parts: bytes) -> None:
        sock.send_multipart([*self.envelope(sock), *parts])

    def hear(self, sock: Socket) -> list[bytes]:
        parts, envelope = sock.recv_multipart(), self.envelope(sock)
        assert parts[: len(envelope)] == envelope
        return parts[len(envelope) :]

    def meet(self) -> None:
        """Let the first find the other: a ROUTER knows only who has come."""

        def is_there() -> bool:
            try:
                self.say(self.first, b"hello")
            except Exception as error:  # each library has a class of its own
                if getattr(error, "errno", None) != zmq.EHOSTUNREACH:
                    raise
                return False
            return True

        wait_until(is_there, "the other one is there")
        assert self.hear(self.second) == [b"hello"]
        self.say(self.second, b"welcome")
        assert self.hear(self.first) == [b"welcome"]


def converse(pair: Pair) -> None:
    pair.meet()
    for parts in ([b""], [b"a", b"", b"c"], [b"x" * 300, b""]):
        pair.say(pair.first, *parts)
        assert pair.hear(pair.second) == parts
        pair.say(pair.second, *reversed(parts))
        assert pair.hear(pair.first) == parts[::-1]


def publish(pair: Pair) -> None:
    publisher, subscriber = pair.first, pair.second

    def change(topic: bytes, *, wanted: bool) -> None:
        if subscriber.getsockopt(zmq.TYPE) == SocketType.XSUB:
            subscriber.send(bytes([wanted]) + topic)
        else:
            subscriber.setsockopt(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, topic)
        if publisher.getsockopt(zmq.TYPE) == SocketType.XPUB:
            # A socket that is bound takes notice of who came only when it is called.
            wait_until(lambda: subscriber.poll(0) or publisher.poll(20), "the subscription arrives")
            assert publisher.recv() == bytes([wanted]) + topic  # as a service that counts its subscribers sees it

    def arrives(*parts: bytes) -> bool:
        publisher.send_multipart(parts)
        return bool(subscriber.poll(50))

    change(b"a", wanted=True)
    wait_until(lambda: arrives(b"a", b"", b"one"), "the first subscription works")
    assert subscriber.recv_multipart() == [b"a", b"", b"one"]
    change(b"a", wanted=False)
    change(b"b", wanted=True)
    wait_until(lambda: arrives(b"b"), "the second subscription works, and so the first is gone")
    publisher.send(b"a2")
    publisher.send(b"b2")
    heard = [subscriber.recv()]
    while heard[-1] != b"b2":
        heard.append(subscriber.recv())
    assert b"a2" not in heard


@pytest.mark.parametrize("first_is_client", [True, False], ids=["client first", "service first"])
@pytest.mark.parametrize(("first", "second"), TALKS)
def test_a_conversation(tcp: Lane, libzmq: Libzmq, first: str, second: str, first_is_client: bool) -> None:
    converse(Pair(tcp, libzmq, first, second, first_is_client=first_is_client))


@pytest.mark.parametrize("first_is_client", [True, False], ids=["client publishes", "service publishes"])
@pytest.mark.parametrize(("first", "second"), PUBLICATIONS)
def test_a_publication(tcp: Lane, libzmq: Libzmq, first: str, second: str, first_is_client: bool) -> None:
    publish(Pair(tcp, libzmq, first, second, first_is_client=first_is_client))


@pytest.mark.parametrize("first_is_client", [True, False], ids=["client pushes", "service pushes"])
def test_a_pipeline_keeps_all_and_in_order(tcp: Lane, libzmq: Libzmq, first_is_client: bool) -> None:
    pair = Pair(tcp, libzmq, "PUSH", "PULL", first_is_client=first_is_client)
    for number in range(500):
        pair.first.send_multipart([b"%d" % number, b"", b"x" * number])
    for number in range(500):
        assert pair.second.recv_multipart() == [b"%d" % number, b"", b"x" * number]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_kind_of_endpoint(lanes: dict[str, Lane], libzmq: Libzmq, endpoint: str) -> None:
    converse(Pair(lanes[endpoint], libzmq, "DEALER", "ROUTER", first_is_client=True))


@pytest.mark.parametrize("endpoint", ENDPOINTS[1:])
def test_every_kind_of_endpoint_publishes(lanes: dict[str, Lane], libzmq: Libzmq, endpoint: str) -> None:
    publish(Pair(lanes[endpoint], libzmq, "XPUB", "SUB", first_is_client=False))


def test_services_of_one_process_do_not_mix(lanes: dict[str, Lane], libzmq: Libzmq) -> None:
    pairs = {name: Pair(lanes[name], libzmq, "REQ", "REP", first_is_client=True) for name in ENDPOINTS}
    before = {name: lanes[name].metric("curveproxy_messages_total", direction="in") for name in ENDPOINTS}
    for name, pair in pairs.items():
        pair.say(pair.first, name.encode())
    for name, pair in pairs.items():
        assert pair.hear(pair.second) == [name.encode()]
    for name in ENDPOINTS:
        lanes[name].wait_metric("curveproxy_messages_total", before[name] + 1, direction="in")


def test_a_router_tells_its_clients_apart(tcp: Lane, libzmq: Libzmq) -> None:
    router = tcp.bind(libzmq, zmq.ROUTER)
    named = {name: tcp.connect(libzmq, zmq.DEALER, identity=name) for name in (b"a", b"b" * 255, b"\xff\x00")}
    nameless = [tcp.connect(libzmq, zmq.DEALER, identity=None) for _ in range(2)]
    for sock in [*named.values(), *nameless]:
        sock.send(b"who am I")
    seen = [router.recv_multipart()[0] for _ in range(5)]
    assert len(set(seen)) == 5
    assert set(named) < set(seen)
    for name, sock in named.items():
        router.send_multipart([name, name])
        assert sock.recv() == name
    given = set(seen) - set(named)
    assert {len(name) for name in given} == {5}  # libzmq's own: a zero octet and a number
    for name in given:
        router.send_multipart([name, name])
    assert {sock.recv() for sock in nameless} == given
