"""Services follow their key files, and know of each other's clients in other processes."""

import socket
import stat
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
from support.authority import authority

from curveproxy.app.config.certificates import read_certificate, write_key_pair
from curveproxy.app.config.load import structure
from curveproxy.app.config.signed import read_signed
from curveproxy.app.observe import events
from curveproxy.app.observe.clock import WallClock
from curveproxy.app.observe.history import JUMPED
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.process.services import NAMES_MAX, TOO_LARGE, TRUST_CHANGED, ServiceManager
from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.limits import WHOLE, WorkerShare
from curveproxy.proxy.net.listening import BindError
from curveproxy.proxy.server import Server
from curveproxy.proxy.settings import ServiceKind, ServiceSettings
from curveproxy.wire import spec, z85
from curveproxy.wire.curve.asking import answer_size
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


class Running:
    """A manager whose configuration is applied again and again, and the lines of its log."""

    def __init__(self, place: Path, nursery: trio.Nursery, patch: pytest.MonkeyPatch) -> None:
        self.place, self.nursery, self.lines, self.patch = place, nursery, Lines(), patch

        def keep(_: object, level: str, event: MutableMapping[str, Any]) -> str:
            self.lines.append({**event, "level": level})
            return ""

        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[keep])
        self.server = Server(descriptors=1024)
        self.manager = ServiceManager(self.server, Metrics(self.server.figures), log, WHOLE)
        for name in ("server", "alice", "orders"):
            write_key_pair(place / f"{name}.key_secret", KeyPair.generate())

    def apply(self, *tables: dict[str, Any]) -> None:
        """Have these tables, each a service or an egress."""
        headers = {"service": [each for each in tables if "backend" in each]}
        headers["egress"] = [each for each in tables if "remote" in each]
        config = structure(headers, self.place)
        self.manager.apply(config, self.manager.read(config), self.nursery)

    def settings(self, name: str = "far") -> ServiceSettings:
        """As the proxy has them."""
        return next(each.settings for each in self.server.services if each.settings.name == name)

    def events(self, *events: str) -> list[tuple[str, str]]:
        """What was logged of these, each with its service."""
        return [(line["event"], line["service"]) for line in self.lines if line["event"] in events]


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    async with trio.open_nursery() as nursery:
        found = Running(tmp_path, nursery, monkeypatch)
        nursery.start_soon(found.server.run)
        yield found
        nursery.cancel_scope.cancel()
    found.server.drain(0)


def service(**others: object) -> dict[str, Any]:
    table = {"name": "orders", "listen": "tcp://127.0.0.1:0", "backend": "tcp://127.0.0.1:1"}
    return {**table, "secret_keys": ["server.key_secret"], "clients": {"allow": "any"}, **others}


def egress(place: Path, **others: object) -> dict[str, Any]:
    table = {"name": "far", "listen": f"ipc://{place}/far.sock", "remote": ["tcp://127.0.0.1:1"]}
    return {**table, "server_keys": ["orders.key"], "secret_key": "alice.key_secret", **others}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_an_egress_comes_is_changed_and_goes(running: Running, tmp_path: Path) -> None:
    running.apply(service())
    running.apply(service(), egress(tmp_path))
    far, orders = running.server.services[1], running.server.services[0]
    assert (running.settings().kind, mode(tmp_path / "far.sock")) == (ServiceKind.EGRESS, 0o600)
    remotes = ["tcp://127.0.0.1:2", "tcp://127.0.0.1:3"]
    running.apply(service(), egress(tmp_path, remote=remotes, socket_mode="0660", allow_uids=[3]))
    found = running.settings().egress
    assert found is not None
    assert ([str(remote) for remote in found.remotes], found.allow_uids) == (remotes, frozenset({3}))
    assert (running.server.services, mode(tmp_path / "far.sock")) == ([orders, far], 0o660)
    running.apply(service())
    assert (running.server.services, (tmp_path / "far.sock").exists()) == ([orders], False)
    assert running.events("listening", "service removed") == [
        ("listening", "orders"),
        ("listening", "far"),
        ("listening", "far"),
        ("service removed", "far"),
    ]


