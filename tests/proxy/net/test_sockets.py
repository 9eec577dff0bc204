"""What Linux says of a socket, and addresses as numbers and as text."""

import os
import socket
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from support.loopback import reset, tcp_pair, unix_pair
from support.process import wait_until

from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import listen
from curveproxy.proxy.net.sockets import (
    HALF_OPEN_RECEIVE_BUFFER,
    KEEPALIVE_IDLE,
    SO_BUF_LOCK,
    accept,
    all_has_arrived,
    configure_public,
    has_ended,
    is_loopback,
    is_readable,
    is_writable,
    nothing_has_come,
    number_of,
    peer_text,
    prepare_backend,
    prepare_half_open,
    prepare_remote,
    prepare_session,
    source_of,
    uid_of,
    was_reset,
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
    assert (source_of((one, 1)) == source_of((other, 2))) is same
    assert source_of(b"") is None


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
        assert peer_text(sock, claimed=(told, 7)) == text


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


def option(sock: socket.SocketType, level: int, name: int) -> int:
    return sock.getsockopt(level, name)


def test_an_accepted_socket_notices_a_peer_that_has_gone_keeps_one_that_takes_nothing_and_sends_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configure_public(listener)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert option(accepted, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert option(accepted, socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert option(accepted, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE
            assert not option(accepted, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def test_what_comes_before_a_handshake_has_a_locked_bound_and_a_session_has_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = accept(listener)
        with closing(accepted):
            prepare_half_open(accepted, HALF_OPEN_RECEIVE_BUFFER)
            assert not accepted.getblocking()
            assert option(accepted, socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * HALF_OPEN_RECEIVE_BUFFER
            assert option(accepted, socket.SOL_SOCKET, SO_BUF_LOCK)
            prepare_session(accepted)
            assert option(accepted, socket.SOL_SOCKET, socket.SO_RCVBUF) > 2 * HALF_OPEN_RECEIVE_BUFFER
            assert not option(accepted, socket.SOL_SOCKET, SO_BUF_LOCK)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_backend_is_dialled_without_waiting(family: int) -> None:
    with closing(prepare_backend(family)) as sock:
        assert not sock.getblocking()
        assert not os.get_blocking(sock.fileno())
        assert not os.get_inheritable(sock.fileno())
        assert sock.family == family
        if family == socket.AF_INET:
            assert option(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not option(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE), "no network is between"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_remote_that_disappears_is_noticed_and_one_that_takes_nothing_is_not_lost(family: int) -> None:
    with closing(prepare_remote(family)) as sock:
        assert not sock.getblocking()
        if family != socket.AF_UNIX:
            assert option(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert option(sock, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE
            assert not option(sock, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def test_it_is_known_whether_a_connection_was_reset() -> None:
    for unread, was in ((b"", False), (b"x", True)):
        one, other = socket.socketpair()
        with one, other:
            one.sendall(unread)
            other.close()
            assert was_reset(one) is was


def test_it_is_known_what_can_be_read_and_written() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        assert not is_readable(other)
        assert is_writable(one)
        one.send(b"x")
        assert is_readable(other)
        with suppress(BlockingIOError):
            while True:
                one.send(bytes(65536))
        assert not is_writable(one)


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_it_is_known_whether_a_peer_has_ended_whatever_is_unread(
    pair: Callable[[], tuple[socket.socket, socket.socket]],
) -> None:
    one, other = pair()
    with one, other:
        other.sendall(b"x")
        assert not has_ended(one)
        other.shutdown(socket.SHUT_WR)
        wait_until(lambda: has_ended(one), "its end has come")
        assert one.recv(2) == b"x"
        assert not has_ended(other)
        reset(one)
        wait_until(lambda: has_ended(other), "it has been reset")


def test_of_a_peer_that_has_gone_its_source_is_known_and_no_port() -> None:
    with socket.socket() as sock:
        for address, text in (("192.0.2.1", "192.0.2.1"), ("2001:db8:0:1::7", "2001:db8:0:1::/64")):
            assert peer_text(sock, source_of((address, 7))) == text
        assert peer_text(sock) == "unknown"
    with socket.socket(socket.AF_UNIX) as sock:
        assert peer_text(sock) == "ipc"
    near, far = unix_pair()
    with near, far:
        assert peer_text(near) == "ipc"


def test_a_socket_that_is_closed_has_no_number() -> None:
    sock = socket.socket()
    sock.close()
    assert number_of(sock) is None


def test_whose_process_has_connected_is_told_of_unix_sockets_alone() -> None:
    near, far = unix_pair()
    with near, far:
        assert uid_of(near) == os.getuid()
    near, far = tcp_pair()
    with near, far:
        assert uid_of(near) is None


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("128.0.0.1", False),
        ("126.255.255.255", False),
        ("fe80::1", False),
        ("2001:db8::1", False),
    ],
)
def test_this_host_is_known_by_its_addresses(host: str, wanted: bool) -> None:
    assert is_loopback(source_of((host, 4242))) is wanted
    assert not is_loopback(None)
