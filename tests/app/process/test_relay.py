"""A relay in one process: a configuration applied, what is seen of it, and its end."""

import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.load import structure
from curveproxy.app.config.schema import Config
from curveproxy.app.observe.status import Query
from curveproxy.app.process.relay import ConfigRejectedError, LocalRelay
from curveproxy.proxy.net.listening import BindError
from curveproxy.wire.curve.keys import KeyPair

HERE = "127.0.0.1"
Lines = list[MutableMapping[str, Any]]


def config(directory: Path, **ports: int) -> Config:
    """Services by their names, with the ports on which they listen."""
    path = directory / "server.key_secret"
    if not path.exists():
        write_key_pair(path, KeyPair.generate())
        (directory / "clients").mkdir()
    service = {"backend": "tcp://127.0.0.1:1", "secret_keys": [path.name], "clients": {"directory": "clients"}}
    services = [service | {"name": name, "listen": f"tcp://{HERE}:{port}"} for name, port in ports.items()]
    return structure({"service": services}, directory)


@asynccontextmanager
async def relay() -> AsyncIterator[tuple[LocalRelay, Lines]]:
    """A relay that runs, and the lines of its log."""
    lines: Lines = []

    def keep(_: object, level: str, event: MutableMapping[str, Any]) -> str:
        lines.append(event)
        return ""

    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[keep])
    found = LocalRelay(descriptors=65536, handed_over=(), log=log)
    async with trio.open_nursery() as nursery:
        await nursery.start(found.run)
        yield found, lines
        found.drain(0)


def events(lines: Lines) -> list[tuple[str, str]]:
    found = [(line["event"], line["service"]) for line in lines]
    lines.clear()
    return found


async def test_services_come_stay_and_go_with_the_configuration(tmp_path: Path) -> None:
    async with relay() as (found, lines):
        await found.apply(config(tmp_path, orders=0, prices=0))
        nobody = [("nobody can connect", "orders"), ("nobody can connect", "prices")]
        assert events(lines) == [*nobody, ("listening", "orders"), ("listening", "prices")]
        before = {service.name: service.endpoint for service in (await found.look(Query())).services}
        await found.apply(config(tmp_path, orders=0, stock=0))
        assert events(lines) == [("nobody can connect", "stock"), ("service removed", "prices"), ("listening", "stock")]
        after = {service.name: service.endpoint for service in (await found.look(Query())).services}
        assert list(after) == ["orders", "stock"]
        assert after["orders"] == before["orders"], "it has not been closed for a moment"


async def test_a_port_in_use_changes_nothing(tmp_path: Path) -> None:
    with socket.create_server((HERE, 0)) as taken:
        async with relay() as (found, lines):
            await found.apply(config(tmp_path, orders=0))
            with pytest.raises(BindError):
                await found.apply(config(tmp_path, orders=0, prices=taken.getsockname()[1]))
            assert [service.name for service in (await found.look(Query())).services] == ["orders"]
            assert ("service removed", "orders") not in events(lines)


async def test_one_figure_is_the_same_in_the_metrics_and_in_the_status(tmp_path: Path) -> None:
    async with relay() as (found, _):
        await found.apply(config(tmp_path, orders=0))
        found.count_unexpected()
        found.reloaded(success=True)
        values = {
            sample.name: sample.value
            for family in await found.collect()
            for sample in family.samples
            if sample.labels in ({}, {"service": "orders"})
        }
        status = await found.look(Query())
        [service] = status.services
        assert values["curveproxy_sessions_limit"] == service.sessions.limit
        assert values["curveproxy_half_open_limit"] == service.half_open.limit
        assert values["curveproxy_client_keys"] == service.client_keys == 0
        assert values["curveproxy_descriptors_limit"] == status.descriptors.limit == 65536
        assert values["curveproxy_unexpected_errors_total"] == 1


async def test_a_session_that_is_not_there_can_not_be_ended(tmp_path: Path) -> None:
    async with relay() as (found, _):
        await found.apply(config(tmp_path, orders=0))
        assert not await found.end(1)


async def test_nothing_is_applied_any_more_once_it_drains(tmp_path: Path) -> None:
    async with relay() as (found, _):
        await found.apply(config(tmp_path, orders=0))
        found.drain(0)
        assert found.draining
        with pytest.raises(ConfigRejectedError, match="it drains"):
            await found.apply(config(tmp_path, orders=0))
