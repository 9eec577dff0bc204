"""The configuration: TOML into frozen classes, checked whole, all complaints at once with their place and a hint."""

import difflib
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import cattrs
from attrs import field, frozen
from attrs.validators import ge, in_
from cattrs import AttributeValidationNote, ForbiddenExtraKeysError, IterableValidationNote
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from curveproxy.app.keys import KeyFileError, read_key_pair
from curveproxy.policy.limits import AdmissionLimits, MessageLimits
from curveproxy.proxy.endpoint import Endpoint, is_local
from curveproxy.wire import z85
from curveproxy.wire.box import KeyPair


class ConfigError(Exception):
    """A configuration can not be used. complaints: one sentence each, with the place first."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


@frozen
class Admin:
    """``[admin]``: where /metrics, /healthz and /readyz are served; "" turns it off."""

    listen: str = "127.0.0.1:9464"

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port; None when it is off. Raises ValueError."""
        if not self.listen:
            return None
        endpoint = Endpoint.parse(f"tcp://{self.listen}")
        return ("0.0.0.0" if endpoint.host == "*" else endpoint.host), endpoint.port


@frozen
class LogSettings:
    """``[log]``."""

    level: str = field(default="info", validator=in_(["debug", "info", "warning", "error"]))
    format: str = field(default="text", validator=in_(["text", "json"]))


@frozen
class Process:
    """``[process]``."""

    workers: int = field(default=1, validator=ge(0))
    drain_seconds: float = field(default=30.0, validator=ge(0))
    reuse_port: bool = False


@frozen
class Clients:
    """``[service.clients]``: who may come in. There is no default: a list, or "any" in so many words."""

    allow: str = field(default="listed", validator=in_(["listed", "any"]))
    directory: Path | None = None
    keys: list[str] = field(factory=list)
    refusal: str = field(default="error", validator=in_(["error", "close"]))


@frozen
class Service:
    """``[[service]]``."""

    name: str
    listen: Endpoint
    backend: Endpoint
    secret_keys: list[Path]
    forward_identity: bool = False
    allow_remote_backend: bool = False
    backend_socket_type: str = ""
    clients: Clients = field(factory=Clients)
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)

    def key_pairs(self) -> tuple[KeyPair, ...]:
        """The server's keys. Raises KeyFileError."""
        return tuple(read_key_pair(path) for path in self.secret_keys)

    def inline_keys(self) -> list[bytes]:
        """The public keys that stand in the configuration itself. Raises ValueError."""
        return [_public_key(text) for text in self.clients.keys]


@frozen
class Config:
    """The whole file."""

    admin: Admin = field(factory=Admin)
    log: LogSettings = field(factory=LogSettings)
    process: Process = field(factory=Process)
    service: list[Service] = field(factory=list)


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError with all that is wrong."""
    return structure(_tables(path), path.parent)


def read_admin(path: Path) -> Admin:
    """The ``[admin]`` table alone, of a file whose keys its reader may not see. Raises ConfigError."""
    tables = _tables(path)
    return structure({"admin": tables.get("admin", {})}, path.parent, needs_services=False).admin


def _tables(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError([f"{path}: can not be read: {(error.strerror or '').lower()}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not TOML: {str(error)[:1].lower()}{str(error)[1:]}"]) from error


def structure(tree: dict[str, Any], directory: Path, *, needs_services: bool = True, needs_keys: bool = True) -> Config:
    """Make a configuration of what a TOML file holds. Raises ConfigError.

    directory: what relative paths are relative to; needs_keys: whether each service must name a key file.
    """
    try:
        config = _converter(directory).structure(tree, Config)
    except cattrs.BaseValidationError as error:
        raise ConfigError([_sentence(*found, tree) for found in _leaves(error, "")]) from error
    if complaints := list(check(config, needs_services=needs_services, needs_keys=needs_keys)):
        raise ConfigError(complaints)
    return config


def check(config: Config, *, needs_services: bool = True, needs_keys: bool = True) -> Iterator[str]:
    """What is wrong with a configuration although every value in it has the right type."""
    if needs_services and not config.service:
        yield "service: there is none: add a [[service]] table with name, listen, backend and secret_keys"
    try:
        _ = config.admin.address
    except ValueError as error:
        yield f"admin.listen: {str(error).replace('tcp://', '')}"
    if config.process.workers != 1:
        yield "process.workers: this version runs one process: leave it at 1"
    if config.process.reuse_port:
        yield "process.reuse_port: not in this version: leave it false"
    names = Counter(service.name for service in config.service)
    yield from (f'service "{name}": there are {count} of that name' for name, count in names.items() if count > 1)
    endpoints = Counter(
        service.listen for service in config.service if service.listen.port or service.listen.transport == "ipc"
    )
    yield from (f"{endpoint}: {count} services listen there" for endpoint, count in endpoints.items() if count > 1)
    for service in config.service:
        if needs_keys and not service.secret_keys:
            yield f'service "{service.name}": secret_keys: there is none: make one by "curveproxy keygen server"'
        yield from (f'service "{service.name}": {complaint}' for complaint in _check_service(service))


def _check_service(service: Service) -> Iterator[str]:
    if not service.name:
        yield "name: it is empty: it becomes a label of metrics"
    for path in service.secret_keys:
        try:
            read_key_pair(path)
        except KeyFileError as error:
            yield f"secret_keys: {error}"
    clients = service.clients
    if clients.allow == "listed" and clients.directory is None and not clients.keys:
        yield 'clients: nobody is listed: add directory = "clients", or keys = ["..."], or allow = "any"'
    if clients.directory is not None and not clients.directory.is_dir():
        yield f"clients.directory: {clients.directory} is not a directory: make it, and put .key files into it"
    for number, text in enumerate(clients.keys):
        try:
            _public_key(text)
        except ValueError as error:
            yield f"clients.keys[{number}]: {error}"
    if service.messages.on_invalid != "disconnect":
        yield 'messages.on_invalid: this version knows "disconnect" only'
    if service.backend.host == "*" or (service.backend.transport == "tcp" and not service.backend.port):
        yield f"backend: {service.backend} can not be dialled: name one host and one port"
    elif not service.allow_remote_backend and _is_remote(service.backend):
        yield (
            f"backend: {service.backend} is another machine, and what goes there is not encrypted: "
            "use loopback or ipc, or write allow_remote_backend = true"
        )
    if service.listen == service.backend:
        yield "backend: it is the endpoint on which the proxy itself listens"


def _is_remote(endpoint: Endpoint) -> bool:
    """Whether an address is known now to be another machine's; a name is asked when it is dialled."""
    try:
        return endpoint.transport == "tcp" and not is_local(endpoint.host)
    except ValueError:
        return False


