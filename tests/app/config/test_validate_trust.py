"""Authorities and certificates: what of them does not go together."""

from pathlib import Path

import pytest
from attrs import frozen
from support.authority import SignsHere, authority
from support.configuration import CLIENTS, EGRESS, SERVICE, complaints

from curveproxy.app.config.certificates import read_certificate
from curveproxy.app.config.load import load
from curveproxy.app.config.schema import Config
from curveproxy.policy.access.authorities import MAX_DAYS, Authority

TRUSTING = SERVICE + CLIENTS + "authorities = [{ file = 'plant-1.authority' }]\n"
PINNED = 'server_keys = ["keys/orders.key"]\n'
BELIEVING = EGRESS.replace(PINNED, "authorities = [{ file = 'plant-1.authority' }]\n")


@frozen
class Signed:
    """A place with an authority, certificates of the server's key and of alice's, and one of a key that is not here."""

    place: Path
    plant: SignsHere

    def load(self, text: str) -> Config:
        """The configuration of that text."""
        (self.place / "c.toml").write_text(text)
        return load(self.place / "c.toml")


@pytest.fixture
def signed(place: Path) -> Signed:
    plant = authority(place)
    for name, more in (("server", {"names": "orders.example"}), ("alice", {}), ("orders", {"names": "orders.example"})):
        plant.sign(read_certificate(place / "keys" / f"{name}.key").public, place / f"{name}.cert", **more)
    (place / "revoked").write_text("name desk-8\n")
    return Signed(place, plant)


def test_what_is_written_is_taken_with_its_defaults(signed: Signed) -> None:
    text = TRUSTING + "revoked = 'revoked'\n"
    text = text.replace('key_secret"]', 'key_secret"]\ncertificates = ["server.cert"]')
    egress = BELIEVING + "revoked = 'revoked'\nserver_name = 'orders.example'\nserver_certificate = 'orders.cert'\n"
    config = signed.load(text + egress + "certificate = 'alice.cert'\nclock_skew_seconds = 5\n")
    [service], [far], key = config.service, config.egress, signed.plant.key
    clients = service.clients
    assert [each.authority(key) for each in clients.authorities] == [Authority("plant-1", key, ("*",), MAX_DAYS)]
    assert clients.revoked is not None
    assert (sorted(clients.revoked.revocations.names), clients.clock_skew_seconds) == (["desk-8"], 60)
    assert [each.certificate.name for each in service.certificates] == ["server"]
    assert [each.authority(key) for each in far.authorities] == [Authority("plant-1", key, ("*",), None)]
    assert far.server_certificate is not None
    assert far.certificate is not None
    assert (far.server_certificate.certificate.name, far.certificate.certificate.name) == ("orders", "alice")
    assert (far.server_name, far.clock_skew_seconds, far.server_keys) == ("orders.example", 5, [])


def test_authorities_alone_are_a_list(signed: Signed) -> None:
    alone = TRUSTING.replace('directory = "clients"\n', "")
    assert signed.load(alone).service[0].clients.directory is None
    table = SERVICE + "[[service.clients.authorities]]\nfile = 'plant-1.authority'\nnames = ['desk-*']\nmax_days = 0\n"
    [found] = signed.load(table).service[0].clients.authorities
    assert found.authority(b"").names == ("desk-*",)
    assert found.authority(b"").max_days is None


def test_defaults_are_of_all_services(signed: Signed) -> None:
    defaults = "[defaults.clients]\nauthorities = [{ file = 'plant-1.authority' }]\nrevoked = 'revoked'\n"
    found = signed.load(defaults + SERVICE).service[0].clients
    assert (len(found.authorities), found.revoked is None) == (1, False)
    own = signed.load(defaults + SERVICE + CLIENTS + "authorities = []\nrevoked = ''\n").service[0].clients
    assert (own.authorities, own.revoked) == ([], None)


