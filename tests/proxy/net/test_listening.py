"""Listening on addresses, names, paths and sockets that were handed over."""

import fcntl
import socket
import struct
import termios
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import BindError, listen
from curveproxy.proxy.net.sockets import (
    STRANGER_RECEIVE_BUFFER,
)


@pytest.mark.parametrize("who", ["we", "systemd"])
def test_little_is_taken_before_accept_and_the_window_may_grow_after_it(who: str) -> None:
    """The octets that the kernel of the listener has taken are those that a client's kernel holds no more."""
    given = [] if who == "we" else [socket.create_server(("127.0.0.1", 0))]
    port = given[0].getsockname()[1] if given else 0
    listener = listen(Endpoint("tcp", "127.0.0.1", port), handed_over=given).sockets[0]
    with closing(listener), closing(socket.create_connection(listener.getsockname())) as client:
        client.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while sent < 1 << 24:
                sent += client.send(bytes(1 << 16))
        time.sleep(0.1)
        [waiting] = struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))
        assert 4096 < sent - waiting <= 2 * STRANGER_RECEIVE_BUFFER
        scale = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[6] & 0x0F
        assert scale >= 7, "of tcp_rmem's largest, 6 MiB or more"


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BindError, match="in use"):
        listen(Endpoint("tcp", "127.0.0.1", taken.getsockname()[1]))


def test_a_stale_path_is_taken_over_and_a_live_one_is_not(tmp_path: object) -> None:
    endpoint = Endpoint("ipc", f"{tmp_path}/x.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(endpoint.host)
    alive = listen(endpoint)
    with pytest.raises(BindError, match="in use"):
        listen(endpoint)
    alive.close()
    listen(endpoint).close()


def test_an_interface_is_no_host_and_that_is_said() -> None:
    with pytest.raises(BindError, match="the name of a network interface: write its address"):
        listen(Endpoint("tcp", "lo", 0))


def test_a_successor_takes_a_path_over_and_keeps_it(tmp_path: object) -> None:
    endpoint = Endpoint("ipc", f"{tmp_path}/x.sock")
    before = listen(endpoint, reuse_port=True)
    successor = listen(endpoint, reuse_port=True)
    before.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(endpoint.host)
        successor.sockets[0].accept()[0].close()
    successor.close()
    assert not Path(endpoint.host).exists()
