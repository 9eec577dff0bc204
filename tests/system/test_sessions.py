"""What the two sides of a session may say beside messages, and what is too much."""

import pytest
import zmq
from support.client import RawClient, answers
from support.libzmq import Libzmq
from support.peer import Peer
from support.process import Sidecar, wait_until
from support.service import RawService, echo

ANY = {"allow": "any"}


def client_of(proxy: Sidecar, **options: object) -> RawClient:
    """An admitted client."""
    return RawClient(proxy.public, proxy.server.public, **options).handshake()  # type: ignore[arg-type]


def test_unknown_commands_are_dropped_and_counted_and_the_session_goes_on() -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients=ANY) as proxy,
        client_of(proxy) as client,
    ):
        client.send_command(b"FOO", b"bar")
        client.send_command(b"SUBSCRIBE", b"topic")  # not to a ROUTER, which would take it for a message
        assert answers(client)
        assert proxy.metric("curveproxy_invalid_messages_total", reason="command") == 2


@pytest.mark.parametrize("minor", [0, 1])
def test_a_ping_is_answered_by_whoever_knows_how(minor: int) -> None:
    with (
        RawService(echo, minor=minor) as service,
        Sidecar(backend=service.endpoint, clients=ANY) as proxy,
        client_of(proxy) as client,
    ):
        assert client.ping(b"context", ttl=10) == b"context"


def test_what_a_service_sends_over_the_limit_ends_the_session() -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients=ANY, messages={"max_message_bytes": 1000}) as proxy,
    ):

        def talks_too_much(peer: Peer) -> None:
            peer.handshake()
            peer.send([b"x" * 990])
            peer.send([b"x" * 1000])

        service.behaviour = talks_too_much
        with client_of(proxy) as client:
            assert client.recv() == [b"x" * 990]
            assert client.recv_until_closed().octets == b""
        wait_until(lambda: proxy.metric("curveproxy_sessions_closed_total", reason="limit") == 1, "its reason")


def test_subscriptions_are_bounded_and_nothing_else_reaches_a_pub() -> None:
    with Libzmq() as z:
        pub, endpoint = z.bind(zmq.XPUB, xpub_verbose=1)
        with Sidecar(backend=endpoint, clients=ANY) as proxy, client_of(proxy, socket_type="SUB") as client:
            client.send([b"\x01" + b"t" * 4095])
            assert pub.recv() == b"\x01" + b"t" * 4095
            client.send([b"\x01" + b"t" * 4096])
            client.recv_until_closed()
            assert proxy.metric("curveproxy_invalid_messages_total", reason="too_large") == 1
