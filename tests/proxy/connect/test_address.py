"""Addresses of a service's endpoint: which there are, and where plaintext may travel."""

import socket
from typing import Any

import pytest
import trio
import trio.testing

from curveproxy.proxy.connect.address import (
    JOIN_SECONDS,
    Address,
    Target,
    address_text,
    fixed_address,
    is_allowed,
    resolve,
)
from curveproxy.proxy.net.endpoint import Endpoint

UNIX = (socket.AF_UNIX, "/run/x.sock")
HERE, AWAY = (socket.AF_INET, ("127.0.0.1", 7)), (socket.AF_INET, ("192.0.2.1", 7))
HERE6, AWAY6 = (socket.AF_INET6, ("::1", 7, 0, 0)), (socket.AF_INET6, ("fe80::1%lo", 7, 0, 1))


@pytest.mark.parametrize(
    ("address", "allowed"), [(UNIX, True), (HERE, True), (HERE6, True), (AWAY, False), (AWAY6, False)]
)
def test_plaintext_stays_on_this_machine_unless_the_operator_says_so(address: Any, allowed: bool) -> None:
    assert is_allowed(address, allow_remote=False) is allowed
    assert is_allowed(address, allow_remote=True)


@pytest.mark.parametrize(
    ("endpoint", "allow_remote", "address"),
    [
        ("ipc:///run/x.sock", False, UNIX),
        ("ipc://@name", False, (socket.AF_UNIX, "\0name")),
        ("tcp://127.0.0.1:7", False, HERE),
        ("tcp://[::1]:7", False, HERE6),
        ("tcp://192.0.2.1:7", False, None),
        ("tcp://192.0.2.1:7", True, AWAY),
        ("tcp://localhost:7", True, None),
        ("tcp://" + "x" * 300 + ":7", True, None),
    ],
)
def test_an_endpoint_without_a_name_has_one_address(endpoint: str, allow_remote: bool, address: Any) -> None:
    assert fixed_address(Endpoint.parse(endpoint), allow_remote=allow_remote) == address


async def test_a_name_has_those_that_the_resolver_knows_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def known(host: str, port: int, **_: object) -> list[Any]:
        assert (host, port) == ("some.host", 7)
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in (AWAY, HERE, HERE6)]

    monkeypatch.setattr(trio.socket, "getaddrinfo", known)
    assert await resolve(Endpoint("tcp", "some.host", 7)) == [AWAY, HERE, HERE6]


@pytest.mark.parametrize("error", [socket.gaierror(), UnicodeError()])
async def test_a_name_that_does_not_resolve_has_none(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> list[Any]:
        raise error

    monkeypatch.setattr(trio.socket, "getaddrinfo", unknown)
    assert await resolve(Endpoint("tcp", "some.host", 7)) == []


async def test_targets_that_are_dialled_together_ask_once_and_a_lookup_that_hangs_is_not_joined(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    asked, answer = 0, trio.Event()

    async def known(*_: object, **__: object) -> list[Any]:
        nonlocal asked
        asked += 1
        await answer.wait()
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in (AWAY, HERE)]

    monkeypatch.setattr(trio.socket, "getaddrinfo", known)
    target = Target(Endpoint("tcp", "some.host", 7), allow_remote=True)
    found: list[list[Address]] = []

    async def dial() -> None:
        found.append(await target.resolve())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(dial)
        await trio.sleep(JOIN_SECONDS + 0.1)
        assert asked == 1
        nursery.start_soon(dial)
        await trio.testing.wait_all_tasks_blocked()
        assert asked == 2
        answer.set()
    assert found == [[AWAY, HERE]] * 4
    target.answered(HERE)
    assert await target.resolve() == [HERE, AWAY]
    assert asked == 3


async def test_a_lookup_that_breaks_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object, **__: object) -> list[Any]:
        await trio.lowlevel.checkpoint()
        raise ValueError("ours")

    monkeypatch.setattr(trio.socket, "getaddrinfo", breaks)
    target = Target(Endpoint("tcp", "some.host", 7), allow_remote=True)
    found: list[object] = []

    async def dial() -> None:
        try:
            found.append(await target.resolve())
        except ValueError as error:
            found.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        nursery.start_soon(dial)
    assert sorted(found, key=str) == [[], "ours"] or found == ["ours", "ours"]


def test_an_address_is_written_as_in_an_endpoint() -> None:
    assert address_text(HERE) == "127.0.0.1:7"
    assert address_text(HERE6) == "[::1]:7"
