"""A table with its key files is the settings of a service."""

from pathlib import Path

import attrs
import structlog

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.load import structure, tree_of
from curveproxy.app.config.schema import Config
from curveproxy.app.observe.log import Log
from curveproxy.app.process.tables import EgressTable, ServiceTable
from curveproxy.policy.limits import WHOLE, MessageLimits, WorkerShare
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import EgressSettings, RefusalMode, ServiceKind
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair

LOG: Log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
OWN, REMOTE, INLINE = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()


def config(place: Path) -> Config:
    """A service and an egress."""
    service = {"name": "orders", "listen": "tcp://127.0.0.1:1", "backend": "tcp://127.0.0.1:2"}
    egress = {
        "name": "far",
        "listen": f"ipc://{place}/far.sock",
        "remote": ["tcp://a.host:1", "tcp://b.host:2"],
        "server_keys": ["orders.key", z85.encode(INLINE.public)],
        "secret_key": "alice.key_secret",
        "client_socket_type": "REQ",
        "socket_mode": "0660",
        "allow_uids": [0, 1000],
        "connect_seconds": 3,
        "limits": {"handshake_seconds": 4, "max_half_open": 50, "max_sessions": 7, "heartbeat_seconds": 2},
        "messages": {"max_message_bytes": 1000},
    }
    defaults = {"messages": {"on_invalid": "drop"}, "clients": {"allow": "any", "idle_seconds": 9}}
    for name, pair in (("alice", OWN), ("orders", REMOTE)):
        write_key_pair(place / f"{name}.key_secret", pair)
    tables = {"service": [service | {"secret_keys": ["orders.key_secret"]}], "egress": [egress]}
    return structure(tables | {"defaults": defaults}, place)


def test_an_egress_has_what_its_table_says_and_all_its_clients_are_one_source(tmp_path: Path) -> None:
    table = EgressTable(config(tmp_path).egress[0], LOG)
    settings = table.settings(WHOLE)
    assert settings.kind == table.kind == ServiceKind.EGRESS
    assert settings.egress == EgressSettings(
        remotes=(Endpoint("tcp", "a.host", 1), Endpoint("tcp", "b.host", 2)),
        server_keys=(REMOTE.public, INLINE.public),
        keys=OWN,
        client_socket_type="REQ",
        allow_uids=frozenset({0, 1000}),
        socket_mode=0o660,
    )
    assert (settings.backend, settings.server_keys) == (Endpoint("tcp", "a.host", 1), ())
    assert (settings.refusal, settings.allow_remote_backend) == (RefusalMode.CLOSE, True)
    assert settings.messages == MessageLimits(max_message_bytes=1000, on_invalid=settings.messages.on_invalid)
    assert settings.messages.on_invalid == "drop", "as in [defaults.messages]"
    assert (settings.idle_seconds, settings.heartbeat_seconds) == (0, 2)
    limits = settings.admission
    assert (limits.handshake_seconds, limits.backend_connect_seconds, limits.max_sessions) == (4, 3, 7)
    assert limits.max_half_open == limits.max_half_open_per_source == 50
    assert limits.handshakes_per_second_per_source > 1_000_000
    assert (table.access.allow_any, table.key_names) == (True, {})
    assert OWN.secret.hex() not in repr(settings)
    assert repr(OWN.secret) not in repr(settings)


def test_the_log_tells_who_may_connect(tmp_path: Path) -> None:
    found = config(tmp_path)
    egress = found.egress[0]
    for changed, told in (
        ({}, {"socket_mode": "0660", "allow_uids": [0, 1000]}),
        ({"allow_uids": []}, {"socket_mode": "0660"}),
        ({"listen": Endpoint("ipc", "@far")}, {"allow_uids": [0, 1000]}),
        ({"listen": Endpoint("tcp", "127.0.0.1", 1), "allow_uids": []}, {"clients": "any"}),
    ):
        assert EgressTable(attrs.evolve(egress, **changed), LOG).let_in == told
    assert ServiceTable(found.service[0], ["orders"], LOG, None).let_in == {"clients": "any"}


def test_of_several_processes_each_has_its_share(tmp_path: Path) -> None:
    shares = [WorkerShare(index, 2) for index in range(2)]
    parts = [EgressTable(config(tmp_path / str(share.index)).egress[0], LOG).settings(share) for share in shares]
    assert [part.admission.max_sessions for part in parts] == [4, 3]
    assert [part.admission.max_half_open for part in parts] == [25, 25]


def test_a_worker_is_told_the_same(tmp_path: Path) -> None:
    found = config(tmp_path)
    again = structure(tree_of(found), Path())
    assert (again.service, again.egress) == (found.service, found.egress)


def test_a_list_of_clients_that_is_still_wanted_is_kept(tmp_path: Path) -> None:
    service = config(tmp_path).service[0]
    table = ServiceTable(service, ["orders"], LOG, None)
    assert ServiceTable(service, ["orders"], LOG, table).clients is table.clients
    egress = EgressTable(config(tmp_path / "other").egress[0], LOG)
    assert ServiceTable(service, ["orders"], LOG, egress).clients is not table.clients
    assert table.settings(WHOLE).kind == ServiceKind.INGRESS
    assert table.key_names == {REMOTE.public: "orders"}
