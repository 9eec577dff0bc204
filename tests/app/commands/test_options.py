"""Options of the command line as a configuration, and as the address of a running proxy."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from support.authority import authority, key_file

from curveproxy.app.commands.options import OptionsError, RunOptions, admin_address, config_of_options
from curveproxy.app.config.certificates import read_key_pair
from curveproxy.app.config.keys import RemoteKey, SecretKey
from curveproxy.app.config.load import ConfigError
from curveproxy.app.config.schema import Config
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair

SERVICE = RunOptions(listen="tcp://*:5556", backend="tcp://127.0.0.1:5555", allow_any=True, name="orders")
REMOTE = KeyPair.generate()
EGRESS = RunOptions(listen="ipc://far.sock", remote=("tcp://a.host:1", "tcp://b.host:2"))
EGRESS = attrs.evolve(EGRESS, server_key=(z85.encode(REMOTE.public),), name="far")


def of_options(secret_key: Path | None, **others: Any) -> Config:
    return config_of_options(attrs.evolve(SERVICE, secret_key=secret_key, **others))[0]


def test_a_key_that_is_missing_is_made_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "server.key_secret"
    [made] = of_options(path).service[0].secret_keys
    [read] = of_options(path).service[0].secret_keys
    assert made == read
    assert read.pair == read_key_pair(path)


def test_no_key_is_made_where_something_else_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "server.key_secret"
    with pytest.raises(ConfigError):
        of_options(path, backend="tcp://*:1")
    assert not path.exists()


def test_an_egress_has_all_remotes_and_makes_its_key_when_all_else_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "alice.key_secret"
    options = attrs.evolve(EGRESS, secret_key=path, server_key=(*EGRESS.server_key, "orders.key"))
    with pytest.raises(ConfigError, match=r"server_keys\[1\]: .*orders.key can not be read"):
        config_of_options(options)
    with pytest.raises(ConfigError, match=r"remote\[0\]: tcp://\*:1 can not be dialled"):
        config_of_options(attrs.evolve(EGRESS, secret_key=path, remote=("tcp://*:1",)))
    assert not path.exists()
    config, keys = config_of_options(attrs.evolve(EGRESS, secret_key=path))
    assert f"made {path}, and {path.with_suffix('.key')} for whoever runs the remote" in capsys.readouterr().err
    [egress] = config.egress
    assert (egress.name, config.service) == ("far", [])
    assert egress.remote == [Endpoint("tcp", "a.host", 1), Endpoint("tcp", "b.host", 2)]
    assert egress.server_keys == [RemoteKey(REMOTE.public)]
    assert egress.secret_key == SecretKey(keys, path)
    assert config_of_options(attrs.evolve(EGRESS, secret_key=path))[1] == keys
    with pytest.raises(ConfigError, match="it is our own key"):
        config_of_options(attrs.evolve(EGRESS, secret_key=path, server_key=(z85.encode(keys.public),)))


LISTEN = {"listen": "ipc://x"}
REMOTES = LISTEN | {"remote": ("tcp://a:1",)}
BACKEND = LISTEN | {"backend": "tcp://a:1"}


@pytest.mark.parametrize(
    ("has_file", "options", "sentence"),
    [
        (True, REMOTES, "a configuration file and --listen: use one or the other"),
        (True, {"server_key": ("x",)}, "a configuration file and --server-key: use one or the other"),
        (False, {}, "name a configuration file, or --listen and --backend, or --listen and --remote"),
        (False, LISTEN, "name a configuration file, or --listen and --backend, or --listen and --remote"),
        (False, {"remote": ("tcp://a:1",)}, "name a configuration file, or --listen and --backend, or --listen and"),
        (False, LISTEN | {"server_key": ("x",)}, "name a configuration file, or --listen and --backend, or"),
        (False, BACKEND | REMOTES, "--backend and --remote: use one or the other, or a configuration file for both"),
        (False, BACKEND | {"server_key": ("x",)}, "--server-key is for --remote: our own key is --secret-key"),
        (False, BACKEND, "nobody may connect: add --clients DIR, or --allow-any for everybody"),
        (False, BACKEND | {"clients": Path("x"), "allow_any": True}, "--clients and --allow-any: use one or the other"),
        (False, REMOTES | {"clients": Path("x")}, "--clients is for --backend: with --remote clients have no keys, a"),
        (False, REMOTES | {"allow_any": True}, "--allow-any is for --backend: with --remote clients have no keys, and"),
        (False, REMOTES, "nothing tells the right remote from a false one: add --server-key KEY, its public key"),
        (False, REMOTES | {"server_key": ("x",)}, "the remote must know who we are: add --secret-key FILE, which is"),
        (False, REMOTES | {"server_key": ("x",), "secret_key": Path("x")}, None),
        (False, BACKEND | {"allow_any": True}, None),
        (True, {}, None),
        (True, {"authority": ("x",)}, "a configuration file and --authority: use one or the other"),
        (False, BACKEND | {"authority": ("x",)}, None),
        (False, BACKEND | {"allow_any": True, "server_name": "x"}, "--server-name is for --remote: what we are called"),
        (False, BACKEND | {"allow_any": True, "certificate": "x"}, "--certificate is of a key that is kept: add --sec"),
        (False, BACKEND | {"authority": ("x",), "certificate": "x", "secret_key": Path("x")}, None),
        (False, REMOTES | {"server_key": ("x",), "authority": ("x",)}, "--server-key and --authority: use one or the"),
        (False, REMOTES | {"server_key": ("x",), "server_name": "x"}, "--server-name is for --authority: it is what t"),
        (False, REMOTES | {"authority": ("x",), "server_name": "x", "secret_key": Path("x")}, None),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_get_a_sentence(
    has_file: bool, options: dict[str, Any], sentence: str | None
) -> None:
    found = RunOptions(**options).objection(has_file=has_file)
    assert found == sentence if found is None or sentence is None else found.startswith(sentence)


def test_authorities_and_certificates_are_as_in_a_file(tmp_path: Path) -> None:
    plant, secrets = authority(tmp_path), {name: tmp_path / f"{name}.key_secret" for name in ("server", "alice")}
    keys = {name: key_file(secret).public for name, secret in secrets.items()}
    files = {
        "server": str(plant.sign(keys["server"], tmp_path / "server.cert", names="a.host")),
        "alice": str(plant.sign(keys["alice"], tmp_path / "alice.cert")),
    }
    trusting: dict[str, Any] = {"authority": (str(plant.file),), "allow_any": False}
    [service] = of_options(secrets["server"], certificate=files["server"], **trusting).service
    assert ([each.file.name for each in service.clients.authorities], service.clients.directory) == (["plant-1"], None)
    assert [each.certificate.key for each in service.certificates] == [keys["server"]]
    remote = attrs.evolve(EGRESS, server_key=(), secret_key=secrets["alice"], server_name="x", **trusting)
    [egress] = config_of_options(attrs.evolve(remote, certificate=files["alice"]))[0].egress
    assert ([each.file.name for each in egress.authorities], egress.server_name) == (["plant-1"], "x")
    assert egress.certificate is not None
    assert egress.certificate.certificate.key == keys["alice"]
    with pytest.raises(ConfigError, match=r"certificates\[0\]: .*server.cert is of no key among secret_keys"):
        of_options(secrets["alice"], certificate=files["server"], **trusting)


def test_a_key_without_a_file_is_another_each_time() -> None:
    [one], [other] = (of_options(None).service[0].secret_keys for _ in range(2))
    assert (one.file, other.file) == (None, None)
    assert one.pair != other.pair


def test_a_name_that_is_nearly_another_key_is_refused(tmp_path: Path) -> None:
    of_options(tmp_path / "server.key_secret")
    with pytest.raises(OptionsError, match=r"did you mean .*server\.key_secret"):
        of_options(tmp_path / "servr.key_secret")
    with pytest.raises(OptionsError, match="make the directory first"):
        of_options(tmp_path / "no" / "server.key_secret")


def test_the_address_is_that_of_the_option_or_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[admin]\nlisten = "127.0.0.1:1"')
    assert admin_address(None, None) == Endpoint("tcp", "127.0.0.1", 9464)
    assert admin_address(None, "[::1]:2") == Endpoint("tcp", "::1", 2)
    assert admin_address(tmp_path / "c.toml", None) == Endpoint("tcp", "127.0.0.1", 1)


@pytest.mark.parametrize(("text", "why"), [("", "turned off"), ("nowhere", "--admin: ")])
def test_an_address_that_can_not_be_asked_is_refused(text: str, why: str) -> None:
    with pytest.raises(OptionsError, match=why):
        admin_address(None, text)
