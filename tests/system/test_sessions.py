"""What the two sides of a session may say beside messages, and what is too much."""

import json

import pytest
import zmq
from support.client import RawClient, answers
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import Peer
from support.process import Sidecar, free_port, wait_until
from support.service import RawService, echo
from support.zmtp import MORE

from curveproxy.proxy.net.sockets import all_has_arrived, is_readable

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


@pytest.mark.parametrize("on_invalid", ["disconnect", "drop"])
def test_what_other_libraries_do_differently_is_served(on_invalid: str) -> None:
    """OMQ for Ruby numbers INITIATE like HELLO; OMQ for Rust and zmq4 for Go repeat MORE in the outer flags."""
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients=ANY, messages={"on_invalid": on_invalid}) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.greeting()
        client.hello()
        client.welcome()
        first = client.last
        client.initiate(nonce=first)
        client.last = first
        client.ready()
        for _ in range(2):
            client.send_raw(client.seal(b"first", more=True, outer=MORE) + client.seal(b"second"))
            assert client.recv() == [b"first", b"second"]
        assert proxy.metric("curveproxy_invalid_messages_total") == 0


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


def takes_until_the_end_is_known(service: Peer, part: bytes, left: int, client: RawClient) -> int:
    """Take no more of a client's messages than it needs for its end to get to the proxy. Returns how many are left.

    The end comes behind them, and how many there is room for on the way is the system's to say.
    """

    def is_known() -> bool:
        nonlocal left
        if all_has_arrived(client.sock):
            return True
        if left > 1:
            assert service.recv() == [part]
            left -= 1
        return False

    wait_until(is_known, "the proxy has the client's end")
    return left


@pytest.mark.parametrize("workers", [1, 3])
def test_a_client_that_has_closed_and_comes_again_loses_nothing_that_it_said_before(workers: int) -> None:
    """And the service is told its identity again only once it has heard of the end."""
    keys, part = Keys.new(), b"x" * 100_000
    with (
        RawService() as service,
        Sidecar(
            backend=service.endpoint,
            listen=f"tcp://127.0.0.1:{free_port()}",
            clients=ANY,
            process={"workers": workers},
        ) as proxy,
    ):
        options = {"keys": keys, "identity": b"worker-1"}
        with RawClient(proxy.public, proxy.server.public, **options) as first:  # type: ignore[arg-type]
            first.begin()
            busy = service.accept()
            busy.handshake()
            first.ready()
            for _ in range(30):
                first.send([part])
            first.finish()
            left = takes_until_the_end_is_known(busy, part, 30, first)
            with RawClient(proxy.public, proxy.server.public, **options) as second:  # type: ignore[arg-type]
                second.begin()
                proxy.wait_metric("curveproxy_half_open_connections", 1)
                for _ in range(left):
                    assert busy.recv() == [part]
                with pytest.raises(EOFError):
                    busy.recv()
                assert not is_readable(service.listener), "it is not dialled while the service knows it"
                busy.close()
                after = service.accept()
                after.handshake()
                second.ready()
                second.send([b"second life"])
                assert after.recv() == [b"second life"]
        assert proxy.metric("curveproxy_sessions_closed_total", reason="replaced") == 0


def test_two_hosts_that_replace_each_other_for_ever_are_told_of() -> None:
    keys = Keys.new()
    with RawService(echo) as service, Sidecar(backend=service.endpoint, clients=ANY) as proxy:
        held = client_of(proxy, keys=keys, identity=b"me")
        for _ in range(4):
            newer = client_of(proxy, keys=keys, identity=b"me")
            held.recv_until_closed()
            held.close()
            held = newer
        assert answers(held)
        held.close()
        [line] = [line for line in proxy.log if line["event"] == "clients replace each other"]
        assert "another host" in line["hint"]
        assert line["client"]
        troubles = json.loads(proxy.get("/api/status")[1])["troubles"]
        assert [trouble["word"] for trouble in troubles if "replace each other" in trouble["what"]] == ["replaced"]
