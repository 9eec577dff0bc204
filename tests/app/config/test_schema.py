"""The tables: their bounds, and the example that shows all settings with their defaults."""

import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.configuration import CLIENTS, EGRESS, SERVICE, complaints

from curveproxy.app.config.load import load
from curveproxy.app.config.schema import AuthorityConfig, ClientAuthorityConfig, Config

ROOT = Path(__file__).parents[3]
KEY = "x" * 40


def test_the_full_example_shows_every_setting_with_its_default(place: Path) -> None:
    shown = tomllib.loads((ROOT / "config" / "full.toml").read_text())

    def left_out(cls: Any, table: dict[str, Any]) -> set[str]:
        names = {attribute.name for attribute in attrs.fields(cls)}
        return names - table.keys()

    minimal, full = place / "minimal.toml", place / "full.toml"
    minimal.write_text((ROOT / "config" / "minimal.toml").read_text().replace("tcp://*", "tcp://0.0.0.0"))
    full.write_text((ROOT / "config" / "full.toml").read_text())
    least = EGRESS.replace("far.sock", "/run/orders/orders.sock").replace('"far"', '"orders-egress"')
    minimal.write_text(minimal.read_text() + least)
    assert load(full) == load(minimal)
    assert not left_out(Config, shown)
    service, egress = load(full).service[0], load(full).egress[0]
    for cls, table in [
        (type(service), shown["service"][0]),
        (type(service.clients), shown["service"][0]["clients"]),
        (type(service.admission), shown["service"][0]["admission"]),
        (type(service.messages), shown["service"][0]["messages"]),
        (type(egress), shown["egress"][0]),
        (type(egress.limits), shown["egress"][0]["limits"]),
        (type(egress.messages), shown["egress"][0]["messages"]),
        (type(load(full).log), shown["log"]),
        (type(load(full).process), shown["process"]),
        (type(load(full).admin), shown["admin"]),
    ]:
        assert not left_out(cls, table)


def test_the_full_example_shows_what_stands_in_its_lists(place: Path) -> None:
    """Where a list is empty by default, its comment has an entry."""
    lines = (ROOT / "config" / "full.toml").read_text().splitlines()
    entries = [line.partition("as ")[2].rpartition("]")[0] + "]" for line in lines if line.startswith("authorities")]
    [shown], [of_egress] = (tomllib.loads(f"x = {entry}")["x"] for entry in entries)
    assert of_egress.keys() <= {attribute.name for attribute in attrs.fields(AuthorityConfig)}
    assert shown.keys() == {attribute.name for attribute in attrs.fields(ClientAuthorityConfig)}
    assert shown["max_days"] == attrs.fields(ClientAuthorityConfig).max_days.default
    (place / "c.toml").write_text(SERVICE + CLIENTS + f"authorities = {entries[0]}\n")
    assert load(place / "c.toml").service[0].clients.authorities[0].names == ["desk-*"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SERVICE + "[defaults.clients]\nallow = 'all'", "defaults.clients.allow: must be in ['listed'"),
        (SERVICE + "[service.clients]\ndirectory = 'nowhere'", "nowhere is not a directory"),
        (SERVICE + "[service.clients]\nkeys = ['abc']", "clients.keys[0]: of 3 letters, a key has 40"),
        (SERVICE + f"[service.clients]\nkeys = ['{KEY[:35]}']", "clients.keys[0]: of 35 letters, a key has 40"),
        (SERVICE + "[service.clients]\nallow = 'all'", "clients.allow: must be in ['listed'"),
        (SERVICE + "[service.clients]\nrefusal = 'drop'", "clients.refusal: must be in"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = 0", "admission.max_half_open: must be >= 1"),
        (SERVICE + CLIENTS + "[service.admission]\nhandshake_seconds = 61", "handshake_seconds: must be <= 60"),
        (SERVICE + CLIENTS + "messages_per_second_per_client = -1", "messages_per_second_per_client: must be >= 0"),
        (SERVICE + CLIENTS + "idle_seconds = nan", "clients.idle_seconds: must be >= 0"),
        (SERVICE + CLIENTS + "[service.messages]\nrecords = 'yes'", "records: must be in ['auto', 'off', 'require']"),
        (SERVICE + CLIENTS + "[service.messages]\nrecord_suites = []", "record_suites: it is empty: name a suite, or"),
        (SERVICE + CLIENTS + "[service.messages]\nrecord_suites = ['aes']", "record_suites: there is no 'aes': there"),
        (SERVICE + CLIENTS + f"[service.messages]\nrecord_suites = {['aegis-256'] * 2}", "record_suites: one of them"),
        (SERVICE + CLIENTS + "[service.messages]\nrecord_suites = 'aegis-256'", "record_suites: a list is wanted"),
        (SERVICE + CLIENTS + "[service.messages]\npad_to = 32", "pad_to: 32 is not 0, nor a power of two from 64 to"),
        (SERVICE + CLIENTS + "[service.messages]\npad_to = 1000", "pad_to: 1000 is not 0, nor a power of two from"),
        (SERVICE + CLIENTS + "[service.messages]\npad_to = 65536", "pad_to: 65536 is not 0, nor a power of two from"),
        (SERVICE + CLIENTS + "[service.messages]\non_invalid = 'maybe'", "on_invalid: must be in ['disconnect"),
        (SERVICE + CLIENTS + "[process]\nworkers = 257", "process.workers: must be <= 256"),
        (SERVICE + CLIENTS + "[process]\ndrain_seconds = nan", "process.drain_seconds: must be >= 0"),
        (SERVICE + CLIENTS + "[log]\nlevel = 'loud'", "log.level: must be in ['debug', 'info', 'warning', 'error']"),
        (SERVICE + CLIENTS + "[admin]\nlisten = '9464'", "admin.listen: '9464' has no port"),
        (SERVICE.replace('"orders"', '""') + CLIENTS, "name: it is empty"),
        (SERVICE.replace("tcp://*:5556", "tcp://*") + CLIENTS, "listen: 'tcp://*' has no port"),
        (SERVICE.replace("tcp://*:5556", "tcp://a..b:1") + CLIENTS, "listen: 'tcp://a..b:1' has no host name"),
        (SERVICE + f"[service.clients]\ndirectory = '{'x' * 300}'", "can not be listed: file name too long"),
        (EGRESS + "socket_mode = '600 '", "egress \"far\": socket_mode: '600 ' is no mode of a file: write it as chm"),
        (EGRESS + "socket_mode = '0900'", "is no mode of a file"),
        (EGRESS + "socket_mode = 0o600", "socket_mode: a string is wanted, not a whole number"),
        (EGRESS + "allow_uids = [1000, -1]", "allow_uids: must be >= 0: -1"),
        (EGRESS + "allow_uids = ['alice']", "allow_uids[0]: a whole number is wanted, not a string"),
        (EGRESS + "client_socket_type = 'REQUEST'", "client_socket_type: must be in ['', 'REQ', "),
        (EGRESS + "connect_seconds = 0", "connect_seconds: must be > 0"),
        (EGRESS + "[egress.limits]\nmax_sessions = 0", "limits.max_sessions: must be >= 1"),
        (EGRESS + "[egress.limits]\nhandshake_seconds = 61", "limits.handshake_seconds: must be <= 60"),
        (EGRESS.replace('"far"', '""'), "egress[0].name: it is empty"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_found_with_its_place_and_a_hint(place: Path, text: str, complaint: str) -> None:
    found = complaints(place, text)
    assert len(found) == 1, found
    assert complaint in found[0]