ENTRY = "authorities = [{ file = 'plant-1.authority' }"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SERVICE + CLIENTS + "authorities = 'plant-1.authority'\n", "clients.authorities: a list is wanted, not a str"),
        (SERVICE + CLIENTS + "authorities = ['plant-1.authority']\n", "authorities[0]: a table is wanted, not a strin"),
        (SERVICE + CLIENTS + "authorities = ['plant-1.authority']\n", 'not a string: write { file = "..." }'),
        (SERVICE + CLIENTS + "authorities = [{ names = ['a'] }]\n", "clients.authorities[0].file: it is missing"),
        (TRUSTING.replace("}", ", name = ['a'] }"), "clients.authorities[0].name: no such setting"),
        (TRUSTING.replace("}", ", names = [] }"), "clients.authorities[0].names: it is empty, and nothing"),
        (TRUSTING.replace("}", ", max_days = -1 }"), "clients.authorities[0].max_days: must be >= 0"),
        (TRUSTING.replace("plant-1.a", "plant-2.a"), "clients.authorities[0].file: "),
        (TRUSTING.replace("plant-1.a", "plant-2.a"), "plant-2.authority can not be read: no such file"),
        (TRUSTING.replace("plant-1.authority", "keys/server.key"), "server.key is not a file of an authority"),
        (TRUSTING + "revoked = 'nowhere'\n", 'nowhere can not be read: no such file or directory: make an empty one'),
        (TRUSTING + "revoked = 'broken'\n", "broken, line 1: it begins with none of serial"),
        (TRUSTING + "clock_skew_seconds = 86401\n", "clients.clock_skew_seconds: must be <= 86400"),
        (TRUSTING.replace("}]", "}, { file = 'plant-1.authority' }]"), "authorities[1].file: "),
        (TRUSTING.replace("}]", "}, { file = 'same.authority' }]"), "same.authority holds the key of "),
        (TRUSTING.replace("}]", "}, { file = 'other/plant-1.authority' }]"), "plant-1.authority has the same name as "),
        (SERVICE + CLIENTS + "revoked = 'revoked'\n", "clients.revoked: there are no authorities, and it has"),
        (SERVICE + "certificates = ['server.cert', 'orders.cert']\n" + CLIENTS, "certificates[1]: "),
        (SERVICE + "certificates = ['orders.cert']\n" + CLIENTS, "orders.cert is of no key among secret_keys"),
        (SERVICE + "certificates = ['alice.cert']\n" + CLIENTS, "a client's certificate, and a server's is wanted"),
        (SERVICE + "certificates = ['keys/server.key']\n" + CLIENTS, "server.key is a key that no authority"),
        (SERVICE + "certificates = ['server.cert', 'large.cert']\n" + CLIENTS, "large.cert: too_large: it has more"),
        (BELIEVING + PINNED, 'egress "far": authorities: server_keys are there too: pin keys, or believe authorities'),
        (BELIEVING.replace("plant-1.a", "plant-2.a"), 'egress "far": authorities[0].file: '),
        (EGRESS.replace(PINNED, ""), 'egress "far": server_keys: there is none: write the remote\'s public key, in Z'),
        (EGRESS + "revoked = 'revoked'\n", 'egress "far": revoked: there are no authorities, and it has no'),
        (EGRESS + "server_name = 'x'\n", 'egress "far": server_name: there are no authorities, and it has no'),
        (EGRESS + "server_certificate = 'orders.cert'\n", "server_certificate: there are no authorities, and it has"),
        (EGRESS + "certificate = 'orders.cert'\n", "orders.cert is a server's certificate, and a client's is wanted"),
        (EGRESS + "certificate = 'desk.cert'\n", "desk.cert is not of our own key: sign the public half of secret_key"),
        (BELIEVING + "server_certificate = 'own.cert'\n", "own.cert is of our own key, the public half of secret_key"),
        (BELIEVING.replace("tcp://orders.example:5556", "ipc:///x.sock"), "ipc:///x.sock has no host by which its"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told_once(signed: Signed, text: str, complaint: str) -> None:
    place, plant = signed.place, signed.plant
    (place / "broken").write_text("whisper\n")
    (place / "same.authority").write_text(plant.file.read_text())
    (place / "other").mkdir()
    authority(place / "other")
    (place / "large.cert").write_bytes(b"#" * 2000 + b"\n" + plant.text(bytes(32), names="x"))
    plant.sign(bytes(32), place / "desk.cert")
    plant.sign(read_certificate(place / "keys" / "alice.key").public, place / "own.cert", names="x")
    found = complaints(place, text)
    assert len(found) == 1, found
    assert complaint in found[0]


def test_a_remote_without_a_host_needs_a_name(signed: Signed) -> None:
    text = BELIEVING.replace("tcp://orders.example:5556", "ipc:///x.sock")
    assert signed.load(text + "server_name = 'orders'\n").egress[0].server_name == "orders"


def test_the_answer_at_one_endpoint_is_bounded(signed: Signed) -> None:
    """Of all services there together, and of none that listens elsewhere."""
    place, plant, names = signed.place, signed.plant, " ".join(["x" * 60] * 16)
    keys = {name: read_certificate(place / "keys" / f"{name}.key").public for name in ("server", "orders")}
    for number in range(3):
        for name, key in keys.items():
            plant.sign(key, place / f"{name}-{number}.cert", names=names)
    size = len((place / "server-0.cert").read_bytes())
    assert 12 + 5 * (2 + size) <= 8192 < 12 + 6 * (2 + size)

    def service(name: str, count: int, port: int = 5556) -> str:
        text = SERVICE.replace('"orders"', f'"{name}"').replace("server.key", f"{name}.key").replace("5556", f"{port}")
        return text + f"certificates = {[f'{name}-{number}.cert' for number in range(count)]}\n" + CLIENTS

    assert len(signed.load(service("server", 3) + service("orders", 2)).service) == 2
    assert len(signed.load(service("server", 3) + service("orders", 3, port=5557)).service) == 2
    [found] = complaints(place, service("server", 3) + service("orders", 3))
    assert found.startswith('service "orders": certificates: with all of tcp://*:5556 the answer to who asks has 8_')
