"""The remotes of an egress: which is used, how often one is tried, and in which words it is told what is wrong."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import zmq
from support import zmtp
from support.baseline import baseline
from support.client import CurvePeer, RawServer
from support.curve import Keys
from support.egress import FAILURES, Egress, Remote, is_silent, local, rig, table
from support.libzmq import Libzmq
from support.local import Client, Client1, Client2
from support.peer import Peer, connect
from support.process import Sidecar, free_port, wait_until
from support.service import Behaviour, RawService, closes_at_once, echo, silent
from support.zap import Zap
from support.zmtp import COMMAND, MORE
from zmq.utils import z85

from curveproxy.reasons import ClientFailure

pytestmark = pytest.mark.deep

each = pytest.mark.parametrize("kind", [Client1, Client2, Client], ids=["1.0", "2.0", "3.0"])


def port() -> str:
    """An endpoint on which nobody listens yet."""
    return f"tcp://127.0.0.1:{free_port()}"


def told(proxy: Sidecar, name: str = "default") -> list[tuple[str, str]]:
    """Reason and detail of each line about a remote that could not be used; each has its hint."""
    lines = [line for line in proxy.log if line["event"] == "backend failed" and line["service"] == name]
    for line in lines:
        assert line["hint"] == ClientFailure(line["reason"]).hint
    return [(line["reason"], line.get("detail", "")) for line in lines]


def is_served(proxy: Sidecar, kind: type[Client] = Client) -> bool:
    """Whether a client gets in and has its answer from a remote that echoes."""
    with local(proxy, kind) as client:
        client.handshake()
        client.send([b"hello"])
        return client.recv() == [b"hello"]


def is_turned_away(proxy: Sidecar, kind: type[Client] = Client) -> None:
    """A client says all that it has to say, and is closed without an answer to its handshake."""
    with local(proxy, kind) as client:
        client.begin()
        client.recv_until_closed()


# --- what is wrong with a remote


def steps(*names: str, then: Callable[[Any], object] = Peer.hold) -> Behaviour:
    """A CURVE server that takes these steps of a handshake, then does that."""

    def behaviour(peer: Peer) -> None:
        for name in names:
            getattr(peer, name)()
        then(peer)

    return behaviour


def says(octets: bytes) -> Behaviour:
    """Says this, whatever it hears, and closes once it has heard something."""

    def behaviour(peer: Peer) -> None:
        peer.send_raw(octets)
        peer.sock.recv(1000)

    return behaviour


def ready(**options: Any) -> Behaviour:
    """A CURVE server with another READY."""
    return steps("greeting", "hello", "welcome", "initiate", then=lambda peer: (peer.ready(**options), peer.hold()))


def large_ready(peer: RawServer) -> None:
    peer.send_raw(zmtp.frame(zmtp.command(b"READY", bytes(20)), COMMAND, size=1 << 62))
    peer.hold()


def flagged_ready(peer: RawServer) -> None:
    peer.send_raw(zmtp.frame(zmtp.command(b"READY", bytes(60)), COMMAND | MORE))
    peer.hold()


def error(status: bytes) -> Callable[[RawServer], None]:
    def say(peer: RawServer) -> None:
        peer.send_frame(zmtp.error(status))
        peer.hold()

    return say


TYPE = {"Socket-Type": b"ROUTER"}
GREETED, WELCOMED = ("greeting",), ("greeting", "hello", "welcome", "initiate")
BROKEN: dict[str, tuple[Behaviour, str]] = {
    "closes at once": (closes_at_once, "greeting_closed"),
    "is silent": (silent, "greeting_timeout"),
    "speaks HTTP": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not_zmtp"),
    "speaks ZMTP 1.0": (says(b"\1\0"), "zmtp_version"),
    "speaks ZMTP 2.0": (says(zmtp.greeting(version=(1, 5))[:12]), "zmtp_version"),
    "offers NULL": (says(zmtp.greeting(b"NULL")), "mechanism"),
    "closes after the greeting": (steps(*GREETED, then=lambda peer: None), "welcome_closed"),
    "is silent after the greeting": (steps(*GREETED), "welcome_timeout"),
    "says HELLO": (steps(*GREETED, then=lambda peer: peer.send_frame(b"\5HELLO" + bytes(194))), "role"),
    "spoils WELCOME": (
        steps("greeting", "hello", then=lambda peer: (peer.send_frame(b"\7WELCOME" + bytes(160)), peer.hold())),
        "welcome",
    ),
    "sends READY for WELCOME": (
        steps("greeting", "hello", then=lambda peer: (peer.send_frame(b"\5READY" + bytes(60)), peer.hold())),
        "command",
    ),
    "resets after HELLO": (steps("greeting", "hello", then=Peer.reset), "welcome_closed"),
    "closes after INITIATE": (steps(*WELCOMED, then=lambda peer: None), "ready_closed"),
    "resets after INITIATE": (steps(*WELCOMED, then=Peer.reset), "ready_closed"),
    "is silent after INITIATE": (steps(*WELCOMED), "ready_timeout"),
    "refuses with 400": (steps(*WELCOMED, then=error(b"400")), "refused"),
    "cuts READY's metadata": (ready(metadata=zmtp.metadata(TYPE)[:-1]), "ready"),
    "names its identity with a zero": (ready(metadata=zmtp.metadata({**TYPE, "Identity": b"\0x"})), "ready"),
    "says a type that does not fit": (ready(metadata=zmtp.metadata({"Socket-Type": b"PUB"})), "socket_type"),
    "claims READY of 2^62": (steps(*WELCOMED, then=large_ready), "ready"),
    "sends READY with MORE": (steps(*WELCOMED, then=flagged_ready), "command"),
}


@pytest.fixture(scope="module")
def broken() -> Iterator[Egress]:
    """An egress before each of them."""
    with ExitStack() as stack:
        remotes = {name: stack.enter_context(Remote(Keys.new(), does)) for name, (does, _) in BROKEN.items()}
        config = "".join(table(name, remote.endpoint, connect_seconds=0.5) for name, remote in remotes.items())
        proxy = Egress(config=config)
        for remote in remotes.values():
            remote.keys = proxy.server
            stack.callback(remote.errors.clear)  # a connection that is given up is no fault of its server
        yield stack.enter_context(proxy)


@pytest.mark.parametrize("name", BROKEN)
def test_a_remote_that_is_broken_has_its_word_and_leaves_nothing(broken: Egress, name: str) -> None:
    with baseline(broken), Client(connect(broken.endpoints[name])) as client:
        client.begin()
        client.recv_until_closed()
    _, reason = BROKEN[name]
    assert broken.metric(FAILURES, service=name, reason=reason) == broken.metric(FAILURES, service=name) > 0
    assert told(broken, name)[0][0] == reason


@each
def test_nobody_listens(kind: type[Client]) -> None:
    with Egress(port(), egress={"client_socket_type": "DEALER"}) as proxy:
        is_turned_away(proxy, kind)
        assert set(proxy.failures()) == {"connect_refused"}


def test_a_name_that_does_not_resolve() -> None:
    with Egress("tcp://no-such-host.invalid:5556") as proxy:
        is_turned_away(proxy)
        assert set(proxy.failures()) <= {"resolve", "resolve_timeout"}


# --- real servers


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN"])
def test_a_libzmq_service_without_curve(libzmq: Libzmq, mechanism: str) -> None:
    """It leaves without a word when it sees our mechanism; asked again, it tells its own."""
    options: dict[str, Any] = {"plain_server": True} if mechanism == "PLAIN" else {}
    _, endpoint = libzmq.bind(zmq.ROUTER, **options)
    with Egress(endpoint) as proxy:
        is_turned_away(proxy)
        assert told(proxy) == [("mechanism", f"it offers {mechanism}")]


def test_a_libzmq_server_with_another_key(libzmq: Libzmq) -> None:
    _, endpoint = libzmq.bind(zmq.ROUTER, server=Keys.new())
    with Egress(endpoint) as proxy:
        is_turned_away(proxy)
        assert set(proxy.failures()) == {"welcome_closed"}


ZAP = {"400": "refused", "500": "refused", "300": "ready_timeout", "": "ready_timeout"}


@pytest.mark.parametrize("word", ZAP)
def test_a_zap_handler_that_does_not_let_us_in(libzmq: Libzmq, word: str) -> None:
    """libzmq says nothing of a 300. A client comes again, and is let in once the handler has changed its mind."""
    endpoint, status, reason = port(), word.encode(), ZAP[word]
    with Egress(endpoint, egress={"connect_seconds": 1}) as proxy, Zap(libzmq.context, status) as zap:
        service, _ = libzmq.bind(zmq.REP, endpoint, server=proxy.server, zap_domain=b"orders")
        client = libzmq.connect(zmq.REQ, proxy.public, reconnect_ivl=50)
        client.send(b"hello")
        wait_until(proxy.failures, "it is refused")
        assert set(proxy.failures()) == {reason}
        if reason == "refused":
            assert any(status.decode() in detail for _, detail in told(proxy))
        assert set(zap.keys) == {proxy.keys.public}
        zap.status = b"200"
        assert service.recv() == b"hello"
        service.send(b"hello yourself")
        assert client.recv() == b"hello yourself"


# --- which of several


@contextmanager
def two(first: Behaviour | None, **egress: object) -> Iterator[tuple[Egress, list[Peer], list[Peer]]]:
    """An egress whose first remote is such, or nobody, and whose second echoes; and who came to each."""
    places = [port(), port()]
    proxy = Egress(*places, egress={"connect_seconds": 0.5, **egress})
    with ExitStack() as stack:
        came: list[Peer] = []
        if first is not None:
            remote = stack.enter_context(Remote(proxy.server, first, endpoint=places[0]))
            stack.callback(remote.errors.clear)
            came = remote.accepted
        second = stack.enter_context(Remote(proxy.server, echo, endpoint=places[1]))
        yield stack.enter_context(proxy), came, second.accepted


PASSING = {
    "is not there": None,
    "is silent": silent,
    "is silent after the greeting": steps(*GREETED),
    "is silent after INITIATE": steps(*WELCOMED),
    "closes at once": closes_at_once,
    "has another key": steps(*GREETED, then=lambda peer: None),
    "closes after INITIATE": steps(*WELCOMED, then=lambda peer: None),
    "says 300": steps(*WELCOMED, then=error(b"300")),
    "says 500": steps(*WELCOMED, then=error(b"500")),
}


@pytest.mark.parametrize("name", PASSING)
def test_the_next_remote_is_tried_when_the_first(name: str) -> None:
    with two(PASSING[name]) as (proxy, _, second):
        with baseline(proxy):
            assert is_served(proxy)
        assert len(second) == 1


def test_a_remote_that_refuses_for_good_is_the_end() -> None:
    with two(steps(*WELCOMED, then=error(b"400"))) as (proxy, first, second):
        is_turned_away(proxy)
        assert (len(first), len(second)) == (1, 0)
        assert set(proxy.failures()) == {"refused"}


def test_the_first_remote_is_used_while_it_is_there() -> None:
    with two(echo) as (proxy, first, second):
        for _ in range(3):
            assert is_served(proxy)
        assert (len(first), len(second)) == (3, 0)


def test_each_of_the_server_keys_is_tried_and_the_one_that_worked_first(libzmq: Libzmq) -> None:
    endpoint, others = port(), [Keys.new(), Keys.new()]
    keys = [*(z85.encode(other.public).decode() for other in others), "server.key"]
    with Egress(endpoint, egress={"server_keys": keys}) as proxy:
        service, _ = libzmq.bind(zmq.ROUTER, endpoint, server=proxy.server)
        with service.get_monitor_socket(zmq.EVENT_ACCEPTED) as monitor:

            def connections() -> int:
                count = 0
                while monitor.poll(100):
                    monitor.recv_multipart()
                    count += 1
                return count

            for expected in (3, 1, 1):
                with local(proxy, Client) as client:
                    client.handshake()
                    client.send([b"hello"])
                    assert service.recv_multipart()[1:] == [b"hello"]
                assert connections() == expected
            service.disable_monitor()


# --- names


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_a_remote_is_found_at_whichever_address_of_its_name(hosts: list[str], address: str) -> None:
    place = f"{address}:{free_port()}"
    proxy = Egress(f"tcp://{place}".replace(address, "both"), launcher=hosts)
    with Remote(proxy.server, echo, endpoint=f"tcp://{place}"), proxy:
        for _ in range(2):
            assert is_served(proxy)
        assert proxy.failures() == {}


def test_an_address_that_does_not_answer_leaves_time_for_the_next(hosts: list[str]) -> None:
    """A listener whose backlog is full lets a dial wait, as a firewall does."""
    number = free_port()
    proxy = Egress(f"tcp://both:{number}", launcher=hosts)
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket(socket.AF_INET6))
        deaf.bind(("::1", number))
        deaf.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(socket.AF_INET6))
            waiting.setblocking(False)
            waiting.connect_ex(("::1", number))
        stack.enter_context(Remote(proxy.server, echo, endpoint=f"tcp://127.0.0.1:{number}"))
        stack.enter_context(proxy)
        for _ in range(2):
            assert is_served(proxy)
        assert proxy.failures() == {}


# --- a remote that is down


def test_a_remote_that_is_down_costs_no_try_for_each_client(libzmq: Libzmq) -> None:
    """Fifty clients come again and again; all are served when it is back."""
    endpoint = port()
    with Egress(endpoint) as proxy:
        with RawService(closes_at_once, endpoint=endpoint) as down:
            clients = [libzmq.connect(zmq.DEALER, proxy.public, identity=b"%d" % number) for number in range(50)]
            for client in clients:
                client.send(b"hello")
            wait_until(proxy.failures, "it has been tried")
            proxy.wait_metric("curveproxy_half_open_connections", 50)
            tried = len(down.accepted)  # all who came before it was known to be down
            wait_until(lambda: len(down.accepted) >= tried + 2, "it is tried again")
            assert len(down.accepted) < tried + 25
        service, _ = libzmq.bind(zmq.ROUTER, endpoint, server=proxy.server)
        for _ in clients:
            service.send_multipart(service.recv_multipart())
        assert [client.recv() for client in clients] == [b"hello"] * 50


@pytest.mark.parametrize("kind", [Client1, Client2, Client])
def test_who_waits_for_a_remote_that_is_down_has_nothing_taken(kind: type[Client]) -> None:
    with Egress(endpoint := port(), egress={"client_socket_type": "DEALER"}) as proxy:
        is_turned_away(proxy, kind)  # and it is down from now on
        with local(proxy, kind) as client:
            client.say_first()
            assert is_silent(client, 0.3)
            with Remote(proxy.server, echo, endpoint=endpoint):
                client.go_on()
                client.complete().send([b"hello"])
                assert client.recv() == [b"hello"]


def test_a_type_that_does_not_fit_does_not_make_the_remote_down() -> None:
    with rig(echo) as (proxy, _):
        with local(proxy, Client, socket_type="SUB") as client:
            client.begin()
            client.recv_until_closed()
        assert set(proxy.failures()) == {"socket_type"}
        assert proxy.ready()
        assert is_served(proxy)


def test_sessions_are_not_harmed_by_what_befalls_others() -> None:
    """One remote, which lets the first in and is silent to all others."""
    came = threading.Event()

    def behaviour(peer: Peer) -> None:
        assert isinstance(peer, CurvePeer)
        if came.is_set():
            peer.hold()
        else:
            came.set()
            echo(peer)

    with rig(behaviour, egress={"connect_seconds": 0.5}) as (proxy, _), local(proxy, Client) as inside:
        inside.handshake()
        for _ in range(3):
            with local(proxy, Client) as other:
                other.send_greeting()
                inside.send([b"hello"])
                assert inside.recv() == [b"hello"]
