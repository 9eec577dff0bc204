"""What Linux says of a socket, and addresses as numbers and as text."""

import socket

import pytest

from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import listen
from curveproxy.proxy.net.sockets import (
    all_has_arrived,
    nothing_has_come,
    number_of,
    peer_text,
    source_of,
)


def test_every_socket_has_a_number_of_its_own() -> None:
    for family in (socket.AF_INET, socket.AF_UNIX):
        with socket.socket(family) as one, socket.socket(family) as other:
            assert number_of(one)
            assert number_of(one) == number_of(one) != number_of(other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_a_source_is_an_address_or_a_network(one: str, other: str, same: bool) -> None:
    with socket.socket() as sock:
        assert (source_of(sock, (one, 1)) == source_of(sock, (other, 2))) is same
    with socket.socket(socket.AF_UNIX) as sock:
        assert source_of(sock, b"") is None


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("192.0.2.1", "192.0.2.1:7"),
        ("::ffff:192.0.2.1", "192.0.2.1:7"),
        ("::ffff:1:2:3", "[::ffff:1:2:3]:7"),
        ("2001:db8::1", "[2001:db8::1]:7"),
    ],
)
def test_an_address_for_the_log(told: str, text: str) -> None:
    with socket.socket() as sock:
        assert peer_text(sock, told=(told, 7)) == text


def test_an_ipv4_client_of_a_listener_for_both_is_told_as_what_it_is() -> None:
    listener = listen(Endpoint.parse("tcp://*:0"))
    with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as client:
        accepted, _ = listener.sockets[0].accept()
        with accepted:
            assert peer_text(accepted) == f"127.0.0.1:{client.getsockname()[1]}"
    listener.close()


def test_what_is_on_its_way_is_known() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert all_has_arrived(one)
        one.send(b"x")
        assert not all_has_arrived(one)
        assert not nothing_has_come(other)
        other.recv(1)
        assert all_has_arrived(one)
        assert nothing_has_come(other)
