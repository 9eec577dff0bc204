"""An egress: plain clients of every age before it, and what of theirs reaches a CURVE server."""

from collections.abc import Iterator

import pytest
import zmq
from support import zmtp
from support.baseline import baseline
from support.cases import deep, some_deep
from support.egress import Egress, Remote, is_silent, local, rig, session
from support.libzmq import Libzmq
from support.local import Client, Client1, Client2
from support.process import free_port, wait_until
from support.service import echo

from system.endings import ending

Rig = tuple[Egress, Remote]

MIB = 1 << 20
SIZES = [0, 1, 253, 254, 255, 256, 65_536, MIB, 3 * MIB]
each = pytest.mark.parametrize("kind", [Client1, Client2, Client], ids=["1.0", "2.0", "3.0"])


@pytest.fixture(scope="module")
def stage() -> Iterator[Rig]:
    """One whose remote is played by the test, for those who leave it as it was."""
    with rig() as found:
        yield found


@pytest.fixture(scope="module")
def echoing() -> Iterator[Rig]:
    """One whose remote echoes."""
    with rig(echo) as found:
        yield found


@pytest.fixture(scope="module")
def dropping() -> Iterator[Rig]:
    """The same, which drops what is invalid."""
    with rig(echo, messages={"on_invalid": "drop"}) as found:
        yield found


# --- messages


@each
@pytest.mark.parametrize("which", some_deep(["echoing", "dropping"], {"echoing"}))
def test_frames_of_any_size_in_any_framing(kind: type[Client], which: str, request: pytest.FixtureRequest) -> None:
    proxy, _ = request.getfixturevalue(which)
    with local(proxy, kind, timeout=60) as client:
        client.handshake()
        for message in ([bytes([size % 251]) * size] for size in SIZES):
            client.send(message)
            assert client.recv() == message
        parts = [b"x" * size for size in SIZES[:-1]]
        client.send(parts)
        assert client.recv() == parts


@each
def test_a_handshake_is_completed_only_when_the_remote_is_there(stage: Rig, kind: type[Client]) -> None:
    proxy, remote = stage
    with local(proxy, kind) as client:
        client.begin()
        with remote.accept() as behind:
            for step in (behind.greeting, behind.hello, behind.welcome, behind.initiate):
                assert is_silent(client)
                step()
            assert is_silent(client)
            behind.ready()
            client.complete()
            client.send([b"hello"])
            assert behind.recv() == [b"hello"]


@pytest.mark.parametrize("flags", [0x00, 0x7E], ids=["libzmq 2.0 and 2.2", "libzmq 2.1"])
def test_what_an_old_client_says_early_waits_and_arrives_once(flags: int) -> None:
    jobs = [[b"%d" % number, b"x" * number] for number in range(300)]
    with rig(client_socket_type="PUSH") as (proxy, remote), local(proxy, Client1) as client:
        client.flags = flags
        client.send_identity()
        for job in jobs:
            client.send(job)
        with remote.accept() as behind:
            behind.properties["Socket-Type"] = b"PULL"
            behind.handshake()
            assert behind.theirs["Socket-Type"] == b"PUSH"
            assert [behind.recv() for _ in jobs] == jobs
        assert client.complete().theirs == {"Identity": b""}


@pytest.mark.parametrize("kind", [Client2, Client], ids=["2.0", "3.0"])
def test_what_others_say_early_waits_and_arrives_once(stage: Rig, kind: type[Client]) -> None:
    """A client may send behind its own handshake; libzmq does not."""
    proxy, remote = stage
    with local(proxy, kind, identity=b"me") as client:
        client.begin()
        client.send([b"early"])
        with remote.accept() as behind:
            behind.handshake()
            assert behind.recv() == [b"early"]
            behind.send([b"late"])
            client.complete()
            assert client.recv() == [b"late"]


@each
def test_octet_by_octet(echoing: Rig, kind: type[Client]) -> None:
    class Slow(kind):  # type: ignore[misc, valid-type]
        def send_raw(self, octets: bytes) -> None:
            for octet in octets:
                super().send_raw(bytes([octet]))

    with local(echoing[0], Slow) as client:
        client.handshake()
        client.send([b"a", b"", b"c"])
        assert client.recv() == [b"a", b"", b"c"]


