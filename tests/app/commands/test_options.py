"""Options of the command line as a configuration, and as the address of a running proxy."""

from pathlib import Path

import pytest

from curveproxy.app.commands.options import OptionsError, admin_address, config_of_options
from curveproxy.app.config.certificates import read_key_pair
from curveproxy.app.config.load import ConfigError
from curveproxy.app.config.schema import Config
from curveproxy.proxy.net.endpoint import Endpoint

SERVICE = {"name": "orders", "listen": "tcp://*:5556", "backend": "tcp://127.0.0.1:5555", "clients": {"allow": "any"}}


def of_options(secret_key: Path | None, **others: object) -> Config:
    return config_of_options({**SERVICE, **others}, {}, secret_key)


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
