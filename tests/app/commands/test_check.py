"""``curveproxy check``: all that is wrong at once, each with its place and what to do; exit 0 or 2."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from support.authority import SignsHere, authority
from support.process import certificate, command, curveproxy

from curveproxy.app.commands.check import Findings
from curveproxy.app.commands.check import check as look
from curveproxy.app.config.certificates import read_certificate
from curveproxy.app.watch.clients import BOTH
from curveproxy.app.watch.own_certificates import ENDED
from curveproxy.app.watch.trust import FLAWED
from curveproxy.policy.socket_types import DROPPING_HINT, PAIR_HINT

SERVICE = """
[[service]]
name = "orders"
listen = "tcp://*:5556"
backend = "tcp://127.0.0.1:5555"
secret_keys = ["server.key_secret"]
[service.clients]
directory = "clients"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A server's key, and alice's among the clients."""
    certificate(tmp_path, "server")
    (tmp_path / "server.key_secret").chmod(0o600)
    clients = tmp_path / "clients"
    clients.mkdir()
    certificate(tmp_path, "alice")
    (tmp_path / "alice.key").rename(clients / "alice.key")
    return tmp_path


def check(place: Path, text: str) -> tuple[int, str, list[str]]:
    """Exit status, what is on stdout, and the lines on stderr without the program's name."""
    (place / "c.toml").write_text(text)
    done = curveproxy("check", "c.toml", directory=place)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, [line.removeprefix("curveproxy: ") for line in done.stderr.splitlines()]


def test_what_is_in_order_is_said_so(place: Path) -> None:
    assert check(place, SERVICE) == (0, "c.toml is in order: 1 service, 1 client key\n", [])


@pytest.mark.parametrize("where", ["admin", "service"])
def test_an_address_that_can_not_be_bound_is_told_and_one_in_use_is_not(place: Path, where: str) -> None:
    def found(address: str) -> tuple[int, list[str]]:
        text = SERVICE.replace("*:5556", address) if where == "service" else f'[admin]\nlisten = "{address}"\n{SERVICE}'
        status, _, told = check(place, text)
        return status, told

    named = "admin" if where == "admin" else 'service "orders"'
    status, told = found("192.0.2.1:5999")
    assert (status, told) == (
        2,
        [f"error: {named}: cannot listen on tcp://192.0.2.1:5999: no interface of this machine has that address"],
    )
    with socket.create_server(("127.0.0.1", 0)) as running:
        assert found(f"127.0.0.1:{running.getsockname()[1]}") == (0, [])


