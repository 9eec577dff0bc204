"""The clients of an egress, of every age: what they hear before the remote is there, and how they are refused.

And what becomes of those that are slow, early, or no clients at all.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import zmq
from attrs import frozen
from support import old, plain_steps, zmtp
from support.cases import deep
from support.client import RawServer
from support.egress import Egress, Remote, client_of
from support.libzmq import Libzmq
from support.old import Peer1, Peer2
from support.peer import Peer
from support.plain_steps import GREETING, READY, signature, version_2
from support.process import free_port, wait_until

from curveproxy.reasons import EgressOutcome

HANDSHAKES = "curveproxy_handshakes_total"


@frozen
class Age:
    """How a client of one age goes through its handshake.

    peer: how it frames; said: its units, each with how many octets are answered to it.
    completes: what the egress says when the remote is there; last: what the client then says before its messages.
    """

    peer: type[Peer]
    said: Sequence[tuple[bytes, int]]
    completes: bytes
    last: bytes = b""
    identity: bytes = b"me"

    def goes_through(self, client: Peer, units: int | None = None) -> None:
        """Say these units, or all that there are before the remote is reached, and hear what is answered to each."""
        for octets, answered in self.said[:units]:
            client.send_raw(octets)
            assert len(client.recv_exactly(answered)) == answered

    @property
    def all_at_once(self) -> bytes:
        return b"".join(octets for octets, _ in self.said) + self.last


THEIRS = {"Socket-Type": b"ROUTER", "Identity": b"them"}
AGES = {
    "1.0": Age(Peer1, [(old.frame1(b"me"), 0)], old.frame1(b"them")),
    "2.0": Age(Peer2, [(signature(), 11), (version_2(), 0)], b"\6\0\4them", zmtp.frame(b""), b""),
    "2.0, named": Age(Peer2, [(signature(3), 11), (version_2(), 1), (zmtp.frame(b"me"), 0)], b"\0\4them"),
    "3.1": Age(
        Peer, [(GREETING[:10], 11), (GREETING[10:11], 0), (GREETING[11:], 53), (READY, 0)], plain_steps.ready(THEIRS)
    ),
}
each_age = pytest.mark.parametrize("age", AGES.values(), ids=AGES)
some_ages = pytest.mark.parametrize("age", [AGES["1.0"], *map(deep, [*AGES.values()][1:3]), AGES["3.1"]], ids=AGES)


@contextmanager
def standing(**limits: Any) -> Iterator[tuple[Egress, Remote]]:
    """A running egress, and its remote in the test's hands."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    proxy = Egress(endpoint, egress={"client_socket_type": "DEALER"}, limits=limits)
    with Remote(proxy.server, endpoint=endpoint) as remote, proxy:
        yield proxy, remote


def has_initiated(remote: Remote) -> RawServer:
    """The next connection of the egress, which waits for READY."""
    server = remote.accept()
    server.properties = dict(THEIRS)
    server.greeting()
    server.hello()
    server.welcome()
    server.initiate()
    return server


def hears_nothing(client: Peer) -> bool:
    client.sock.setblocking(False)
    try:
        return client.sock.recv(1) is None
    except BlockingIOError:
        return True
    finally:
        client.sock.settimeout(20)


# --- clients of every age


@each_age
def test_a_client_is_told_that_it_is_in_when_the_remote_has_said_so(age: Age) -> None:
    with standing() as (proxy, remote), client_of(proxy, age.peer) as client:
        age.goes_through(client)
        server = has_initiated(remote)
        assert server.theirs["Socket-Type"] == b"DEALER"
        assert server.theirs.get("Identity", b"") == age.identity
        assert hears_nothing(client)
        server.ready()
        assert client.recv_exactly(len(age.completes)) == age.completes
        client.send_raw(age.last)
        client.send([b"question", b"and more"])
        assert server.recv() == [b"question", b"and more"]
        server.send([b"answer"])
        assert client.recv() == [b"answer"]


@each_age
def test_nothing_is_lost_of_a_client_that_does_not_wait_for_any_answer(age: Age) -> None:
    messages = [[b"%d" % number, bytes(number)] for number in range(300)]
    with standing() as (proxy, remote), client_of(proxy, age.peer) as client:
        frames = b"".join(client.seal(a, more=True) + client.seal(b) for a, b in messages)
        client.send_raw(age.all_at_once + frames)
        server = has_initiated(remote)
        server.ready()
        assert [server.recv() for _ in messages] == messages


@some_ages
def test_a_client_is_only_closed_when_the_remote_does_not_let_it_in(age: Age) -> None:
    with standing() as (proxy, remote), client_of(proxy, age.peer) as client:
        age.goes_through(client)
        has_initiated(remote).close()
        assert client.recv_until_closed().octets == b""
        proxy.wait_metric(HANDSHAKES, 1, outcome="backend_unavailable")
        assert proxy.failures() == {"ready_closed": 1}


