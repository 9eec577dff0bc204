"""What clients of old libraries say before they have heard what, on which the listening side of an egress builds.

The library connects to a bare socket of ours, and has a message to send.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.peer import OldLibrary
from support import old, zmtp
from support.egress import Egress
from support.libzmq import Libzmq
from support.peer import Peer
from support.plain_steps import signature
from support.process import free_port, wait_until

ONE, TWO = [
    [pytest.param(name, marks=pytest.mark.java if name == matrix.JEROMQ else pytest.mark.old) for name in names]
    for names in (["2.0.10", "2.1.11", "2.2.0"], ["3.2.2", matrix.JEROMQ])
]
FOUR = [pytest.param(name, marks=pytest.mark.old) for name in ("4.1.6", "4.3.5")]
QUIET = 0.3  # for so long nothing comes: what is to be seen is that it does not


@contextmanager
def client(name: str, endpoint: str, kind: int, identity: bytes) -> Iterator[OldLibrary]:
    """A client of this library, with a message that it wants to send."""
    try:
        command = matrix.command(name)
    except UnavailableError as error:
        pytest.skip(str(error))
    with OldLibrary(command) as library:
        sock = library.socket(kind)
        if identity:
            sock.setsockopt(zmq.IDENTITY, identity)
        library.ask("connect", sock.number, endpoint)
        with suppress(zmq.Again):  # some queue nothing for who is not there yet
            library.ask("send", sock.number, 1000, b"hello")
        yield library


def conversation(name: str, identity: bytes, said: Sequence[bytes]) -> list[bytes]:
    """What a DEALER says first, and then to each of these."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.settimeout(20)
        with client(name, endpoint, zmq.DEALER, identity), Peer(listener.accept()[0]) as peer:
            heard = [heard_by(peer)]
            for octets in said:
                peer.send_raw(octets)
                heard.append(heard_by(peer))
            return heard


def heard_by(peer: Peer) -> bytes:
    octets = b""
    peer.sock.settimeout(QUIET)
    with suppress(TimeoutError):
        while True:
            octets += (came := peer.sock.recv(1000))
            assert came, "it has closed"
    return octets


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("identity", [b"", b"me"], ids=len)
def test_a_client_of_1_0_sends_no_message_before_our_identity(name: str, identity: bytes) -> None:
    first, then = conversation(name, identity, [old.frame1(b"")])
    assert (first[:1], first[2:]) == (old.frame1(identity)[:1], identity)
    assert (first[1] & 1, then[2:]) == (0, b"hello")


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("identity", [b"", b"me"], ids=len)
def test_a_client_of_2_0_tells_whether_it_has_an_identity_and_sends_it_with_messages_behind_our_type(
    name: str, identity: bytes
) -> None:
    heard = conversation(name, identity, [zmtp.greeting()[:11], b"\6", b"\0\0"])
    assert heard == [signature(len(identity) + 1), b"\1\5", zmtp.frame(identity) + zmtp.frame(b"hello"), b""]


@pytest.mark.parametrize("name", FOUR)
def test_a_client_of_3_x_sends_no_message_before_our_ready(name: str) -> None:
    greeting = zmtp.greeting(b"NULL")
    first, major, rest, nothing = conversation(name, b"", [greeting[:10], greeting[10:11], greeting[11:]])
    assert (first[:1], len(first), major) == (b"\xff", 10, b"\3")
    assert rest[1:5] == b"NULL"
    assert nothing.startswith(b"\4"), "READY, and no message"
    assert b"hello" not in nothing


@pytest.mark.parametrize("name", [*ONE, *TWO, *FOUR])
def test_a_request_is_not_lost_while_a_remote_closes_and_is_answered_when_it_does_not(name: str) -> None:
    port = free_port()
    endpoint = f"tcp://127.0.0.1:{port}"
    with (
        Egress(endpoint, egress={"client_socket_type": "REQ"}) as proxy,
        Libzmq() as libzmq,
        socket.create_server(("127.0.0.1", port)) as broken,
        client(name, proxy.public, zmq.REQ, b""),
    ):
        broken.settimeout(20)
        broken.accept()[0].close()
        wait_until(lambda: proxy.metric("curveproxy_handshakes_total", outcome="backend_unavailable") > 0)
        broken.close()
        server, _ = libzmq.bind(zmq.REP, endpoint, server=proxy.server)
        assert server.recv() == b"hello"
