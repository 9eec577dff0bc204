"""Services follow their key files, and know of each other's clients in other processes."""

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
import trio

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.load import structure
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.process.services import NAMES_MAX, ServiceManager
from curveproxy.policy.limits import WHOLE, WorkerShare
from curveproxy.proxy.server import Server
from curveproxy.wire.curve.keys import KeyPair

Lines = list[MutableMapping[str, Any]]


@asynccontextmanager
async def services(
    directory: Path, *, share: WorkerShare = WHOLE, descriptors: int = 1024
) -> AsyncIterator[tuple[ServiceManager, Server, Lines]]:
    """One service whose key files are in a directory, and the lines of its log."""
    lines: Lines = []

    def keep(_: object, level: str, event: MutableMapping[str, Any]) -> str:
        lines.append({**event, "level": level})
        return ""

    write_key_pair(directory / "server.key_secret", KeyPair.generate())
    (directory / "clients").mkdir()
    table = {"name": "orders", "listen": "tcp://127.0.0.1:0", "backend": "tcp://127.0.0.1:1"}
    table |= {"secret_keys": ["server.key_secret"], "clients": {"directory": "clients"}}  # type: ignore[dict-item]
    config = structure({"service": [table]}, directory)
    server = Server(descriptors=descriptors)
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[keep])
    found = ServiceManager(server, Metrics(server.figures), log, share)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        found.apply(config, found.read(config), nursery)
        yield found, server, lines
        nursery.cancel_scope.cancel()
    server.drain(0)


async def line(lines: Lines, event: str) -> MutableMapping[str, Any]:
    """The first line of an event, when it is there."""
    with trio.fail_after(10):
        while not any(each["event"] == event for each in lines):
            await trio.sleep(0.02)
    return next(each for each in lines if each["event"] == event)


async def test_a_client_key_that_is_added_is_let_in_and_named(tmp_path: Path) -> None:
    async with services(tmp_path) as (_, server, lines):
        assert server.figures().services[0].client_keys == 0
        secret_file = tmp_path / "alice.key_secret"
        write_key_pair(secret_file, KeyPair.generate()).rename(tmp_path / "clients" / "alice.key")
        changed = await line(lines, "client list changed")
        assert (changed["clients"], changed["came"], changed.get("went")) == (1, ["alice"], None)
        assert server.figures().services[0].client_keys == 1


async def test_of_many_clients_that_are_added_some_are_named(tmp_path: Path) -> None:
    async with services(tmp_path) as (_, _, lines):
        for number in range(NAMES_MAX + 5):
            public = write_key_pair(tmp_path / "new" / f"{number:03}.key_secret", KeyPair.generate())
            public.rename(tmp_path / "clients" / public.name)
        changed = await line(lines, "client list changed")
        assert len(changed["came"]) <= NAMES_MAX + 1


async def test_a_server_key_that_is_replaced_is_in_force(tmp_path: Path) -> None:
    async with services(tmp_path) as (_, _, lines):
        before = (await line(lines, "listening"))["server_keys"]
        write_key_pair(tmp_path / "next.key_secret", KeyPair.generate())
        (tmp_path / "next.key_secret").rename(tmp_path / "server.key_secret")
        after = (await line(lines, "server keys changed"))["server_keys"]
        assert len(after) == 1
        assert after != before


async def test_clients_with_limits_are_shared_by_their_keys(tmp_path: Path) -> None:
    async with services(tmp_path) as (found, _, _):
        assert found.share_clients({"orders": {"aa": 2}, "elsewhere": {"bb": 1}}) == {"orders": {}}
        assert not found.end_session(1)
        await found.make_way("elsewhere", b"\x01", 1)


async def test_of_several_processes_the_first_alone_logs_what_all_know(tmp_path: Path) -> None:
    async with services(tmp_path, share=WorkerShare(1, 2)) as (_, _, lines):
        assert lines == []


async def test_fewer_sessions_than_configured_are_a_warning_when_they_are_few(tmp_path: Path) -> None:
    async with services(tmp_path, descriptors=256) as (_, server, lines):
        fewer = await line(lines, "fewer sessions than configured")
        assert fewer["sessions_limit"] == server.figures().services[0].sessions_limit
        assert fewer["level"] == "warning"
