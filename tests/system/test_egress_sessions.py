"""Sessions of an egress: what is relayed, how they end, and what the operator is told of it. All sockets are real."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from support.cases import deep
from support.client import RawClient, RawServer
from support.egress import Egress, Remote, client_of
from support.old import Peer1
from support.peer import Peer, Refused
from support.process import Sidecar, free_port, toml, wait_until
from support.service import RawService, echo

from curveproxy.reasons import EgressOutcome, Invalid
from system.endings import ending

PING = {"X-Curveproxy-Ping": b""}
OUR_PING = (b"PING", bytes(2) + b"curveproxy")


@contextmanager
def standing(
    *, minor: int = 1, socket_type: str = "ROUTER", listen: str = "", **tables: Any
) -> Iterator[tuple[Egress, Remote]]:
    """A running egress, and its remote in the test's hands."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    egress = {**tables.pop("egress", {}), **({"listen": listen} if listen else {})}
    proxy = Egress(endpoint, egress=egress, **tables)
    with Remote(proxy.server, endpoint=endpoint, minor=minor, socket_type=socket_type) as remote, proxy:
        yield proxy, remote


def connected(
    proxy: Egress, remote: Remote, *, identity: bytes = b"", properties: Mapping[str, bytes] | None = None
) -> tuple[Peer, RawServer]:
    """A plain client with a session, and the remote's side of it. properties: what the remote says beside its type."""
    client = client_of(proxy)
    client.properties["Identity"] = identity
    client.greeting()
    client.send_ready()
    server = remote.accept()
    server.properties |= properties or {}
    server.handshake()
    client.recv_ready()
    return client, server


# --- whom the heartbeat asks


@pytest.mark.parametrize(("minor", "properties"), [(1, {}), (0, PING)], ids=["ZMTP 3.1", "curveproxy"])
def test_a_remote_that_has_answered_and_is_silent_is_dead(minor: int, properties: Mapping[str, bytes]) -> None:
    with standing(minor=minor, limits={"heartbeat_seconds": 0.5}) as (proxy, remote):
        client, server = connected(proxy, remote, properties=properties)
        assert "X-Curveproxy-Ping" in server.theirs
        assert "X-Curveproxy-Ping" not in client.theirs
        assert server.recv_command() == OUR_PING  # and PONG is sent
        with ending(proxy, {"heartbeat": 1}):
            assert client.recv_until_closed().octets == b"", "the client is not asked"
        client.close()


def test_what_a_client_asks_is_passed_on_to_another_proxy() -> None:
    with standing(minor=0) as (proxy, remote):
        client, server = connected(proxy, remote, properties=PING)
        client.send_command(b"PING", bytes(2) + b"mine")
        assert server.recv_command() == (b"PING", bytes(2) + b"mine")
        assert client.recv_command() == (b"PONG", b"mine")
        client.close()


def test_an_ingress_asks_an_egress_and_tells_it_that_it_answers() -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint, clients={"heartbeat_seconds": 0.5}) as proxy:
        alice = proxy.new_client("alice")
        proxy.wait_listed(1)
        properties = {"Socket-Type": b"DEALER", **PING}
        with RawClient(proxy.public, proxy.server.public, alice, minor=0, properties=properties) as egress:
            assert "X-Curveproxy-Ping" in egress.handshake().theirs
            assert egress.recv_command() == OUR_PING
            assert egress.ping(b"x") == b"x"
            assert "X-Curveproxy-Ping" not in service.accepted[-1].theirs


# --- how sessions end


@pytest.mark.parametrize(
    ("who", "how", "reason"),
    [
        ("client", "close", "client_closed"),
        deep("client", "reset", "client_reset"),
        deep("remote", "close", "backend_closed"),
        ("remote", "reset", "backend_reset"),
    ],
)
def test_an_end_is_told_by_the_side_that_came_to_it(who: str, how: str, reason: str) -> None:
    with standing() as (proxy, remote):
        client, server = connected(proxy, remote)
        client.send([b"question"])
        assert server.recv() == [b"question"]
        ends, stays = (client, server) if who == "client" else (server, client)
        with ending(proxy, {reason: 1}):
            getattr(ends, how)()
            stays.recv_until_closed()
            stays.close()


def test_what_the_remote_sends_wrong_is_told_with_who_has_sent_it() -> None:
    with standing() as (proxy, remote):
        client, server = connected(proxy, remote)
        server.send([b"whole"])
        assert client.recv() == [b"whole"]
        damaged = bytearray(server.seal(b"damaged"))
        damaged[-1] ^= 1
        with ending(proxy, {"invalid_message": 1}, {"box": 1}):
            server.send_raw(bytes(damaged))
            client.recv_until_closed()
            client.close()
        [line] = [line for line in proxy.log if line["event"] == "invalid message"]
        assert (line["detail"], line["hint"]) == ("from the remote", Invalid.BOX.hint)


def test_what_a_client_sends_wrong_ends_its_session_alone() -> None:
    with standing() as (proxy, remote):
        client, server = connected(proxy, remote)
        other, behind = connected(proxy, remote)
        with ending(proxy, {"invalid_message": 1}, {"framing": 1}):
            client.send_raw(b"\x40\x01x")
            server.recv_until_closed()
            server.close()
            client.close()
        [line] = [line for line in proxy.log if line["event"] == "invalid message"]
        assert "detail" not in line
        other.send([b"still here"])
        assert behind.recv() == [b"still here"]
        other.close()


