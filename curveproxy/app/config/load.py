"""The configuration: TOML into frozen classes, checked whole, all complaints at once with their place and a hint."""

import os
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import attrs
import cattrs
from attrs import field, frozen
from attrs.validators import ge, in_, le
from cattrs.gen import make_dict_unstructure_fn

from curveproxy.app.config.certificates import parse_key, read_key_pair, reason
from curveproxy.app.config.convert import Complaint, complaints, converter, readable
from curveproxy.app.config.reading import read_file
from curveproxy.policy.limits import AdmissionLimits, ClientLimits, MessageLimits, whole
from curveproxy.policy.socket_types import ZMTP1_COUNTERPARTS
from curveproxy.proxy.net.endpoint import Endpoint, Network, is_local
from curveproxy.proxy.settings import RefusalMode
from curveproxy.wire import z85
from curveproxy.wire.curve.box import KeyPair

MAX_WORKERS = 256

EVERYWHERE = ("*", "0.0.0.0", "::")


class ConfigError(Exception):
    """A configuration can not be used. complaints: one sentence each, with the place first."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


def _endpoint(text: str) -> Endpoint:
    """An endpoint whose host a resolver can be asked for. Raises ValueError."""
    endpoint = Endpoint.parse(text)
    try:
        endpoint.host.encode("idna" if endpoint.transport == "tcp" else "utf-8")
    except UnicodeError:
        raise ValueError(f"{text!r} has no host name that can be looked up") from None
    return endpoint


def _check_address(_: object, __: object, text: str) -> None:
    if text:
        try:
            _endpoint(f"tcp://{text}")
        except ValueError as error:
            raise ValueError(str(error).replace("tcp://", "")) from None


@frozen
class Admin:
    """``[admin]``: where /metrics, /healthz, /readyz and the status page are served; "" turns it off.

    allow_actions: the page can end sessions; public_page: it answers others than loopback too.
    """

    listen: str = field(default="127.0.0.1:9464", validator=_check_address)
    allow_actions: bool = False
    public_page: bool = False

    @property
    def address(self) -> Endpoint | None:
        """Where it listens; None when it is off."""
        return _endpoint(f"tcp://{self.listen}") if self.listen else None


@frozen
class LogSettings:
    """``[log]``."""

    level: str = field(default="info", validator=in_(["debug", "info", "warning", "error"]))
    format: str = field(default="text", validator=in_(["text", "json"]))


@frozen
class Process:
    """``[process]``. workers: how many processes relay; 0 for one a core. max_buffered_bytes: 0 for no ceiling."""

    workers: int = field(default=1, validator=[ge(0), le(MAX_WORKERS)])
    drain_seconds: float = field(default=30.0, validator=ge(0))
    reuse_port: bool = False
    watch: bool = False
    max_buffered_bytes: int = whole(1_073_741_824, least=0)

    @property
    def relays(self) -> int:
        """How many processes relay. With one it is this one, with more this one looks after them."""
        return self.workers or len(os.sched_getaffinity(0))


@frozen
class ServerKey:
    """A server's key. file: where it was read; None when it lives for this run only."""

    pair: KeyPair
    file: Path | None = None

    @classmethod
    def read(cls, directory: Path, text: str) -> Self:
        """Read a key file. Raises KeyFileError."""
        return cls(read_key_pair(directory / text), directory / text)