@pytest.mark.deep
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give its rights away")
def test_a_port_that_this_user_may_not_bind_is_a_warning(place: Path) -> None:
    """Another user, or systemd, may."""
    (place / "c.toml").write_text(SERVICE.replace("*:5556", "127.0.0.1:81"))
    limited = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    done = subprocess.run(
        [*limited, *command(), "check", "c.toml"], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert 'warning: service "orders": cannot listen on tcp://127.0.0.1:81: permission denied' in done.stderr


def test_the_name_of_an_interface_is_told_with_what_to_write(place: Path) -> None:
    status, _, told = check(place, SERVICE.replace("*:5556", "lo:5556"))
    assert status == 2
    assert told[-1].endswith("listen: tcp://lo:5556: that is the name of a network interface: write its address")


def test_everything_is_told_in_one_run(place: Path) -> None:
    (place / "clients" / "bob.key").write_text("no certificate")
    halves = (place / "server.key_secret").read_text(), (place / "alice.key_secret").read_text()
    secret = next(line for line in halves[1].splitlines() if "secret-key" in line)
    kept = [line for line in halves[0].splitlines() if "secret-key" not in line]
    (place / "mixed.key_secret").write_text("\n".join([*kept, secret]))

    def service(name: str, port: int, *lines: str, key: str = "server.key_secret", host: str = "127.0.0.1") -> str:
        text = SERVICE.replace("orders", name).replace("*:5556", f"*:{port}").replace("server.key_secret", key)
        head, tail = text.replace("127.0.0.1", host).split("[service.clients]")
        return head + "\n".join(lines) + "\n[service.clients]" + tail

    status, out, told = check(
        place,
        service("typo", 1, "forward_identiti = true")
        + service("type", 2, 'forward_identity = "yes"')
        + service("twin", 2)
        + service("missing", 4, key="nowhere.key_secret")
        + service("public", 5, key="server.key")
        + service("halves", 6, key="mixed.key_secret")
        + service("remote", 7, host="10.0.0.1")
        + service("nobody", 8).replace('directory = "clients"', "")
        + service("path", 9).replace("tcp://*:9", "ipc://nowhere/front"),
    )
    assert (status, out) == (2, "")
    for words in [
        'service "typo": forward_identiti: no such setting: did you mean forward_identity',
        'service "type": forward_identity: true or false is wanted, not a string',
        'service "twin": secret_keys: "type" on the same endpoint has that key too: each needs its own',
        'service "missing": secret_keys[0]: nowhere.key_secret can not be read: no such file or directory',
        'service "public": secret_keys[0]: server.key holds a public key only: name its .key_secret file',
        'service "halves": secret_keys[0]: mixed.key_secret: the public and the secret key do not belong together',
        'service "remote": backend: tcp://10.0.0.1:5555 is another machine, and what goes there is not encrypted',
        'service "nobody": clients: nobody is listed: add directory = "clients"',
        'service "path": listen: nowhere is not a directory: make it',
        'service "typo": clients/bob.key holds no public key: is it a certificate of',
    ]:
        assert [line for line in told if line.startswith(f"error: {words}")], (words, told)


def test_what_may_be_wanted_is_a_warning(place: Path) -> None:
    (place / "server.key_secret").chmod(0o644)
    (place / "alice.key_secret").rename(place / "clients" / "alice.key_secret")
    (place / "clients" / "alice.key").rename(place / "alice.key")
    text = SERVICE.replace("[service.clients]", 'backend_socket_type = "REP"\n[service.clients]')
    status, out, told = check(place, text + '[service.messages]\non_invalid = "drop"\n')
    assert (status, out) == (0, "c.toml is in order: 1 service, 0 client keys\n")
    assert [line.partition('"orders": ')[2] for line in told] == [
        "a secret key can be read by others server.key_secret: chmod 600 server.key_secret",
        "a secret key lies among the clients clients/alice.key_secret: only public keys belong there",
        "nobody can connect: put the clients' .key files into the clients directory",
        'messages.records: who drops invalid messages does without records: write records = "off"',
        f"dropping does not suit a REP service: {DROPPING_HINT}",
    ]
    assert all(line.startswith("warning: ") for line in told)


def test_an_old_pair_and_several_workers_are_a_warning(place: Path) -> None:
    text = SERVICE.replace("[service.clients]", 'backend_socket_type = "PAIR"\n[service.clients]')
    for workers in (1, 2):
        _, _, told = check(place, text + f"[process]\nworkers = {workers}\n")
        assert any(PAIR_HINT in line for line in told) == (workers > 1)


def test_a_page_on_which_everybody_can_act_is_a_warning(place: Path) -> None:
    for settings, warned in (("public_page", False), ("allow_actions", False), ("public_page allow_actions", True)):
        lines = "".join(f"{name} = true\n" for name in settings.split())
        status, _, told = check(place, f"[admin]\n{lines}{SERVICE}")
        assert (status, bool([line for line in told if "any site that a browser there" in line])) == (0, warned)


def test_what_a_second_service_on_an_endpoint_may_not_decide_is_told(place: Path) -> None:
    certificate(place, "other")
    limits = "[service.admission]\nmax_half_open = 7\nmax_sessions = 7\n"
    second = SERVICE.replace("orders", "prices").replace("server.key_secret", "other.key_secret")
    status, _, told = check(place, SERVICE + second + limits)
    assert (status, [line for line in told if "prices" in line and "admission" in line]) == (
        0,
        ['warning: service "prices": admission.max_half_open is not used: that of "orders" on the same endpoint holds'],
    )


EGRESS = """
[[egress]]
name = "far"
listen = "ipc://far.sock"
remote = ["tcp://a.host:5556"]
server_keys = ["clients/alice.key"]
secret_key = "server.key_secret"
"""


def test_an_egress_that_is_in_order_is_said_so(place: Path) -> None:
    assert check(place, EGRESS) == (0, "c.toml is in order: 1 egress\n", [])
    other = EGRESS.replace("far", "near")
    assert check(place, SERVICE + EGRESS + other)[1] == "c.toml is in order: 1 service, 1 client key, 2 egresses\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            EGRESS.replace("ipc://far.sock", "tcp://127.0.0.1:0"),
            "listen: tcp://127.0.0.1:0: every user of this host can connect, and uses our key at the remote: listen o",
        ),
        (
            EGRESS.replace("ipc://far.sock", "tcp://*:0") + "allow_remote_clients = true",
            "listen: tcp://*:0: whoever reaches it uses our key at the remote, and what goes there is not encrypted",
        ),
        (
            EGRESS.replace("far.sock", "@curveproxy-check"),
            "listen: ipc://@curveproxy-check: every user of this host can connect, and uses our key at the remote",
        ),
        (EGRESS + "socket_mode = '0666'", "socket_mode: every user of this host can connect, and uses our key at the"),
        (EGRESS + "socket_mode = '0640'", "socket_mode: 0640 lets in the socket's owner alone: who may connect has t"),
        (EGRESS.replace("server.key_secret", "open.key_secret"), "a secret key can be read by others open.key_secret"),
    ],
)  # fmt: skip
def test_who_else_may_use_the_key_of_an_egress_is_a_warning(place: Path, text: str, words: str) -> None:
    (place / "open.key_secret").write_text((place / "server.key_secret").read_text())
    (place / "open.key_secret").chmod(0o644)
    status, _, told = check(place, text)
    assert (status, len(told)) == (0, 1), told
    assert told[0].startswith(f'warning: egress "far": {words}')