# --- who they are


@pytest.mark.parametrize("identity", [b"", b"me", b"i" * 255], ids=["nameless", "named", "of 255 octets"])
@each
def test_identities_pass_both_ways(stage: Rig, kind: type[Client], identity: bytes) -> None:
    proxy, remote = stage
    with local(proxy, kind, identity=identity) as client:
        client.begin()
        with remote.accept() as behind:
            behind.properties["Identity"] = b"the service"
            behind.handshake()
            assert behind.theirs.get("Identity", b"") == identity
            assert behind.theirs["Socket-Type"] == b"DEALER"
            assert client.complete().theirs["Identity"] == b"the service"


def test_properties_pass_both_ways_and_only_what_is_between_proxies_is_added(stage: Rig) -> None:
    said = {"Socket-Type": b"DEALER", "Identity": b"me", "Resource": b"orders", "X-Colour": b"green"}
    answer = {"Socket-Type": b"ROUTER", "Identity": b"", "X-Own": b"yes"}
    proxy, remote = stage
    with local(proxy, Client, properties=said) as client:
        client.begin()
        with remote.accept() as behind:
            behind.properties = answer
            behind.handshake()
            assert behind.client == proxy.keys.public
            ours = {"X-Curveproxy-Records", "X-Curveproxy-Ping"}
            assert {name: value for name, value in behind.theirs.items() if name not in ours} == said
            assert ours <= behind.theirs.keys()
            assert client.complete().theirs == answer


# --- patterns


@pytest.mark.parametrize("kind", [Client1, Client2], ids=["1.0", "2.0"])
def test_an_old_subscriber_hears_what_it_wants(kind: type[Client]) -> None:
    """One of ZMTP 1.0 tells nobody its subscriptions: it is sent all, and chooses itself."""
    with rig(client_socket_type="SUB") as (proxy, remote), local(proxy, kind, socket_type="SUB") as client:
        client.begin()
        with remote.accept() as behind:
            behind.properties["Socket-Type"] = b"PUB"
            behind.handshake()
            client.complete()
            if kind is Client2:
                client.send([b"\1a"])
            assert behind.recv() == [b"\1" if kind is Client1 else b"\1a"]
            behind.send([b"a", b"1"])
            assert client.recv() == [b"a", b"1"]


def test_an_old_publisher_is_sent_no_subscriptions_and_its_subscriber_no_more_than_it_wants() -> None:
    with rig(client_socket_type="PUB") as (proxy, remote), local(proxy, Client1) as client:
        client.begin()
        with remote.accept() as behind:
            behind.properties["Socket-Type"] = b"SUB"
            behind.handshake()
            client.complete()
            behind.send([b"\1a"])

            def heard() -> bool:
                for topic in (b"b", b"a"):
                    client.send([topic])
                return not is_silent(behind, 0.02)

            wait_until(heard, "the subscription is known")
            assert behind.recv() == [b"a"]
            assert is_silent(client)


def test_subscriptions_by_command_reach_the_remote() -> None:
    with (
        rig(minor=1, remote_type="PUB") as (proxy, remote),
        session(proxy, remote, socket_type="SUB", minor=1) as (client, behind),
    ):
        client.send_command(b"SUBSCRIBE", b"a")
        client.send([b"\1b"])
        while len(behind.commands) + len(behind.messages) < 2:
            behind.advance()
        told = {b"\1" + data for _, data in behind.commands} | {parts[0] for parts in behind.messages}
        assert told == {b"\1a", b"\1b"}


def test_no_job_is_lost_when_the_remote_comes_late(libzmq: Libzmq) -> None:
    endpoint, jobs = f"tcp://127.0.0.1:{free_port()}", [b"%d" % number for number in range(2000)]
    with Egress(endpoint) as proxy:
        pushers = [libzmq.connect(zmq.PUSH, proxy.public, sndhwm=0) for _ in range(3)]
        for number, job in enumerate(jobs):
            pushers[number % 3].send(job)
        wait_until(proxy.failures, "it has been tried in vain")
        pull, _ = libzmq.bind(zmq.PULL, endpoint, server=proxy.server, rcvhwm=0)
        assert sorted(pull.recv() for _ in jobs) == sorted(jobs)
        assert not pull.poll(100)