def test_a_drain_sends_clients_away() -> None:
    with standing() as (proxy, remote):
        client, _ = connected(proxy, remote)
        proxy.signal()
        assert client.recv_until_closed().octets == b""
        client.close()
        assert proxy.wait() == 0
        [line] = [line for line in proxy.log if line["event"] == "session closed"]
        assert line["reason"] == "drained"


# --- who they are


def test_two_clients_may_have_one_identity_which_the_remote_hears() -> None:
    with standing() as (proxy, remote):
        first, one = connected(proxy, remote, identity=b"me")
        second, two = connected(proxy, remote, identity=b"me")
        assert [server.theirs["Identity"] for server in (one, two)] == [b"me", b"me"]
        for client, server in ((first, one), (second, two)):
            client.send([b"mine"])
            assert server.recv() == [b"mine"]
            client.close()


def test_a_user_that_is_taken_out_of_the_list_loses_its_session_and_is_told_of() -> None:
    me, nobody = os.geteuid(), 54321
    path = f"/tmp/curveproxy-test-{os.getpid()}-{free_port()}.sock"
    with standing(listen=f"ipc://{path}", egress={"allow_uids": [me]}) as (proxy, remote):
        client, _ = connected(proxy, remote)
        wait_until(lambda: any(line["event"] == "session opened" for line in proxy.log))
        [line] = [line for line in proxy.log if line["event"] == "session opened"]
        assert line["client"] == f"uid {me}"
        assert proxy.metric("curveproxy_service_info", service="default", direction="egress") == 1
        with ending(proxy, {"revoked": 1}):
            text = proxy.config.read_text()
            proxy.config.write_text(text.replace(f"allow_uids = [{me}]", f"allow_uids = [{nobody}]"))
            proxy.signal(signal.SIGHUP)
            client.recv_until_closed()
            client.close()
        with client_of(proxy) as again:
            again.recv_until_closed()
        wait_until(lambda: any(line["event"] == "client refused" for line in proxy.log))
        [line] = [line for line in proxy.log if line["event"] == "client refused"]
        assert (line["outcome"], line["detail"]) == ("client_unknown", f"uid {me}")
        assert line["hint"] == EgressOutcome.CLIENT_UNKNOWN.hint
        assert "paste" not in proxy.get("/")[1].partition("</style>")[2], "there is no key to put on a list"


# --- clients of libzmq 2.x


def test_of_an_old_publisher_the_remote_is_sent_what_it_subscribes_to() -> None:
    with standing(socket_type="SUB", egress={"client_socket_type": "PUB"}) as (proxy, remote):
        client = client_of(proxy, Peer1)
        assert isinstance(client, Peer1)
        client.send_identity()
        server = remote.accept().handshake()
        client.recv_identity()
        assert server.theirs["Socket-Type"] == b"PUB"
        server.send([b"\1a"])
        assert server.ping() == b"", "answered for the client, which knows no PING"
        client.send([b"banana", b"1"])
        client.send([b"apple", b"2"])
        assert server.recv() == [b"apple", b"2"]
        client.close()


def test_an_old_subscriber_has_all_that_the_remote_publishes() -> None:
    with standing(socket_type="PUB", egress={"client_socket_type": "SUB"}) as (proxy, remote):
        client = client_of(proxy, Peer1)
        assert isinstance(client, Peer1)
        client.send_identity()
        server = remote.accept().handshake()
        client.recv_identity()
        assert server.recv() == [b"\1"]
        server.send([b"banana", b"1"])
        assert client.recv() == [b"banana", b"1"]
        client.close()


# --- what is shown of both directions


def test_a_service_and_an_egress_are_told_apart() -> None:
    remote = f"tcp://127.0.0.1:{free_port()}"
    egress = toml(
        "[[egress]]",
        {
            "name": "out",
            "listen": "tcp://127.0.0.1:0",
            "remote": [remote],
            "server_keys": ["server.key"],
            "secret_key": "alice.key_secret",
        },
    )
    service = {"name": "in", "listen": "tcp://127.0.0.1:0", "backend": remote, "secret_keys": ["server.key_secret"]}
    config = toml("[[service]]", service) + toml("[service.clients]", {"directory": "clients"}) + egress
    with Egress(config=config) as proxy:
        outward, inward = proxy.endpoints["out"], proxy.endpoints["in"]
        with Peer.to(outward) as plain:
            plain.greeting()
            plain.send_ready()
            plain.recv_until_closed()
        with RawClient(inward, proxy.server.public, proxy.keys) as client, pytest.raises((EOFError, Refused, OSError)):
            client.handshake()
        failures = {"connect_refused": 1}
        wait_until(lambda: {reason: count for reason, count in proxy.failures().items() if "_" in reason} == failures)
        assert proxy.metric("curveproxy_backend_failures_total", service="in", reason="refused") == 1
        refused = {"outcome": "backend_unavailable"}
        assert proxy.metric("curveproxy_handshakes_total", service="out", **refused) == 1
        hints = {line["service"]: line["hint"] for line in proxy.log if line["event"] == "client refused"}
        assert hints["out"] == EgressOutcome.BACKEND_UNAVAILABLE.hint