@pytest.mark.parametrize("setting", ["socket_mode = '0660'", "socket_mode = '0666'\nallow_uids = [1000]"])
def test_whom_the_operator_has_named_is_no_warning(place: Path, setting: str) -> None:
    assert check(place, EGRESS + setting)[::2] == (0, [])


def test_what_is_wrong_with_an_egress_is_told(place: Path) -> None:
    for text, words in (
        (EGRESS.replace("far.sock", "nowhere/far.sock"), "listen: nowhere is not a directory: make it, for the socket"),
        (EGRESS.replace("tcp://a.host", "tcp://lo"), "remote[0]: tcp://lo:5556: that is the name of a network interf"),
        (EGRESS.replace("clients/alice.key", "server.key"), "server_keys[0]: it is our own key, the public half of"),
        (EGRESS.replace("clients/", "server/"), "server_keys[0]: server/alice.key can not be read: no such file"),
        (EGRESS + "socket_mode = 0660", ': write a mode in quotes, as socket_mode = "0600"'),
    ):  # fmt: skip
        status, _, told = check(place, text)
        assert status == 2
        assert words in told[0]


def test_a_file_that_is_none(place: Path) -> None:
    assert check(place, "x = ")[::2] == (2, ["error: c.toml: not TOML: invalid value (at end of document)"])
    assert curveproxy("check", "missing.toml").returncode == 2
    assert "missing argument 'config'" in curveproxy("check").stderr.lower()