def test_a_request_is_answered(libzmq: Libzmq) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Egress(endpoint) as proxy:
        service, _ = libzmq.bind(zmq.REP, endpoint, server=proxy.server)
        clients = [libzmq.connect(zmq.REQ, proxy.public) for _ in range(3)]
        for number in range(30):
            for client in clients:
                client.send(b"%d" % number)
            for _ in clients:
                service.send(service.recv())
            assert [client.recv() for client in clients] == [b"%d" % number] * 3


def test_over_a_unix_socket(libzmq: Libzmq) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    proxy = Egress(endpoint, egress={"listen": "ipc://front.sock"})
    with proxy:
        service, _ = libzmq.bind(zmq.REP, endpoint, server=proxy.server)
        client = libzmq.connect(zmq.REQ, f"ipc://{proxy.directory}/front.sock")
        client.send(b"hello")
        service.send(service.recv())
        assert client.recv() == b"hello"


# --- heartbeats


@pytest.mark.parametrize("minor", [0, 1])
def test_a_ping_is_answered_by_whoever_knows_how(minor: int) -> None:
    with rig(minor=minor) as (proxy, remote), session(proxy, remote, minor=1) as (client, behind):
        client.send_raw(client.seal(zmtp.ping(b"context"), command=True))
        if minor:
            assert behind.recv_command() == (b"PING", b"\0\0context")
        assert client.recv_command() == (b"PONG", b"context")


def test_the_heartbeat_asks_the_remote_for_that_side_crosses_the_network() -> None:
    with (
        rig(minor=1, limits={"heartbeat_seconds": 0.2}) as (proxy, remote),
        session(proxy, remote, minor=1) as (client, behind),
        ending(proxy, {"heartbeat": 1}),
    ):
        assert behind.recv_command()[0] == b"PING"  # answered, so that the next may be awaited
        assert behind.recv_command()[0] == b"PING"
        assert is_silent(client)
        behind.pongs = False
        assert client.recv_until_closed().octets == b""


def test_a_remote_that_answers_keeps_its_session() -> None:
    with (
        rig(minor=1, limits={"heartbeat_seconds": 0.2}) as (proxy, remote),
        session(proxy, remote, minor=1) as (client, behind),
    ):
        for _ in range(8):
            assert behind.recv_command()[0] == b"PING"
        client.send([b"hello"])
        assert behind.recv() == [b"hello"]


# --- clients that an egress can not serve


REFUSED = [  # what one says, the outcome, words of the detail
    (zmtp.greeting(b"CURVE"), "mechanism", "CURVE"),
    deep(zmtp.greeting(b"PLAIN"), "mechanism", "PLAIN"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", ""),
    deep(zmtp.greeting(b"NULL") + zmtp.frame(b"hello"), "", ""),
]


@pytest.mark.parametrize(("octets", "outcome", "detail"), REFUSED, ids=["CURVE", "PLAIN", "HTTP", "a message first"])
def test_who_does_not_speak_plain_zmtp_is_refused_with_a_word(octets: bytes, outcome: str, detail: str) -> None:
    with rig(client_socket_type="") as (proxy, _), baseline(proxy), local(proxy, Client) as client:
        client.send_raw(octets)
        client.recv_until_closed()
        [line] = [line for line in proxy.log if line["event"] == "handshake failed" or "outcome" in line]
        assert detail in str(line)
        if outcome:
            assert proxy.metric("curveproxy_handshakes_total", outcome=outcome) == 1


def test_a_client_of_zmtp_1_is_told_to_be_configured() -> None:
    with rig(client_socket_type="") as (proxy, _), local(proxy, Client1) as client:
        client.begin()
        client.recv_until_closed()
        assert proxy.metric("curveproxy_handshakes_total", outcome="socket_type") == 1
        assert any("client_socket_type" in str(line) for line in proxy.log)


def test_an_egress_never_speaks_first(stage: Rig) -> None:
    with local(stage[0], Client) as client:
        assert is_silent(client)
