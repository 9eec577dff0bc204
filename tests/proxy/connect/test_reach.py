"""A look whether a service listens, on real listeners: it tells the truth, and the service hears nothing of it."""

import errno
import socket
from contextlib import closing
from pathlib import Path

import pytest
import trio
import trio.testing

from curveproxy.proxy.connect.reach import LOOK_SECONDS, listens
from curveproxy.proxy.net.endpoint import Endpoint


async def looks(endpoint: str, *, allow_remote: bool = False) -> bool:
    return await listens(Endpoint.parse(endpoint), allow_remote=allow_remote)


def has_been_met(listener: socket.socket) -> bool:
    """Whether somebody has come to a listener."""
    listener.settimeout(0.1)
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_a_tcp_listener_is_seen_and_accepts_nobody(host: str) -> None:
    family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
    with closing(socket.socket(family)) as listener:
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        endpoint = f"tcp://{host}:{listener.getsockname()[1]}"
        assert not await looks(endpoint), "it is bound, and does not listen yet"
        listener.listen()
        for _ in range(5):
            assert await looks(endpoint)
        assert not has_been_met(listener)
        socket.create_connection(listener.getsockname()[:2]).close()
        assert has_been_met(listener), "else this would show nothing"
    assert not await looks(endpoint)


async def test_a_unix_listener_is_seen_and_accepts_nobody(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/service"
    assert not await looks(endpoint)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(f"{tmp_path}/service")
        listener.listen()
        for _ in range(5):
            assert await looks(endpoint)
        assert not has_been_met(listener)
    assert not await looks(endpoint), "what a dead service has left is no service"


async def test_of_the_abstract_namespace_nothing_can_be_told() -> None:
    assert await looks("ipc://@nobody-is-there")


async def test_no_address_but_loopback_is_looked_at_unless_that_is_allowed() -> None:
    with closing(socket.create_server(("0.0.0.0", 0))) as listener:
        endpoint = f"tcp://0.0.0.0:{listener.getsockname()[1]}"
        assert not await looks(endpoint)
        assert await looks(endpoint, allow_remote=True)


@pytest.mark.parametrize("name", ["name.invalid", "x" * 300, "."])
async def test_a_name_that_does_not_resolve_is_a_no(name: str) -> None:
    assert not await looks(f"tcp://{name}:5555")


async def test_a_silent_address_and_one_that_can_not_be_dialled_are_a_no_before_long(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async def never(_: object) -> None:
        await trio.sleep_forever()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr(trio.lowlevel, "wait_writable", never)  # a SYN without an answer
        assert not await looks(endpoint)
        assert trio.current_time() <= LOOK_SECONDS + 0.1
    monkeypatch.undo()
    assert not await looks("tcp://255.255.255.255:1", allow_remote=True), "broadcast: the system refuses at once"


async def test_without_a_descriptor_nothing_can_be_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EMFILE, "no descriptor is left")

    monkeypatch.setattr(socket, "socket", none_left)
    assert not await looks("tcp://127.0.0.1:1")
    assert not await looks(f"ipc://{tmp_path}/service")
