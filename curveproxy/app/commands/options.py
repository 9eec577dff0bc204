"""What the options of a command stand for: a configuration of one service, and the address of a running proxy."""

import difflib
import os
from pathlib import Path
from typing import Any

import attrs

from curveproxy.app.config.certificates import read_key_pair, reason, write_key_pair
from curveproxy.app.config.keys import SecretKey
from curveproxy.app.config.load import ConfigError, read_admin, structure
from curveproxy.app.config.schema import AdminConfig, Config
from curveproxy.app.terminal import tell
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire.curve.keys import KeyPair


class OptionsError(Exception):
    """An option can not be used, and why."""


def config_of_options(service: dict[str, Any], tables: dict[str, Any], secret_key: Path | None) -> Config:
    """A configuration of one service, without a file. A key is made only when all else is right.

    service: the service's table; tables: the others; secret_key: of the server's key file.
    Raises ConfigError, KeyFileError or OptionsError.
    """
    loaded = structure(tables | {"service": [service | {"secret_keys": []}]}, Path.cwd(), needs_keys=False)
    with_key = attrs.evolve(loaded.service[0], secret_keys=[_server_key(secret_key)])
    return attrs.evolve(loaded, service=[with_key])


def _server_key(path: Path | None) -> SecretKey:
    """The server's key: read, made where there is none, or made for this run only."""
    if path is None:
        pair = KeyPair.generate()
        tell("a key for this run only: name one by --secret-key to keep it")
    elif os.path.lexists(path):
        pair = read_key_pair(path)
    else:
        _demand_no_mistake(path)
        pair = KeyPair.generate()
        public_file = write_key_pair(path, pair)
        tell(f"there was no key: made {path}, and {public_file} for the clients")
    return SecretKey(pair, path)


def _demand_no_mistake(path: Path) -> None:
    """Refuse a missing key file whose name looks misspelled: with another key no client could connect.

    Raises OptionsError.
    """

    def stem(name: str) -> str:
        return name.partition(".")[0].removesuffix("_secret")

    try:
        beside = [file.name for file in path.parent.iterdir() if file.name.endswith("_secret")]
    except OSError as error:
        raise OptionsError(
            f"{path.parent}: {reason(error)}: correct --secret-key, or make the directory first"
        ) from None
    near = difflib.get_close_matches(stem(path.name), map(stem, beside), 1, 0.8)
    for name in beside:
        if near and stem(name) == near[0]:
            hint = 'A new key is made by "curveproxy keygen"'
            raise OptionsError(f"there is no {path}: did you mean {path.with_name(name)}? {hint}")


def admin_address(config: Path | None, text: str | None) -> Endpoint:
    """The address of a running proxy's admin server, by its configuration file or by an option. Raises OptionsError."""
    try:
        address = (read_admin(config) if config else AdminConfig() if text is None else AdminConfig(text)).address
    except ConfigError as error:
        raise OptionsError(str(error)) from None
    except ValueError as error:
        raise OptionsError(f"--admin: {error}") from None
    if address is None:
        raise OptionsError("the admin page is turned off: there is nobody to ask")
    return address
