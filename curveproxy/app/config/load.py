"""Reading a configuration: TOML into frozen classes, checked whole, with all that is wrong in one answer."""

import re
import tomllib
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from curveproxy.app.config.certificates import reason
from curveproxy.app.config.convert import Complaint, complaints, converter, readable
from curveproxy.app.config.keys import PublicKey, RemoteKey, SecretKey
from curveproxy.app.config.reading import read_file
from curveproxy.app.config.schema import (
    DEFAULTED,
    TABLES,
    AdminConfig,
    ClientsConfig,
    Config,
    EgressConfig,
    ServiceConfig,
    parse_endpoint,
)
from curveproxy.app.config.signed import AuthorityKey, ClientCertificate, RevokedFile, ServerCertificate
from curveproxy.app.config.validate import validate
from curveproxy.proxy.net.endpoint import Endpoint, Network
from curveproxy.wire import z85

# TOML has no numbers that begin with 0.
BARE_MODE = re.compile(rb"^\s*socket_mode\s*=\s*0[0-7]", re.M)
# Files about certificates, which are written as their names.
SIGNED_FILES = (AuthorityKey, RevokedFile, ServerCertificate, ClientCertificate)
MODE_HINT = ': write a mode in quotes, as socket_mode = "0600"'


class ConfigError(Exception):
    """A configuration can not be used. complaints: one sentence each, with the place first."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


def load(path: Path) -> Config:
    """Read and check a configuration file, and the keys that it names. Raises ConfigError with all that is wrong."""
    return structure(tables(path), path.parent)


def read_admin(path: Path) -> AdminConfig:
    """The ``[admin]`` table alone: its reader need not have access to the key files. Raises ConfigError."""
    admin = tables(path).get("admin", {})
    return structure({"admin": admin}, path.parent, needs_services=False).admin


def tables(path: Path) -> dict[str, Any]:
    """The tree that a TOML file holds. Raises ConfigError."""
    try:
        octets = read_file(path)
        return tomllib.loads(octets.decode("utf-8-sig"))  # editors of Windows write that mark
    except OSError as error:
        raise ConfigError([f"{path}: can not be read: {reason(error)}"]) from error
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}: line {line} is not UTF-8, as TOML must be: save it in that encoding"]) from error
    except ValueError as error:  # also numbers of thousands of digits
        hint = MODE_HINT if BARE_MODE.search(octets) else ""
        raise ConfigError([f"{path}: not TOML: {str(error)[:1].lower()}{str(error)[1:]}{hint}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{path}: not a configuration: it is nested too deeply"]) from error


def structure(tree: dict[str, Any], directory: Path, *, needs_services: bool = True, needs_keys: bool = True) -> Config:
    """The configuration of such a tree. Raises ConfigError.

    directory: what relative paths are relative to; needs_keys: whether each service must name a key file.
    """
    config, wrong = inspect(tree, directory, needs_services=needs_services, needs_keys=needs_keys)
    if wrong:
        raise ConfigError(wrong)
    return config


def demand_valid(config: Config) -> None:
    """Check what has been changed since it was read. Raises ConfigError."""
    wrong = [f"{place}: {sentence}" for place, sentence in validate(config, needs_services=True, needs_keys=True)]
    if wrong:
        raise ConfigError(wrong)


def inspect(
    tree: dict[str, Any], directory: Path, *, needs_services: bool = True, needs_keys: bool = True
) -> tuple[Config, list[str]]:
    """What of a configuration can be read, and all that is wrong with it; see ``structure``."""
    tree = _with_defaults(tree)
    config, wrong = _converted(tree, directory)
    places = tuple(place for place, _ in wrong)
    # What is wrong in the defaults is said there, and not for each service.
    defaults = {(place.removeprefix("defaults."), what) for place, what in wrong if place.startswith("defaults.")}
    wrong = [(place, what) for place, what in wrong if (place.rpartition(": ")[2], what) not in defaults]
    complete = needs_services and not any(place.startswith(("service", "egress")) for place in places)
    for place, sentence in validate(config, needs_services=complete, needs_keys=needs_keys):
        # Whose authorities can not be read does not lack keys.
        beside = place.replace(": server_keys", ": authorities")
        if not any(other.startswith((place, beside)) for other in places):
            wrong.append((place, sentence))
    return config, [f"{place}: {sentence}" for place, sentence in wrong]


def _converted(tree: dict[str, Any], directory: Path) -> tuple[Config, list[Complaint]]:
    """A tree as classes, as far as it can be read, and what can not."""
    ours = converter(
        directory,
        {
            Endpoint: parse_endpoint,
            PublicKey: PublicKey.parse,
            Network: Network.parse,
            SecretKey: partial(SecretKey.read, directory),
            RemoteKey: partial(RemoteKey.read, directory),
            **{kind: partial(kind.read, directory) for kind in SIGNED_FILES},
        },
        SIGNED_FILES,
    )
    try:
        return ours.structure(tree, Config), []
    except cattrs.BaseValidationError as error:
        wrong = complaints(error, tree, TABLES)
    # The rest is checked in the same run, as far as it does not depend on what is wrong.
    services = [readable(table, ServiceConfig, ours, secret_keys=[]) for table in _rows(tree, "service")]
    egresses = [readable(table, EgressConfig, ours) for table in _rows(tree, "egress")]
    config = readable(tree, Config, ours) or Config()
    return attrs.evolve(config, service=list(filter(None, services)), egress=list(filter(None, egresses))), wrong


def _rows(tree: dict[str, Any], header: str) -> list[Any]:
    """The tables of one header, of which there may be several."""
    found = tree.get(header)
    return found if isinstance(found, list) else []


def _with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """A tree with ``[defaults]`` in each of its services and egresses. What is no table stays as it is."""
    defaults = tree.get("defaults")
    if not isinstance(defaults, dict):
        return tree

    def completed(row: Any, names: Collection[str]) -> Any:
        if not isinstance(row, dict):
            return row
        tables = {name: row.get(name, {}) for name, table in defaults.items() if isinstance(table, dict)}
        own = {name: table for name, table in tables.items() if isinstance(table, dict)}
        return row | {name: defaults[name] | table for name, table in own.items() if name in names}

    return tree | {
        header: [completed(row, names) for row in _rows(tree, header)]
        for header, names in DEFAULTED.items()
        if isinstance(tree.get(header), list)
    }


def tree_of(config: Config) -> dict[str, Any]:
    """The tree of which ``structure`` makes this configuration, in the types of JSON. Its keys must all be in files.

    The defaults are left out, for the services hold them already: they would replace a service's own setting that is
    left out because it has the value that we give it.
    """
    back = cattrs.Converter()
    back.register_unstructure_hook(Endpoint, str)
    back.register_unstructure_hook(Network, str)
    back.register_unstructure_hook(Path, str)
    back.register_unstructure_hook(PublicKey, lambda key: z85.encode(key.octets))
    back.register_unstructure_hook(SecretKey, lambda key: str(key.file))
    for kind in SIGNED_FILES:
        back.register_unstructure_hook(kind, lambda found: str(found.file))
    back.register_unstructure_hook(RemoteKey, lambda key: str(key.file) if key.file else z85.encode(key.octets))
    hook = make_dict_unstructure_fn(ClientsConfig, back, _cattrs_omit_if_default=True)
    back.register_unstructure_hook(ClientsConfig, hook)
    absent: dict[str, Any] = {
        each.name: override(omit_if_default=True) for each in attrs.fields(EgressConfig) if each.default is None
    }
    back.register_unstructure_hook(EgressConfig, make_dict_unstructure_fn(EgressConfig, back, **absent))
    tree: dict[str, Any] = back.unstructure(config)
    del tree["defaults"]
    return tree