@frozen
class PublicKey:
    """A client's key that stands in the configuration itself, 32 octets."""

    octets: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read Z85. Raises ValueError."""
        return cls(parse_key(text))


def _check_directory(_: object, __: object, path: Path | None) -> None:
    if path is None:
        return
    try:
        next(path.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path} is not a directory: make it, and put .key files into it") from None
    except OSError as error:
        raise ValueError(f"{path} can not be listed: {reason(error)}") from None


@frozen
class Clients:
    """``[service.clients]``: who may come in. There is no default: a list, or "any" in so many words.

    ``..._per_client``: what each of them may take, unless its certificate says otherwise; 0 for no limit.
    idle_seconds, heartbeat_seconds: when a session without messages ends, and how often a client is asked whether it
    lives; 0 for never.
    """

    allow: str = field(default="listed", validator=in_(["listed", "any"]))
    directory: Path | None = field(default=None, validator=_check_directory)
    keys: list[PublicKey] = field(factory=list)
    refusal: RefusalMode = RefusalMode.ERROR
    max_sessions_per_client: int = whole(0, least=0)
    messages_per_second_per_client: int = whole(0, least=0)
    bytes_per_second_per_client: int = whole(0, least=0)
    idle_seconds: float = field(default=0.0, validator=ge(0))
    heartbeat_seconds: float = field(default=0.0, validator=ge(0))

    @property
    def limits(self) -> ClientLimits:
        """What each client may take."""
        return ClientLimits(
            self.max_sessions_per_client, self.messages_per_second_per_client, self.bytes_per_second_per_client
        )

    @property
    def lists(self) -> tuple[object, ...]:
        """What decides on who is listed."""
        return self.allow, self.directory, self.keys


def _check_name(_: object, __: object, name: str) -> None:
    if not name:
        raise ValueError("it is empty: it becomes a label of metrics")


@frozen
class Service:
    """``[[service]]``."""

    name: str = field(validator=_check_name)
    listen: Endpoint
    backend: Endpoint
    secret_keys: list[ServerKey]
    forward_identity: bool = False
    allow_remote_backend: bool = False
    backend_socket_type: str = field(default="", validator=in_(["", *(kind.decode() for kind in ZMTP1_COUNTERPARTS)]))
    zmtp1_identities: bool = False
    xpub_messages: bool = False
    proxy_protocol: bool = False
    proxy_protocol_from: list[Network] = field(factory=list)
    clients: Clients = field(factory=Clients)
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)


@frozen
class Defaults:
    """``[defaults]``: settings of all services that do not say otherwise in their own tables."""

    clients: Clients = field(factory=Clients)
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)


@frozen
class Config:
    """The whole file. service: each with the defaults in it."""

    admin: Admin = field(factory=Admin)
    log: LogSettings = field(factory=LogSettings)
    process: Process = field(factory=Process)
    defaults: Defaults = field(factory=Defaults)
    service: list[Service] = field(factory=list)


# Where each setting stands in a file.
TABLES = {
    "[admin]": Admin,
    "[log]": LogSettings,
    "[process]": Process,
    "[[service]]": Service,
    "[service.clients]": Clients,
    "[service.admission]": AdmissionLimits,
    "[service.messages]": MessageLimits,
}
DEFAULTED = frozenset(attribute.name for attribute in attrs.fields(Defaults))


def load(path: Path) -> Config:
    """Read and check a configuration file, and the keys that it names. Raises ConfigError with all that is wrong."""
    return structure(tables(path), path.parent)


def read_admin(path: Path) -> Admin:
    """The ``[admin]`` table alone, of a file whose keys its reader may not see. Raises ConfigError."""
    admin = tables(path).get("admin", {})
    return structure({"admin": admin}, path.parent, needs_services=False).admin


def tables(path: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises ConfigError."""
    try:
        octets = read_file(path)
        return tomllib.loads(octets.decode("utf-8-sig"))  # editors of Windows write that mark
    except OSError as error:
        raise ConfigError([f"{path}: can not be read: {reason(error)}"]) from error
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}: line {line} is not UTF-8, as TOML must be: save it in that encoding"]) from error
    except ValueError as error:  # also numbers of thousands of digits
        raise ConfigError([f"{path}: not TOML: {str(error)[:1].lower()}{str(error)[1:]}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{path}: not a configuration: it is nested too deeply"]) from error


def structure(tree: dict[str, Any], directory: Path, *, needs_services: bool = True, needs_keys: bool = True) -> Config:
    """Make a configuration of what a TOML file holds. Raises ConfigError.

    directory: what relative paths are relative to; needs_keys: whether each service must name a key file.
    """
    config, wrong = inspect(tree, directory, needs_services=needs_services, needs_keys=needs_keys)
    if wrong:
        raise ConfigError(wrong)
    return config