async def test_what_can_not_be_opened_changes_no_mode(running: Running, tmp_path: Path) -> None:
    running.apply(egress(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = service(listen=f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(BindError):
            running.apply(egress(tmp_path, socket_mode="0666"), other)
    assert mode(tmp_path / "far.sock") == 0o600
    found = running.settings().egress
    assert found is not None
    assert found.socket_mode == 0o600


async def test_a_service_becomes_an_egress_and_an_egress_a_service(running: Running, tmp_path: Path) -> None:
    """On one endpoint, and by one name."""
    listen = f"ipc://{tmp_path}/far.sock"
    for table, kind in ((service(name="far", listen=listen), "ingress"), (egress(tmp_path), "egress")) * 2:
        running.apply(table)
        [found] = running.server.figures().services
        assert (found.direction, running.settings().kind) == (kind, kind)
    assert running.events("service removed") == [("service removed", "far")] * 3


async def test_keys_of_an_egress_that_are_replaced_are_in_force(running: Running, tmp_path: Path) -> None:
    running.apply(egress(tmp_path))
    before = running.settings()
    new = KeyPair.generate()
    write_key_pair(tmp_path / "new" / "alice.key_secret", new)
    (tmp_path / "new" / "alice.key_secret").rename(tmp_path / "alice.key_secret")
    changed = await line(running.lines, "egress keys changed")
    assert (changed["service"], changed["public_key"]) == ("far", z85.encode(new.public))
    now = running.settings()
    assert now.egress is not None
    assert now == attrs.evolve(before, egress=attrs.evolve(now.egress, keys=new))
    running.lines.clear()
    other = KeyPair.generate()
    write_key_pair(tmp_path / "new" / "orders.key_secret", other).rename(tmp_path / "orders.key")
    assert (await line(running.lines, "egress keys changed"))["server_keys"] == [z85.encode(other.public)]
    assert z85.encode(new.secret) not in repr(running.lines)


@pytest.mark.deep
async def test_certificates_that_are_replaced_are_in_force(running: Running, tmp_path: Path) -> None:
    plant = authority(tmp_path)
    alice, server = (read_certificate(tmp_path / f"{name}.key").public for name in ("alice", "server"))
    ours, its = (
        plant.sign(alice, tmp_path / "alice.cert"),
        plant.sign(server, tmp_path / "server.cert", names="x"),
    )
    running.apply(egress(tmp_path, certificate="alice.cert"), service(certificates=["server.cert"]))
    for path, key, name, event in (
        (ours, alice, "far", "egress keys changed"),
        (its, server, "orders", "server keys changed"),
    ):
        plant.sign(key, path, until=2 * 86400, **({"names": "x"} if name == "orders" else {}))
        signed = read_signed(path)
        assert (await line(running.lines, event))["certificates"] == [signed.serial]
        settings = running.settings(name)
        presented = settings.certificates[0] if settings.egress is None else settings.egress.certificate
        assert presented == signed.text


@pytest.mark.deep
async def test_certificates_that_would_be_too_much_for_one_answer_are_those_of_before(
    running: Running, tmp_path: Path
) -> None:
    """Of two services at one endpoint, each of which would do by itself."""
    plant, listen, large = authority(tmp_path), f"ipc://{tmp_path}/front.sock", " ".join(["x" * 60] * 16)
    files = {name: [f"{name}-{number}.cert" for number in range(3)] for name in ("server", "orders")}

    def sign(name: str, names: str) -> None:
        for file in files[name]:
            plant.sign(read_certificate(tmp_path / f"{name}.key").public, tmp_path / file, names=names)

    sign("server", large)
    sign("orders", "x")
    both = [{"name": name, "secret_keys": [f"{name}.key_secret"], "certificates": files[name]} for name in files]
    running.apply(*(service(listen=listen, **each) for each in both))
    before = running.settings("server").certificates
    sign("orders", large)
    await line(running.lines, TOO_LARGE)
    now = [running.settings(name).certificates for name in files]
    assert now[0] == before
    assert answer_size([*now[0], *now[1]]) <= spec.CERTIFICATES_MAX
    assert len(now[1]) == 3
    assert running.events("unexpected error") == []


@pytest.mark.deep
async def test_authorities_and_revocations_that_change_are_in_force(running: Running, tmp_path: Path) -> None:
    plant, admitted, key = authority(tmp_path), list[AccessList](), b"k" * 32
    (tmp_path / "clients").mkdir()
    (tmp_path / "revoked").touch()
    clients = {"directory": "clients", "authorities": [{"file": "plant-1.authority"}], "revoked": "revoked"}
    running.apply(service(clients=clients))
    found = running.server.services[0]

    def admit(clients: AccessList) -> None:
        admitted.append(clients)

    running.patch.setattr(found, "admit", admit)
    plant.sign(key, tmp_path / "clients" / "desk-7.cert")
    changed = await line(running.lines, "client list changed")
    assert (changed["clients"], changed["certificates"]) == (0, 1)
    assert list(admitted[-1].certified) == [key]
    with (tmp_path / "revoked").open("a") as file:
        file.write("name desk-7\n")
    changed = await line(running.lines, TRUST_CHANGED)
    assert (changed["authorities"], changed["revocations"]) == (["plant-1"], 1)
    assert admitted[-1].trust.revocations.names == {"desk-7"}
    assert admitted[-1].verified is admitted[0].verified
    running.lines.clear()
    authority(tmp_path, "later").file.rename(plant.file)
    await line(running.lines, TRUST_CHANGED)
    assert [each.key for each in admitted[-1].trust.authorities] != [plant.key]
    assert running.events("nobody can connect") == []


async def test_a_clock_that_is_set_is_told_where_authorities_are_listed(running: Running, tmp_path: Path) -> None:
    authority(tmp_path)
    plant, offset = {"file": "plant-1.authority"}, 0.0
    running.patch.setattr(
        events, "WallClock", lambda: WallClock(lambda: trio.current_time() + offset, trio.current_time)
    )
    running.patch.setattr(events, "CLOCK_SECONDS", 0.02)
    pinned = service(name="pinned", listen="tcp://127.0.0.1:0")
    far = egress(tmp_path, server_keys=[], authorities=[plant], server_name="orders")
    running.apply(service(clients={"authorities": [plant], "clock_skew_seconds": 90}), pinned, far)
    offset = 80
    told = await line(running.lines, JUMPED)  # of the egress, which has 60
    assert (told["service"], told["reason"], told["detail"]) == ("far", "forward", "by +80 s")
    running.lines.clear()
    offset = -20
    told = await line(running.lines, JUMPED)
    assert (told["service"], told["reason"]) == ("far", "back")
    running.lines.clear()
    offset = 100
    with trio.fail_after(10):
        while len(running.events(JUMPED)) < 2:
            await trio.sleep(0.02)
    assert sorted(running.events(JUMPED)) == [(JUMPED, "far"), (JUMPED, "orders")]


async def line(lines: Lines, event: str) -> MutableMapping[str, Any]:
    """The first line of an event, when it is there."""
    with trio.fail_after(60):
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