def _public_key(text: str) -> bytes:
    try:
        key = z85.decode(text)
    except ValueError as error:
        raise ValueError(f"not a Z85 key: {error}") from None
    if len(key) != 32:
        raise ValueError(f"a public key has 40 letters, this has {len(text)}")
    return key


# --- from TOML's types to ours, without coercion


def _converter(directory: Path) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)

    def exactly(wanted: type, words: str) -> None:
        def hook(value: Any, _: object) -> Any:
            # bool is an int in Python; in a configuration it is not.
            if type(value) is wanted or (wanted is float and type(value) is int):
                return value if type(value) is wanted else float(value)  # type: ignore[arg-type]
            raise TypeError(f"{words} is wanted, not {_described(value)}")

        converter.register_structure_hook(wanted, hook)

    exactly(bool, "true or false")
    exactly(int, "a whole number")
    exactly(float, "a number")
    exactly(str, "a string")

    def table_hook(cls: type) -> Any:
        checked: dict[str, Any] = {
            attribute.name: override(struct_hook=_checked(attribute, converter))
            for attribute in attrs.fields(cls)
            if attribute.validator is not None
        }
        make: Any = make_dict_structure_fn(cls, converter, **checked)

        def hook(value: object, _: object) -> object:
            if not isinstance(value, dict):
                raise TypeError(f"a table is wanted, not {_described(value)}")
            return make(value, cls)

        return hook

    converter.register_structure_hook_factory(attrs.has, table_hook)

    def list_hook(kind: Any) -> Any:
        inner = list_structure_factory(kind, converter)

        def hook(value: object, _: object) -> object:
            if not isinstance(value, list):
                raise TypeError(f"a list is wanted, not {_described(value)}")
            return inner(value, kind)

        return hook

    converter.register_structure_hook_factory(is_sequence, list_hook)

    def text(value: object) -> str:
        if not isinstance(value, str):
            raise TypeError(f"a string is wanted, not {_described(value)}")
        return value

    converter.register_structure_hook(Path, lambda value, _: directory / text(value))
    converter.register_structure_hook(Path | None, lambda value, _: directory / text(value))
    converter.register_structure_hook(Endpoint, lambda value, _: Endpoint.parse(text(value)))
    return converter


def _checked(attribute: "attrs.Attribute[Any]", converter: cattrs.Converter) -> Any:
    """A value with its bounds checked at its own place, so that one mistake does not hide another."""

    def hook(value: object, kind: Any) -> object:
        result = converter.structure(value, kind)
        if attribute.validator is not None:
            try:
                attribute.validator(None, attribute, result)
            except ValueError as error:
                # It begins with the attribute's name, which the place says already.
                raise ValueError(str(error.args[0]).removeprefix(f"'{attribute.name}' ")) from None
        return result

    return hook


def _described(value: object) -> str:
    kinds = {
        bool: "a truth value",
        int: "a whole number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), "a date or time")


# --- from cattrs' errors to complaints


def _leaves(error: BaseException, path: str) -> Iterator[tuple[str, BaseException]]:
    """Every single error with its place."""
    for note in getattr(error, "__notes__", []):
        if isinstance(note, AttributeValidationNote):
            path = f"{path}.{note.name}" if path else note.name
        elif isinstance(note, IterableValidationNote):
            path = f"{path}[{note.index}]"
    if isinstance(error, cattrs.BaseValidationError):
        for inner in error.exceptions:
            yield from _leaves(inner, path)
    else:
        yield path, error


def _sentence(path: str, error: BaseException, tree: dict[str, Any]) -> str:
    place = _named(path, tree)
    if isinstance(error, ForbiddenExtraKeysError):
        known = [attribute.name for attribute in attrs.fields(error.cl)]
        prefix = f"{place}: " if place.endswith('"') else f"{place}." if place else ""
        return "\n".join(
            f"{prefix}{name}: no such setting: "
            + (
                f"did you mean {close[0]}"
                if (close := difflib.get_close_matches(name, known, 1))
                else f"there are {', '.join(known)}"
            )
            for name in sorted(error.extra_fields)
        )
    if isinstance(error, KeyError):
        return f"{place}: it is missing"
    return f"{place}: {error}"


def _named(path: str, tree: dict[str, Any]) -> str:
    """``service[0].listen`` as ``service "orders": listen``, when it has a name."""
    services = tree.get("service")
    for number, service in enumerate(services if isinstance(services, list) else []):
        name = service.get("name") if isinstance(service, dict) else None
        if isinstance(name, str) and path.startswith(f"service[{number}]"):
            rest = path.removeprefix(f"service[{number}]").removeprefix(".")
            return f'service "{name}": {rest}' if rest else f'service "{name}"'
    return path
