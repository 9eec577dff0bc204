"""What the options of a command stand for: a configuration of one service, and the address of a running proxy."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from curveproxy.app.config.certificates import read_key_pair, reason, write_key_pair
from curveproxy.app.config.keys import SecretKey
from curveproxy.app.config.load import ConfigError, demand_valid, read_admin, structure
from curveproxy.app.config.schema import AdminConfig, Config
from curveproxy.app.terminal import tell
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire.curve.keys import KeyPair


class OptionsError(Exception):
    """An option can not be used, and why."""


@frozen
class RunOptions:
    """The options of ``curveproxy run``, as they were given."""

    listen: str | None = None
    backend: str | None = None
    remote: Sequence[str] = ()
    server_key: Sequence[str] = ()
    secret_key: Path | None = None
    authority: Sequence[str] = ()
    server_name: str | None = None
    certificate: str | None = None
    clients: Path | None = None
    allow_any: bool = False
    admin: str | None = None
    name: str | None = None

    @property
    def given(self) -> Sequence[str]:
        """Those that were given, as they are written."""
        values = attrs.asdict(self, recurse=False)
        default = attrs.asdict(RunOptions(), recurse=False)
        return [f"--{name.replace('_', '-')}" for name, value in values.items() if value != default[name]]

    def objection(self, *, has_file: bool) -> str | None:
        """Why these do not go together, and what to write; None when they do. has_file: whether there is a file too."""
        if has_file:
            return f"a configuration file and {self.given[0]}: use one or the other" if self.given else None
        if self.backend is not None and self.remote:
            return "--backend and --remote: use one or the other, or a configuration file for both"
        if self.listen is None or (self.backend is None and not self.remote):
            return "name a configuration file, or --listen and --backend, or --listen and --remote"
        return self._objection_to_egress() if self.remote else self._objection_to_service()

    def _objection_to_service(self) -> str | None:
        if self.server_key:
            return "--server-key is for --remote: our own key is --secret-key"
        if self.server_name is not None:
            return "--server-name is for --remote: what we are called is in our certificate"
        if self.certificate is not None and self.secret_key is None:
            return "--certificate is of a key that is kept: add --secret-key FILE"
        if self.clients is None and not self.allow_any and not self.authority:
            return "nobody may connect: add --clients DIR, or --allow-any for everybody, or --authority FILE"
        if self.clients is not None and self.allow_any:
            return "--clients and --allow-any: use one or the other"
        return None

    def _objection_to_egress(self) -> str | None:
        if self.clients is not None or self.allow_any:
            option = "--allow-any" if self.allow_any else "--clients"
            return (
                f"{option} is for --backend: with --remote clients have no keys, and whoever reaches --listen is let in"
            )
        if self.server_key and self.authority:
            return "--server-key and --authority: use one or the other"
        if self.server_name is not None and not self.authority:
            return "--server-name is for --authority: it is what the remote is called in its certificate"
        if not self.server_key and not self.authority:
            hint = "add --server-key KEY, its public key, or --authority FILE, of who has signed that"
            return f"nothing tells the right remote from a false one: {hint}"
        if self.secret_key is None:
            return "the remote must know who we are: add --secret-key FILE, which is made if missing"
        return None


def config_of_options(options: RunOptions) -> tuple[Config, KeyPair]:
    """A configuration of one service or egress, without a file, and its own keys. They are made when all else is right.

    Raises ConfigError, KeyFileError or OptionsError.
    """
    table: dict[str, Any] = {"name": options.name or "default", "listen": options.listen}
    tables: dict[str, Any] = {} if options.admin is None else {"admin": {"listen": options.admin}}
    authorities = [{"file": file} for file in options.authority]
    if options.remote:
        table |= {"remote": list(options.remote), "server_keys": list(options.server_key), "authorities": authorities}
        table |= {"server_name": options.server_name or "", "certificate": options.certificate or ""}
        loaded = structure(tables | {"egress": [table]}, Path.cwd(), needs_keys=False)
        key = _own_key(options.secret_key, "whoever runs the remote")
        loaded = attrs.evolve(loaded, egress=[attrs.evolve(loaded.egress[0], secret_key=key)])
        demand_valid(loaded)
        return loaded, key.pair
    table |= {"backend": options.backend, "secret_keys": []}
    table["certificates"] = [] if options.certificate is None else [options.certificate]
    table["clients"] = {"allow": "any" if options.allow_any else "listed", "authorities": authorities}
    if options.clients is not None:
        table["clients"]["directory"] = str(options.clients)
    loaded = structure(tables | {"service": [table]}, Path.cwd(), needs_keys=False)
    key = _own_key(options.secret_key, "the clients")
    loaded = attrs.evolve(loaded, service=[attrs.evolve(loaded.service[0], secret_keys=[key])])
    demand_valid(loaded)
    return loaded, key.pair


def _own_key(path: Path | None, others: str) -> SecretKey:
    """Our own key: read, made where there is none, or made for this run only. others: who needs the public half."""
    if path is None:
        pair = KeyPair.generate()
        tell("a key for this run only: name one by --secret-key to keep it")
    elif os.path.lexists(path):
        pair = read_key_pair(path)
    else:
        _demand_no_mistake(path)
        pair = KeyPair.generate()
        public_file = write_key_pair(path, pair)
        tell(f"there was no key: made {path}, and {public_file} for {others}")
    return SecretKey(pair, path)


def _demand_no_mistake(path: Path) -> None:
    """Refuse a missing key file whose name looks misspelled: with another key nobody could connect.

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
