"""A table with its key files is the settings of a service."""

import json
from pathlib import Path

import attrs
import structlog
from support.authority import SignsHere, authority

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.load import structure, tree_of
from curveproxy.app.config.schema import Config
from curveproxy.app.config.signed import read_signed
from curveproxy.app.observe.log import Log
from curveproxy.app.process.tables import EgressTable, ServiceTable
from curveproxy.policy.access.authorities import MAX_DAYS, Authority, Trust
from curveproxy.policy.access.revocations import Revocations
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


def certified(place: Path) -> tuple[SignsHere, Config]:
    """The same, believing an authority that has signed all three keys."""
    before, plant = config(place), authority(place)
    (place / "revoked").write_text("name desk-8\n")
    plant.sign(OWN.public, place / "alice.cert")
    plant.sign(REMOTE.public, place / "orders.cert", names="orders")
    tree = tree_of(before)
    tree["egress"][0] |= {
        "authorities": [{"file": "plant-1.authority"}],
        "server_keys": [],
        "certificate": "alice.cert",
    }
    tree["egress"][0] |= {"server_certificate": "orders.cert", "server_name": "orders", "revoked": "revoked"}
    tree["service"][0] |= {"certificates": ["orders.cert"]}
    trusting = {"authorities": [{"file": "plant-1.authority", "names": ["desk-*"]}], "revoked": "revoked"}
    tree["service"][0]["clients"] |= trusting | {"clock_skew_seconds": 5}
    return plant, structure(tree, place)


def test_a_table_has_the_authorities_and_certificates_that_it_names(tmp_path: Path) -> None:
    plant, found = certified(tmp_path)
    table = ServiceTable(found.service[0], ["orders"], LOG, None)
    revocations = Revocations(names=frozenset({"desk-8"}))
    own = read_signed(tmp_path / "orders.cert")
    assert table.access.trust == Trust((Authority("plant-1", plant.key, ("desk-*",), MAX_DAYS),), revocations, 5)
    assert table.settings(WHOLE).certificates == (own.text,)
    assert table.let_in == {"clients": "any", "authorities": ["plant-1"], "revocations": 1}
    assert table.keys_in_force == {"server_keys": [z85.encode(REMOTE.public)], "certificates": [own.serial]}
    far = EgressTable(found.egress[0], LOG)
    settings, ours = far.settings(WHOLE).egress, read_signed(tmp_path / "alice.cert")
    assert settings is not None
    assert settings.trust == Trust((Authority("plant-1", plant.key),), revocations)
    assert (settings.server_keys, settings.server_name) == ((), "orders")
    assert (settings.server_certificate, settings.certificate) == (own.text, ours.text)
    assert far.keys_in_force == {
        "public_key": z85.encode(OWN.public),
        "certificates": [ours.serial],
        "authorities": ["plant-1"],
        "revocations": 1,
    }
    assert (far.list_files, len(far.key_files), len(table.key_files), len(table.list_files)) == ((), 4, 2, 2)


def test_a_worker_is_told_of_authorities_and_certificates(tmp_path: Path) -> None:
    _, found = certified(tmp_path)
    again = structure(json.loads(json.dumps(tree_of(found))), Path())
    assert (again.service, again.egress) == (found.service, found.egress)


def test_what_was_found_good_is_handed_on_from_table_to_table(tmp_path: Path) -> None:
    service = certified(tmp_path)[1].service[0]
    table = ServiceTable(service, ["orders"], LOG, None)
    other = attrs.evolve(service, clients=attrs.evolve(service.clients, authorities=[], revoked=None))
    later = ServiceTable(other, ["orders"], LOG, table)
    assert later.access.verified is table.access.verified
    assert later.access.trust == Trust(skew=5)
    assert later.clients is not table.clients, "certificates among the keys count no more"


def test_a_certificate_of_another_key_is_not_presented(tmp_path: Path) -> None:
    plant, found = certified(tmp_path)
    far, service = EgressTable(found.egress[0], LOG), ServiceTable(found.service[0], ["orders"], LOG, None)
    before = far.settings(WHOLE), service.settings(WHOLE)
    plant.sign(INLINE.public, tmp_path / "alice.cert")
    plant.sign(INLINE.public, tmp_path / "orders.cert", names="orders")
    for files in (*far.key_files, *service.key_files):
        files.refresh()
    now = far.settings(WHOLE), service.settings(WHOLE)
    assert now[1] == before[1], "its key has not been replaced yet"
    assert now[0].egress is not None
    assert before[0].egress is not None
    assert now[0].egress.certificate == before[0].egress.certificate
    assert now[0].egress.server_certificate == read_signed(tmp_path / "orders.cert").text