@pytest.fixture
def signed(place: Path) -> SignsHere:
    """An authority that has signed both keys, and its revocation list."""
    plant = authority(place)
    server, alice = (read_certificate(place / file).public for file in ("server.key", "clients/alice.key"))
    plant.sign(server, place / "server.cert", names="a.host")
    plant.sign(alice, place / "alice.cert")
    (place / "revoked").touch()
    return plant


CERTIFIED = SERVICE.replace("[service.clients]", "certificates = ['server.cert']\n[service.clients]") + (
    "authorities = [{ file = 'plant-1.authority' }]\nrevoked = 'revoked'\n"
)
BELIEVING = EGRESS.replace(
    'server_keys = ["clients/alice.key"]\nsecret_key = "server.key_secret"',
    'authorities = [{ file = "plant-1.authority" }]\nsecret_key = "alice.key_secret"\ncertificate = "alice.cert"\n',
)


def findings(place: Path, text: str) -> Findings:
    """What is found without a process."""
    (place / "c.toml").write_text(text)
    (place / "alice.key_secret").chmod(0o600)
    return look(place / "c.toml")


def test_authorities_are_counted_once_and_are_a_list(place: Path, signed: SignsHere) -> None:
    found = findings(place, CERTIFIED + BELIEVING)
    assert (found.errors, found.warnings) == ([], [])
    assert found.counts == "1 service, 1 client key, 1 authority, 1 egress"
    alone = findings(place, CERTIFIED.replace('directory = "clients"\n', ""))
    assert (alone.counts, alone.warnings) == ("1 service, 0 client keys, 1 authority", [])


def test_certificates_among_the_clients_that_do_not_count_are_told(place: Path, signed: SignsHere) -> None:
    clients, key = place / "clients", bytes(range(32))
    signed.sign(key, clients / "till.cert")
    assert not findings(place, CERTIFIED).warnings
    authority(place, "stranger").sign(key, clients / "lost.cert")
    signed.sign(key, clients / "ended.cert", since=-7200, until=-3600)
    signed.sign(read_certificate(clients / "alice.key").public, clients / "alice.cert")
    found = findings(place, CERTIFIED)
    assert [line.partition('"orders": ')[2].partition(": ")[0] for line in found.warnings] == [
        f"{FLAWED} expired ['ended.cert']",
        f"{FLAWED} authority ['lost.cert']",
        f"{BOTH} ['alice.cert']",
    ]
    assert found.errors == []
    (clients / "till.cert").write_bytes(signed.text(key, names="x"))
    assert "till.cert is a server's certificate, and a client's is wanted" in findings(place, CERTIFIED).errors[0]


def test_what_is_certified_and_would_not_be_believed_is_an_error(place: Path, signed: SignsHere) -> None:
    server, alice = (read_certificate(place / file).public for file in ("server.key", "clients/alice.key"))
    pinned = BELIEVING + "server_certificate = 'server.cert'\n"
    assert findings(place, pinned).errors == []
    [wrong] = findings(place, pinned.replace("a.host", "b.host")).errors
    assert "server_certificate: service: it is not believed of b.host: " in wrong
    assert findings(place, pinned.replace("a.host", "b.host") + "server_name = 'A.host'\n").errors == []
    (place / "revoked").write_text("name server\n")
    assert "server_certificate: revoked: " in findings(place, pinned + "revoked = 'revoked'\n").errors[0]
    (place / "revoked").write_text("nonsense\n")
    assert "revoked: revoked, line 1: " in findings(place, pinned + "revoked = 'revoked'\n").errors[0].replace(
        f"{place}/", ""
    )
    for name, key, more in (("server", server, {"names": "a.host"}), ("alice", alice, {})):
        signed.sign(key, place / f"{name}.cert", since=-7200, until=-3600, **more)
    assert [ENDED in line for line in findings(place, pinned).errors] == [True, True]
    assert [ENDED in line for line in findings(place, CERTIFIED.replace("revoked = 'revoked'\n", "")).errors] == [True]