def inspect(
    tree: dict[str, Any], directory: Path, *, needs_services: bool = True, needs_keys: bool = True
) -> tuple[Config, list[str]]:
    """What of a configuration can be read, and all that is wrong with it; see ``structure``."""
    ours = converter(
        directory,
        {
            Endpoint: _endpoint,
            PublicKey: PublicKey.parse,
            Network: Network.parse,
            ServerKey: partial(ServerKey.read, directory),
        },
    )
    wrong: list[Complaint] = []
    tree = _with_defaults(tree)
    try:
        config = ours.structure(tree, Config)
    except cattrs.BaseValidationError as error:
        wrong = complaints(error, tree, TABLES)
        # The rest is checked in the same run, as far as it does not depend on what is wrong.
        services = tree.get("service")
        found = (
            [readable(table, Service, ours, secret_keys=[]) for table in services] if isinstance(services, list) else []
        )
        config = readable(tree, Config, ours) or Config()
        config = attrs.evolve(config, service=[service for service in found if service is not None])
    told = [place for place, _ in wrong]
    # What is wrong in the defaults is told there, and not for each service.
    defaults = {(place.removeprefix("defaults."), words) for place, words in wrong if place.startswith("defaults.")}
    wrong = [(place, words) for place, words in wrong if (place.rpartition(": ")[2], words) not in defaults]
    for place, sentence in _check(config, needs_services, needs_keys):
        if not any(other.startswith(place) for other in told):
            wrong.append((place, sentence))
    return config, [f"{place}: {sentence}" for place, sentence in wrong]


def _with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """A tree with ``[defaults]`` in each of its services. What has not the form of tables is left as it is."""
    defaults, services = tree.get("defaults"), tree.get("service")
    if not isinstance(defaults, dict) or not isinstance(services, list):
        return tree

    def completed(service: Any) -> Any:
        if not isinstance(service, dict):
            return service
        tables = {name: service.get(name, {}) for name, table in defaults.items() if isinstance(table, dict)}
        own = {name: table for name, table in tables.items() if isinstance(table, dict)}
        return service | {name: defaults[name] | table for name, table in own.items() if name in DEFAULTED}

    return tree | {"service": [completed(service) for service in services]}


def tree_of(config: Config) -> dict[str, Any]:
    """What ``structure`` makes this configuration of, in the types of JSON; its keys must all be in files.

    The defaults are in the services already: here they would undo a service's own setting that is left out below.
    """
    back = cattrs.Converter()
    back.register_unstructure_hook(Endpoint, str)
    back.register_unstructure_hook(Network, str)
    back.register_unstructure_hook(Path, str)
    back.register_unstructure_hook(PublicKey, lambda key: z85.encode(key.octets))
    back.register_unstructure_hook(ServerKey, lambda key: str(key.file))
    back.register_unstructure_hook(Clients, make_dict_unstructure_fn(Clients, back, _cattrs_omit_if_default=True))
    tree: dict[str, Any] = back.unstructure(config)
    del tree["defaults"]
    return tree


