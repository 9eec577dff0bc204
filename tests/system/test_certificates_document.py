"""What docs/certificates.md tells an operator to do, done as it stands there: nobody is locked out, no session ends."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.client import RawClient, answers
from support.curve import Keys
from support.local import Client
from support.peer import Refused
from support.process import ROOT, Sidecar, command, curveproxy, environment, free_port, toml, wait_until
from support.service import RawService, echo

TEXT = (ROOT / "docs" / "certificates.md").read_text()
pytestmark = pytest.mark.deep


def section(title: str) -> str:
    """Between a title and the next."""
    assert f"\n## {title}\n" in TEXT
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def commands(title: str) -> list[str]:
    """What is to be typed there."""
    return re.findall(r"^ +\$ (.*)", section(title), re.MULTILINE)


def tables(title: str) -> list[str]:
    """What is to be configured there."""
    found = re.findall(r"^( *)```toml\n(.*?)^ *```", section(title), re.MULTILINE | re.DOTALL)
    return [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def do(lines: list[str], directory: Path) -> None:
    """Type these into a shell. Each has to work."""
    shell = "\n".join([f'curveproxy() {{ {shlex.join(command())} "$@"; }}', "set -e", *lines])
    done = subprocess.run(["sh", "-c", shell], cwd=directory, env=environment(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_authority_signs_and_what_it_has_signed_is_looked_at_and_revoked(tmp_path: Path) -> None:
    do(["curveproxy keygen desk-7", "curveproxy keygen orders"], tmp_path)
    do(commands("Make an authority, and sign with it"), tmp_path)
    assert re.fullmatch("serial [0-9a-f]{16}\n", (tmp_path / "revoked").read_text())
    (tmp_path / "desk-7.cert").unlink()
    do(commands("Topics"), tmp_path)
    said = [line.split() for line in curveproxy("show", "desk-7.cert", directory=tmp_path).stdout.splitlines()]
    assert ["topics", "orders.eu.", "status"] in said
    assert ["publish-topics", "desk-7."] in said


OWN = """
listen = "tcp://127.0.0.1:0"
backend = "tcp://127.0.0.1:5555"
secret_keys = ["keys/orders.key_secret"]
"""


def test_each_table_is_one_that_is_taken(tmp_path: Path) -> None:
    do(["mkdir clients", "curveproxy keygen orders --directory keys", "touch revoked"], tmp_path)
    do(["curveproxy keygen desk-7 --directory keys"], tmp_path)
    do(commands("Rotate an authority"), tmp_path)
    signing = commands("Make an authority, and sign with it")
    do([each.replace(" desk-7.key", " keys/desk-7.key --out desk-7.cert") for each in signing[:2]], tmp_path)
    do([signing[2].replace(" orders.key", " keys/orders.key --out orders.cert")], tmp_path)
    titles = ("In front of a service", "From a directory of keys to an authority", "The server's key")
    for table in [each for title in (*titles, "Rotate an authority") for each in tables(title)]:
        config = table if "[[" in table else f'[[service]]\nname = "orders"{OWN}{table}'
        if "[[service]]" in table:
            config += '[service.clients]\ndirectory = "clients"\n'
        (tmp_path / "curveproxy.toml").write_text(config)
        done = curveproxy("check", "curveproxy.toml", directory=tmp_path)
        assert done.returncode == 0, f"{config}\n{done.stderr}"


class Fleet:
    """A proxy that lists its clients by key, of which one has a session."""

    def __init__(self, proxy: Sidecar) -> None:
        self.proxy, self.lists = proxy, '[service.clients]\ndirectory = "clients"\n'
        assert self.lists in proxy.config.read_text()
        self.alice, self.bob = proxy.new_client("alice"), proxy.new_client("bob")
        proxy.wait_listed(2, "orders")
        self.session = self.client(self.alice).handshake()

    def client(self, keys: Keys) -> RawClient:
        return RawClient(self.proxy.public, self.proxy.server.public, keys)

    def do(self, *lines: str) -> None:
        do(list(lines), self.proxy.directory)

    def list(self, table: str) -> None:
        """Have this in place of its table of clients, and reload."""
        self.proxy.config.write_text(self.proxy.config.read_text().replace(self.lists, table))
        self.proxy.signal(signal.SIGHUP)
        self.lists = table

    def sessions(self, authority: str) -> dict[str, float]:
        """How many there are by each authority, where that is listed."""
        found = {
            dict(labels)["authority"]: value
            for (name, labels), value in self.proxy.metrics().items()
            if name == "curveproxy_certificate_sessions"
        }
        return {authority: found[authority]} if authority in found else {}

    def wait(self, authority: str, sessions: float) -> None:
        wait_until(lambda: self.sessions(authority) == {authority: sessions}, f"{sessions} sessions by {authority}")

    def wait_certificate(self, file: str) -> None:
        """Until the session is by the certificate in that file."""
        found = re.search('serial = "(.*)"', (self.proxy.clients / file).read_text())
        assert found is not None
        serial = found[1]

        def is_by() -> bool:
            [session] = json.loads(self.proxy.get("/api/status")[1])["sessions"]
            return bool(session["certificate"] == serial)

        wait_until(is_by, f"it is by {file}")

    @property
    def turned_away(self) -> float:
        """How many were refused, and sessions ended."""
        refused = sum(
            value
            for (name, labels), value in self.proxy.metrics().items()
            if name == "curveproxy_handshakes_total" and dict(labels)["outcome"] not in ("admitted", "probe")
        )
        return refused + self.proxy.metric("curveproxy_sessions_closed_total", reason="revoked")


@contextmanager
def running() -> Iterator[Fleet]:
    with RawService(echo) as behind:
        own = {"name": "orders", "listen": "tcp://127.0.0.1:0", "backend": behind.endpoint}
        config = toml("[[service]]", {**own, "secret_keys": ["server.key_secret"]})
        with Sidecar(config + toml("[service.clients]", {"directory": "clients"})) as proxy:
            found = Fleet(proxy)
            try:
                yield found
            finally:
                found.session.close()


def test_from_keys_to_an_authority_and_on_to_another_nobody_is_locked_out() -> None:
    title = "From a directory of keys to an authority"
    make, sign, move = commands(title)
    [table] = tables(title)
    with running() as fleet:
        fleet.do(make)
        fleet.list(table)
        fleet.wait("plant-1", 0)
        fleet.do(sign, move)
        fleet.wait("plant-1", 1)
        assert answers(fleet.session)
        with fleet.client(fleet.bob) as bob:
            assert answers(bob.handshake())

        fleet.do(*commands("When a client is to be signed again"))
        fleet.wait_certificate("alice-2.cert")

        [make_other] = commands("Rotate an authority")
        [both] = tables("Rotate an authority")
        fleet.do(make_other)
        fleet.list(both)
        fleet.wait("plant-2", 0)
        fleet.do(
            commands("When a client is to be signed again")[0]
            .replace("plant-1", "plant-2")
            .replace("alice-2", "alice-3")
        )
        fleet.wait_certificate("alice-3.cert")
        fleet.list(both.replace('{ file = "keys/plant-1.authority" }, ', ""))
        wait_until(lambda: not fleet.sessions("plant-1"), "the old one is gone")
        assert answers(fleet.session)
        assert fleet.turned_away == 0


def test_a_stolen_key_is_out_whatever_certificates_it_has() -> None:
    title = "From a directory of keys to an authority"
    make, *sign_and_move = commands(title)
    [table], [renew] = tables(title), commands("When a client is to be signed again")
    with running() as fleet:
        fleet.do("touch revoked", make)
        fleet.list(table + 'revoked = "revoked"\n')
        fleet.wait("plant-1", 0)
        fleet.do(*sign_and_move, renew)
        fleet.wait("plant-1", 1)
        fleet.do(*commands("When a key is stolen"))
        fleet.proxy.wait_metric("curveproxy_sessions_closed_total", 1, reason="revoked")
        fleet.proxy.wait_metric("curveproxy_revocations", 1, service="orders")
        with pytest.raises(Refused), fleet.client(fleet.alice) as thief:
            thief.handshake()
        assert fleet.proxy.metric("curveproxy_certificates_total", service="orders", result="revoked") == 1
        with fleet.client(fleet.bob) as bob:
            assert answers(bob.handshake())


# --- the server's key


def test_a_server_s_key_is_rotated_and_no_egress_is_told() -> None:
    """The egress and the service in one process."""
    signing, (make, sign) = commands("Make an authority, and sign with it"), commands("The server's key")
    with RawService(echo) as behind:
        front = f"tcp://127.0.0.1:{free_port()}"
        authorities = 'authorities = [{ file = "keys/plant-1.authority" }]\n'

        def tables(*keys: str) -> str:
            lists = {
                "secret_keys": [f"keys/{key}.key_secret" for key in keys],
                "certificates": [f"{key}.cert" for key in keys],
            }
            service = toml("[[service]]", {"name": "orders", "listen": front, "backend": behind.endpoint, **lists})
            own = {"secret_key": "keys/desk-7.key_secret", "certificate": "desk-7.cert", "server_name": "orders"}
            egress = toml("[[egress]]", {"name": "out", "listen": "tcp://127.0.0.1:0", "remote": [front], **own})
            return f"{service}[service.clients]\n{authorities}{egress.rstrip()}\n{authorities}"

        proxy = Sidecar(tables("orders"))
        rest = "\n[admin]" + proxy.config.read_text().partition("\n[admin]")[2]
        do(["curveproxy keygen desk-7 --directory keys", "curveproxy keygen orders --directory keys"], proxy.directory)
        make_authority, _, sign_server, *_ = signing
        do([make_authority, sign_server.replace(" orders.key", " keys/orders.key --out orders.cert")], proxy.directory)
        signs = "curveproxy sign keys/desk-7.key --authority keys/plant-1.authority_secret --out desk-7.cert"
        do([signs], proxy.directory)

        def reload(*keys: str) -> None:
            proxy.config.write_text(tables(*keys) + rest)
            proxy.signal(signal.SIGHUP)
            known = {key.removesuffix(".key_secret") for key in keys}
            wait_until(lambda: keys_of(proxy) == known, f"its keys are {keys}")

        with proxy, Client.to(proxy.endpoints["out"]) as before:
            before.handshake()
            do([make, sign], proxy.directory)
            reload("orders", "orders-2")
            reload("orders-2")
            wait_until(lambda: gets_in(proxy), "the egress has asked again", 60)  # it does at most once in ten seconds
            assert proxy.metric("curveproxy_server_key_handshakes_total", key="orders-2") >= 1
            assert answers(before)


def keys_of(proxy: Sidecar) -> set[str]:
    """The names of its server keys."""
    name = "curveproxy_server_key_handshakes_total"
    return {
        dict(labels)["key"]
        for found, labels in proxy.metrics()
        if found == name and dict(labels)["service"] == "orders"
    }


def gets_in(proxy: Sidecar) -> bool:
    """Whether a client of the egress does."""
    with suppress(EOFError, OSError), Client.to(proxy.endpoints["out"]) as client:
        return answers(client.handshake())
    return False
