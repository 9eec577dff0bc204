"""Listening on addresses, names, paths and sockets that were handed over."""

import errno
import fcntl
import os
import socket
import stat
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from support.process import free_port, wait_until

from curveproxy.proxy.net import listening
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import BindError, ListeningSocket, listen, listen_together, try_to_bind
from curveproxy.proxy.net.sockets import (
    HALF_OPEN_RECEIVE_BUFFER,
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

        def taken() -> int:
            [waiting] = struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))
            return sent - int(waiting)

        wait_until(lambda: taken() > 4096, "it has taken something")
        time.sleep(0.1)  # in which it would take more
        assert taken() <= 2 * HALF_OPEN_RECEIVE_BUFFER
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


def named(*addresses: str) -> Callable[..., list[Any]]:
    """A resolver that knows these addresses for any name."""
    return lambda _, port, **__: [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]


def fails(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_a_name_is_listened_on_at_all_its_addresses_with_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", named("127.0.0.1", "127.0.0.2", "127.0.0.1"))
    found = listen(Endpoint("tcp", "some.host", 0))
    assert found.addresses == [f"{host}:{found.endpoint.port}" for host in ("127.0.0.1", "127.0.0.2")]
    assert found.endpoint.host == "some.host"
    assert not any(sock.getblocking() for sock in found.sockets)
    found.close()


def test_an_address_that_this_machine_does_not_have_is_left_out_unless_it_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", named("192.0.2.1", "127.0.0.1"))
    found = listen(Endpoint("tcp", "some.host", 0))
    assert found.addresses == [f"127.0.0.1:{found.endpoint.port}"]
    found.close()
    monkeypatch.setattr(socket, "getaddrinfo", named("192.0.2.1"))
    with pytest.raises(BindError, match="no interface of this machine has that address"):
        listen(Endpoint("tcp", "some.host", 0))


def test_when_one_address_is_taken_the_others_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", port := free_port())):
        monkeypatch.setattr(socket, "getaddrinfo", named("127.0.0.1", "127.0.0.2"))
        with pytest.raises(BindError, match="in use") as caught:
            listen(Endpoint("tcp", "some.host", port))
        assert (caught.value.number, caught.value.endpoint.port) == (errno.EADDRINUSE, port)
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("error", [socket.gaierror(), UnicodeError()])
def test_a_name_that_does_not_resolve_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", fails(error))
    for attempt in (listen, try_to_bind):
        with pytest.raises(BindError, match=r"listen on tcp://some\.host:0: the host name does not resolve") as caught:
            attempt(Endpoint("tcp", "some.host", 0))
        assert caught.value.number is None


def test_a_directory_that_is_missing_is_told_and_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    with pytest.raises(BindError, match="the directory does not exist"):
        listen(Endpoint("ipc", f"{tmp_path}/missing/x.sock"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BindError, match="in use"):
        listen(Endpoint("ipc", f"{tmp_path}/file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_the_abstract_namespace_has_no_path_to_clear() -> None:
    endpoint = Endpoint("ipc", "@curveproxy-test-listening")
    found = listen(endpoint)
    assert found.addresses == ["@curveproxy-test-listening"]
    with pytest.raises(BindError, match="in use"):
        listen(endpoint)
    found.close()
    listen(endpoint).close()


def test_a_socket_that_was_handed_over_is_taken_for_its_own_endpoint_and_stays_open(tmp_path: Path) -> None:
    path = f"{tmp_path}/x.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        given, port = [tcp, unix], tcp.getsockname()[1]
        for endpoint, own in ((Endpoint("tcp", "127.0.0.1", port), tcp), (Endpoint("ipc", path), unix)):
            found = listen(endpoint, handed_over=given)
            assert found.handed_over
            assert list(found.sockets) == [own]
            found.close()
            assert own.fileno() != -1
        with pytest.raises(BindError, match="in use"):
            listen(Endpoint("tcp", "*", port), handed_over=given)  # that is another endpoint


def test_a_socket_for_everywhere_is_the_endpoint_with_a_star() -> None:
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        endpoint = Endpoint("tcp", "*", everywhere.getsockname()[1])
        assert listen(endpoint, handed_over=[everywhere]).handed_over


def mode_of(endpoint: Endpoint) -> int:
    return stat.S_IMODE(Path(endpoint.host).lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda umask: f"umask {umask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What it takes away from new files."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_path_has_its_mode_before_anybody_can_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int, replaced: bool
) -> None:
    """It is made with no more, and it listens with no less."""
    endpoint, seen = Endpoint("ipc", f"{tmp_path}/x.sock"), list[int]()
    before = [listen(endpoint, mode=0o640)] if replaced else []

    class Watched(socket.socket):
        def look(self) -> None:
            seen.append(stat.S_IMODE(Path(self.getsockname()).lstat().st_mode))

        def bind(self, address: Any) -> None:
            super().bind(address)
            self.look()

        def listen(self, backlog: int = 0) -> None:
            self.look()
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Watched)
    found = listen(endpoint, reuse_port=True, mode=mode)
    assert seen == [mode & ~umask, mode]
    assert mode_of(endpoint) == found.mode == mode
    found.close()
    for former in before:
        former.close()


def test_without_a_mode_the_umask_decides(tmp_path: Path, umask: int) -> None:
    found = listen(Endpoint("ipc", f"{tmp_path}/x.sock"))
    assert mode_of(found.endpoint) == 0o777 & ~umask
    found.close()


def test_a_mode_is_changed_and_changed_back(tmp_path: Path) -> None:
    found = listen(Endpoint("ipc", f"{tmp_path}/x.sock"), mode=0o600)
    undo = found.set_mode(0o660)
    assert mode_of(found.endpoint) == 0o660
    undo()
    assert mode_of(found.endpoint) == 0o600
    found.set_mode(0o600)()
    found.close()
    found.set_mode(0o660)()
    undo()  # there is nothing any more
    assert not Path(found.endpoint.host).exists()


def test_what_has_no_path_has_no_mode() -> None:
    for endpoint in (Endpoint("ipc", "@curveproxy-test-mode"), Endpoint("tcp", "127.0.0.1", 0)):
        found = listen(endpoint, mode=0o600)
        found.set_mode(0o660)()
        assert found.mode is None
        found.close()


@pytest.mark.parametrize("what", ["successor", "link"])
def test_the_mode_of_something_else_in_its_place_is_not_changed(tmp_path: Path, what: str) -> None:
    found = listen(Endpoint("ipc", f"{tmp_path}/x.sock"), mode=0o600)
    (other := tmp_path / "other").write_text("mine")
    other.chmod(0o600)
    Path(found.endpoint.host).unlink()
    if what == "link":
        Path(found.endpoint.host).symlink_to(other)
        with pytest.raises(OSError):
            listening._set_mode(f"{other}/x", 0o666)
    else:
        other.rename(found.endpoint.host)
        other = Path(found.endpoint.host)
    listening._set_mode(found.endpoint.host, 0o666)
    found.set_mode(0o666)
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    found.close()


def test_a_socket_that_was_handed_over_gets_the_mode_too_or_that_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = Endpoint("ipc", f"{tmp_path}/x.sock")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(endpoint.host)
        made.listen()
        Path(endpoint.host).chmod(0o666)
        [found] = listen_together(endpoint, 2, handed_over=[made], mode=0o600)
        assert (mode_of(endpoint), found.mode, found.handed_over) == (0o600, 0o600, True)
        monkeypatch.setattr(os, "chmod", fails(PermissionError(errno.EPERM, "no")))
        with pytest.raises(BindError, match=r"its mode is 0600, and can not be changed to 0660: .* SocketMode= does"):
            listen(endpoint, handed_over=[made], mode=0o660)


def test_what_is_denied_is_a_port_or_a_directory() -> None:
    denied = PermissionError(errno.EACCES, "denied")
    assert "ports below 1024 need" in str(BindError.of(Endpoint("tcp", "127.0.0.1", 81), denied))
    assert "may not make a socket in that directory" in str(BindError.of(Endpoint("ipc", "/x.sock"), denied))


def test_several_processes_listen_each_by_itself_on_one_port() -> None:
    endpoint = Endpoint("tcp", "127.0.0.1", free_port())
    found = listen_together(endpoint, 3)
    assert len({each.sockets[0].fileno() for each in found}) == 3
    assert [each.endpoint for each in found] == [endpoint] * 3
    for each in found:
        each.close()


def test_a_path_is_listened_on_once_for_all_processes(tmp_path: Path) -> None:
    [found] = listen_together(Endpoint("ipc", f"{tmp_path}/x.sock"), 3)
    found.close()


def test_where_one_of_several_can_not_listen_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ListeningSocket] = []

    def third_fails(endpoint: Endpoint, **options: Any) -> ListeningSocket:
        if len(made) == 3:
            raise BindError(endpoint, "enough")
        made.append(listen(endpoint, **options))
        return made[-1]

    monkeypatch.setattr(listening, "listen", third_fails)
    with pytest.raises(BindError, match="enough"):
        listen_together(Endpoint("tcp", "127.0.0.1", 0), 3)
    assert [each.sockets[0].fileno() for each in made] == [-1] * 3


def test_a_trial_leaves_the_port_free_and_nobody_can_connect_meanwhile() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint("tcp", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(BindError, match="in use"):
            try_to_bind(endpoint)
    try_to_bind(endpoint)
    listen(endpoint).close()