@pytest.mark.parametrize("how", ["close", deep("reset")])
@some_ages
def test_a_client_may_go_at_each_stage(age: Age, how: str) -> None:
    with standing() as (proxy, remote):
        stages = len(age.said)
        for units in range(stages):
            client = client_of(proxy, age.peer)
            age.goes_through(client, units)
            getattr(client, how)()
        with_probe = {"probe": 1, "peer_closed": stages - 1}
        for outcome, number in with_probe.items():
            proxy.wait_metric(HANDSHAKES, number, outcome=outcome)
        client = client_of(proxy, age.peer)
        age.goes_through(client)
        server = has_initiated(remote)
        getattr(client, how)()
        server.ready()
        server.recv_until_closed()
        server.close()
        ended = ("curveproxy_sessions_closed_total", HANDSHAKES)
        wait_until(
            lambda: sum(proxy.metric(name) for name in ended) - proxy.metric(HANDSHAKES, outcome="admitted") > stages,
            "it has an ending",
        )
        proxy.wait_metric("curveproxy_half_open_connections", 0)
        proxy.wait_metric("curveproxy_sessions", 0)


def test_a_request_of_today_s_libzmq_waits_for_a_remote_that_comes_late() -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Libzmq() as libzmq, Egress(endpoint) as proxy:
        client = libzmq.connect(zmq.REQ, proxy.public)
        client.send(b"question")
        proxy.wait_metric(HANDSHAKES, 1, outcome="backend_unavailable")
        server, _ = libzmq.bind(zmq.REP, endpoint, server=proxy.server)
        assert server.recv() == b"question"
        server.send(b"answer")
        assert client.recv() == b"answer"


# --- who is no client


@pytest.mark.parametrize(
    ("said", "outcome", "detail"),
    [
        ([b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], EgressOutcome.NOT_ZMTP, ""),
        deep([b"\x16\x03\x01\x02\x00\x01"], EgressOutcome.NOT_ZMTP, ""),
        ([signature(), b"\2"], EgressOutcome.ZMTP_VERSION, "a version that nobody speaks"),
        ([zmtp.greeting(b"CURVE")], EgressOutcome.MECHANISM, "it offers CURVE"),
        deep([zmtp.greeting(b"PLAIN")], EgressOutcome.MECHANISM, "it offers PLAIN"),
        ([GREETING, zmtp.frame(b"message")], EgressOutcome.COMMAND, "not a command"),
        deep([GREETING, b"\6" + (1 << 62).to_bytes(8, "big") + b"\5READY"], EgressOutcome.METADATA, "too long"),
        deep([GREETING, plain_steps.ready({"Identity": b"\0me"})], EgressOutcome.METADATA, "zero octet"),
        ([b"\xff" + (1 << 62).to_bytes(8, "big") + b"\0"], EgressOutcome.METADATA, "its identity is too long"),
        deep([signature(3), b"\1\x0b"], EgressOutcome.METADATA, "a socket type that ZMTP 2.0 does not know"),
    ],
    ids=lambda value: str(value) if isinstance(value, EgressOutcome) else None,
)
def test_who_is_no_plain_client_is_closed_and_told_of(said: list[bytes], outcome: EgressOutcome, detail: str) -> None:
    with standing() as (proxy, remote), client_of(proxy) as client:
        for octets in said:
            client.send_raw(octets)
        heard = client.recv_until_closed().octets
        assert zmtp.greeting(b"NULL").startswith(heard)
        proxy.wait_metric(HANDSHAKES, 1, outcome=str(outcome))
        [line] = [line for line in proxy.log if line["event"] == "client refused"]
        assert (line["outcome"], line["hint"]) == (outcome, outcome.hint)
        assert detail in line.get("detail", "")
        assert remote.accepted == [], "nobody is dialled for such"


def test_a_client_with_curve_is_told_apart_by_real_libzmq() -> None:
    with standing() as (proxy, _), Libzmq() as libzmq:
        libzmq.connect(zmq.DEALER, proxy.public, server=proxy.server.public, keys=proxy.keys)
        proxy.wait_metric(HANDSHAKES, 1, outcome="mechanism")


def test_a_client_of_1_0_is_refused_where_its_type_is_not_known() -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with Egress(endpoint) as proxy, client_of(proxy, Peer1) as client:
        client.send_raw(old.frame1(b""))
        assert client.recv_until_closed().octets == b""
        proxy.wait_metric(HANDSHAKES, 1, outcome="socket_type")
        [line] = [line for line in proxy.log if line["event"] == "client refused"]
        assert "set client_socket_type" in line["detail"]


# --- a flood


def test_local_connections_that_say_nothing_starve_neither_sessions_nor_newcomers() -> None:
    with standing(max_half_open=4) as (proxy, remote), ExitStack() as stack:
        age = AGES["3.1"]
        client = stack.enter_context(client_of(proxy))
        age.goes_through(client)
        server = has_initiated(remote)
        server.ready()
        client.recv_ready()
        for said in (b"", signature()[:3], signature()) * 7:
            stack.enter_context(client_of(proxy)).send_raw(said)
        wait_until(lambda: proxy.metric(HANDSHAKES, outcome="evicted") >= 17, "the oldest make room")
        client.send([b"question"])
        assert server.recv() == [b"question"]
        newcomer = stack.enter_context(client_of(proxy))
        age.goes_through(newcomer)
        other = has_initiated(remote)
        other.ready()
        newcomer.recv_ready()
        newcomer.send([b"hello"])
        assert other.recv() == [b"hello"]
        assert proxy.metric(HANDSHAKES, outcome="source_limit") == 0
