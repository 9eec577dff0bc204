"""Several workers as one relay. Those of here relay nothing; ``tests/system/test_workers.py`` has real ones."""

import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
from support.process import free_port
from support.workers import Workers
from trio.testing import MockClock

from curveproxy.app.config.keys import SecretKey
from curveproxy.app.config.load import structure
from curveproxy.app.config.schema import Config
from curveproxy.app.observe.status import Query
from curveproxy.app.process.relay import ConfigRejectedError
from curveproxy.app.process.supervisor import Supervisor
from curveproxy.app.process.worker_handle import WorkerHandle
from curveproxy.proxy.net.listening import BindError
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair

HERE = "127.0.0.1"


def config(port: int) -> Config:
    """One service that listens there."""
    service = {"name": "orders", "listen": f"tcp://{HERE}:{port}", "backend": "tcp://127.0.0.1:1", "secret_keys": []}
    return structure({"service": [service | {"clients": {"allow": "any"}}]}, needs_keys=False, directory=Path())


@asynccontextmanager
async def supervisor(
    monkeypatch: pytest.MonkeyPatch, workers: Workers, handed_over: Sequence[socket.socket] = ()
) -> AsyncIterator[Supervisor]:
    """One of two workers."""
    monkeypatch.setattr(WorkerHandle, "start", workers.start)
    log = structlog.wrap_logger(structlog.ReturnLogger(), [])
    found = Supervisor(2, descriptors=1024, handed_over=handed_over, log=log)
    async with workers.hosted(), trio.open_nursery() as nursery:
        await nursery.start(found.run)
        yield found
        nursery.cancel_scope.cancel()


def is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return not sock.connect_ex((HERE, port))


async def test_ports_are_opened_before_workers_hear_of_them_and_closed_when_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = free_port(), free_port()
    workers = Workers(lambda index, tree: str(second) in tree["service"][0]["listen"])
    async with supervisor(monkeypatch, workers) as relay:
        await relay.apply(config(first))
        assert is_listening(first)
        with pytest.raises(ConfigRejectedError):
            await relay.apply(config(second))
        assert (is_listening(first), is_listening(second)) == (True, False)
        workers.rejects = lambda index, tree: False
        await relay.apply(config(second))
        assert (is_listening(first), is_listening(second)) == (False, True)
    assert not is_listening(second)


async def test_the_mode_of_a_path_is_changed_before_workers_hear_of_it_and_back_when_one_does_not_take_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, key = tmp_path / "x.sock", z85.encode(bytes(32))
    table = {"name": "far", "listen": f"ipc://{path}", "remote": ["tcp://a.host:1"], "server_keys": [key]}

    def egress(mode: str) -> Config:
        found = structure({"egress": [table | {"socket_mode": mode}]}, tmp_path, needs_keys=False)
        pair = KeyPair.generate()
        return attrs.evolve(found, egress=[attrs.evolve(found.egress[0], secret_key=SecretKey(pair, tmp_path / "x"))])

    seen = []

    def rejects(index: int, tree: dict[str, Any]) -> bool:
        seen.append((tree["egress"][0]["socket_mode"], f"{stat.S_IMODE(path.lstat().st_mode):04o}"))
        return bool(tree["egress"][0]["socket_mode"] == "0666")

    async with supervisor(monkeypatch, Workers(rejects)) as relay:
        for mode in ("0600", "0660"):
            await relay.apply(egress(mode))
        with pytest.raises(ConfigRejectedError):
            await relay.apply(egress("0666"))
        assert stat.S_IMODE(path.lstat().st_mode) == 0o660
    assert {wanted for wanted, had in seen if wanted == had} == {"0600", "0660", "0666"}
    assert not path.exists()


async def test_a_port_in_use_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers()
    with socket.create_server((HERE, 0)) as taken:
        async with supervisor(monkeypatch, workers) as relay:
            with pytest.raises(BindError):
                await relay.apply(config(taken.getsockname()[1]))
            assert not workers.started


async def test_a_socket_that_was_handed_over_is_used_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HERE, 0)) as used, socket.create_server((HERE, 0)) as other:
        async with supervisor(monkeypatch, Workers(), [used, other]) as relay:
            await relay.apply(config(used.getsockname()[1]))
            assert relay.unused == [other]


async def test_metrics_are_the_sums_and_a_worker_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with supervisor(monkeypatch, Workers()) as relay:
        await relay.apply(config(free_port()))
        relay.count_unexpected()
        relay.reloaded(success=False)
        values = {sample.name: sample.value for family in await relay.collect() for sample in family.samples}
        assert (values["number"], values["curveproxy_unexpected_errors_total"]) == (1, 1)
        [trouble] = (await relay.look(Query())).troubles
        assert trouble.what == "only 0 of 2 workers answer: what the others do is not shown"
        assert not await relay.end(3)