def _check(config: Config, needs_services: bool, needs_keys: bool) -> Iterator[Complaint]:
    """What is wrong with a configuration although each value in it is right by itself."""
    if needs_services and not config.service:
        yield "service", "there is none: add a [[service]] table with name, listen, backend and secret_keys"
    names = Counter(service.name for service in config.service)
    yield from ((f'service "{name}"', f"there are {count} of that name") for name, count in names.items() if count > 1)
    taken = [("the admin page", config.admin.address)]
    for service in config.service:
        for whose, other in taken:
            # Two services may share one endpoint; and then it is written in the same words.
            shared = service.listen == other and other is not config.admin.address
            if other is not None and not shared and _is_same(service.listen, other):
                yield f'service "{service.name}": listen', f"{service.listen} is taken: {whose} listens on {other}"
                break
        taken.append((f'service "{service.name}"', service.listen))
    yield from _check_shared(config.service)
    for service in config.service:
        place = f'service "{service.name}": '
        if (sentence := _check_memory(config.process, service.messages)) is not None:
            yield f"{place}messages.max_message_bytes", sentence
        if config.process.relays > 1 and not service.listen.is_fixed:
            yield f"{place}listen", f"{service.listen} would be another port for each worker: name the port"
        if needs_keys and not service.secret_keys:
            yield f"{place}secret_keys", 'there is none: make one by "curveproxy keygen server"'
        if service.proxy_protocol and not service.proxy_protocol_from:
            yield f"{place}proxy_protocol_from", "who may say whose connection it is? list the balancers' addresses"
        if service.proxy_protocol_from and not service.proxy_protocol:
            yield f"{place}proxy_protocol", "it is off, and proxy_protocol_from has no meaning: set it to true"
        if service.proxy_protocol and service.listen.transport == "ipc":
            yield f"{place}proxy_protocol", "it is for tcp alone: on a Unix socket nobody has an address"
        clients = service.clients
        if clients.allow == "listed" and clients.directory is None and not clients.keys:
            hint = 'add directory = "clients", or keys = ["..."], or allow = "any"'
            yield f"{place}clients", f"nobody is listed: {hint}"
        yield from ((f"{place}backend", sentence) for sentence in _check_backend(service))


def _check_memory(process: Process, messages: MessageLimits) -> str | None:
    """Whether one message fits into the memory that there is, as it comes and in its other form."""
    most, ceiling, relays = messages.max_message_bytes, process.max_buffered_bytes, process.relays
    if not ceiling or 2 * most < ceiling // relays:
        return None
    there_is = f"max_buffered_bytes = {ceiling:_} is all there is"
    if relays > 1:
        there_is = f"max_buffered_bytes = {ceiling:_} leaves each of {relays} workers {ceiling // relays:_}"
    change = f"raise that above {2 * most * relays:_}, or lower this below {ceiling // relays // 2:_}"
    return f"one message of {most:_} octets takes a little more than twice as many, and {there_is}: {change}"


def _check_shared(services: list[Service]) -> Iterator[Complaint]:
    """Services on one endpoint are told apart by the server key that a client was given."""
    first: dict[tuple[Endpoint, KeyPair], str] = {}
    for service in services:
        for key in service.secret_keys if service.listen.is_fixed else ():
            other = first.setdefault((service.listen, key.pair), service.name)
            if other != service.name:
                yield (
                    f'service "{service.name}": secret_keys',
                    f'"{other}" on the same endpoint has that key too: each needs its own, to tell their clients apart',
                )


def _check_backend(service: Service) -> Iterator[str]:
    listen, backend = service.listen, service.backend
    if backend.transport == "tcp" and (backend.host == "*" or not backend.port):
        yield f"{backend} can not be dialled: name one host and one port"
        return
    if backend.transport == "tcp" and backend.host in EVERYWHERE:
        yield f"{backend} is where a service listens, not where it is reached: write tcp://127.0.0.1:{backend.port}"
        return
    if not service.allow_remote_backend and _is_remote(backend):
        yield (
            f"{backend} is another machine, and what goes there is not encrypted: "
            "use loopback or ipc, or write allow_remote_backend = true"
        )
    everywhere = listen.transport == backend.transport == "tcp" and listen.host in EVERYWHERE
    if listen == backend or (everywhere and listen.port == backend.port and _is_here(backend)):
        yield "it is the endpoint on which the proxy itself listens"


def _is_same(one: Endpoint, other: Endpoint) -> bool:
    """Whether two can not both be listened on. Port 0 is another port each time."""
    if one.transport == other.transport == "tcp":
        everywhere = one.host in EVERYWHERE or other.host in EVERYWHERE
        return one.port == other.port != 0 and (everywhere or one.host == other.host)
    return one == other


def _is_remote(endpoint: Endpoint) -> bool:
    """Whether an address is known now to be another machine's; a name is asked when it is dialled."""
    try:
        return endpoint.transport == "tcp" and not is_local(endpoint.host)
    except ValueError:
        return False


def _is_here(endpoint: Endpoint) -> bool:
    try:
        return is_local(endpoint.host)
    except ValueError:
        return endpoint.host == "localhost"
