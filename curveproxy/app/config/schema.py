"""The tables of a configuration file as frozen classes: each setting with its default and its bounds."""

import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import attrs
from attrs import field, frozen
from attrs.validators import and_, deep_iterable, ge, in_, le, lt

from curveproxy.app.config.certificates import reason
from curveproxy.app.config.keys import PublicKey, RemoteKey, SecretKey
from curveproxy.app.config.signed import AuthorityKey, ClientCertificate, RevokedFile, ServerCertificate
from curveproxy.policy.access.authorities import CLOCK_SKEW_SECONDS, MAX_DAYS, Authority
from curveproxy.policy.limits import (
    MAX_HANDSHAKE_SECONDS,
    AdmissionLimits,
    ClientLimits,
    MessageLimits,
    positive,
    whole,
)
from curveproxy.policy.socket_types import ZMTP1_COUNTERPARTS
from curveproxy.proxy.net.endpoint import Endpoint, Network
from curveproxy.proxy.settings import RefusalMode

MAX_WORKERS = 256
# As many handshakes a second as there may be, for clients that are all at one address.
NO_RATE = 2**31
# By how much clocks may be configured to differ.
MAX_CLOCK_SKEW_SECONDS = 86400

# Hosts that stand for all addresses of this machine.
EVERYWHERE = ("*", "0.0.0.0", "::")


def parse_endpoint(text: str) -> Endpoint:
    """An endpoint whose host can be looked up. Raises ValueError."""
    endpoint = Endpoint.parse(text)
    try:
        endpoint.host.encode("idna" if endpoint.transport == "tcp" else "utf-8")
    except UnicodeError:
        raise ValueError(f"{text!r} has no host name that can be looked up") from None
    return endpoint


def _check_address(_: object, __: object, text: str) -> None:
    if text:
        try:
            parse_endpoint(f"tcp://{text}")
        except ValueError as error:
            raise ValueError(str(error).replace("tcp://", "")) from None


@frozen
class AdminConfig:
    """``[admin]``: where /metrics, /healthz, /readyz and the status page are served; "" turns it off.

    allow_actions: the page can end sessions; public_page: it answers others than loopback too.
    """

    listen: str = field(default="127.0.0.1:9464", validator=_check_address)
    allow_actions: bool = False
    public_page: bool = False

    @property
    def address(self) -> Endpoint | None:
        """Where it listens; None when it is off."""
        return parse_endpoint(f"tcp://{self.listen}") if self.listen else None


@frozen
class LogConfig:
    """``[log]``."""

    level: str = field(default="info", validator=in_(["debug", "info", "warning", "error"]))
    format: str = field(default="text", validator=in_(["text", "json"]))


@frozen
class ProcessConfig:
    """``[process]``. workers: how many processes relay; 0 for one a core. max_buffered_bytes: 0 for no ceiling."""

    workers: int = field(default=1, validator=[ge(0), le(MAX_WORKERS)])
    drain_seconds: float = field(default=30.0, validator=ge(0))
    reuse_port: bool = False
    watch: bool = False
    max_buffered_bytes: int = whole(1_073_741_824, least=0)

    @property
    def relays(self) -> int:
        """How many processes relay. A single one is this process; several are its workers."""
        return self.workers or len(os.sched_getaffinity(0))


def _check_directory(_: object, __: object, path: Path | None) -> None:
    if path is None:
        return
    try:
        next(path.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path} is not a directory: make it, and put .key files into it") from None
    except OSError as error:
        raise ValueError(f"{path} can not be listed: {reason(error)}") from None


def _check_patterns(_: object, __: object, names: list[str]) -> None:
    if not names:
        raise ValueError("it is empty, and nothing that is signed would be believed: leave it out for any name")


@frozen
class AuthorityConfig:
    """One of ``authorities``: whose certificates are believed.

    names: patterns, of which the name of what it signs must fit one; max_days: how long that may be valid, 0 for any
    time.
    """

    file: AuthorityKey
    names: list[str] = field(factory=lambda: ["*"], validator=_check_patterns)
    max_days: int = whole(0, least=0)

    def authority(self, key: bytes) -> Authority:
        """What is believed of it. key: that is in its file now."""
        return Authority(self.file.name, key, tuple(self.names), self.max_days or None)


@frozen
class ClientAuthorityConfig(AuthorityConfig):
    """One of clients: what it signs may be valid for a month, where nothing else is written."""

    max_days: int = whole(MAX_DAYS, least=0)


class AllowMode(StrEnum):
    """Whose keys are allowed: those on the list, or any."""

    LISTED = "listed"
    ANY = "any"


@frozen
class ClientsConfig:
    """``[service.clients]``: who may connect. Nobody by default: there must be a list, or ``allow = "any"``.

    authorities: whose certificates are a list too; revoked: what is not believed of them any more.
    ``..._per_client``: limits of each client, unless its certificate says otherwise; 0 for no limit.
    idle_seconds, heartbeat_seconds: when a session without messages ends, and how often a client is sent a PING; 0 for
    never.
    """

    allow: AllowMode = AllowMode.LISTED
    directory: Path | None = field(default=None, validator=_check_directory)
    keys: list[PublicKey] = field(factory=list)
    authorities: list[ClientAuthorityConfig] = field(factory=list)
    revoked: RevokedFile | None = None
    clock_skew_seconds: int = whole(CLOCK_SKEW_SECONDS, least=0, most=MAX_CLOCK_SKEW_SECONDS)
    refusal: RefusalMode = RefusalMode.ERROR
    max_sessions_per_client: int = whole(0, least=0)
    messages_per_second_per_client: int = whole(0, least=0)
    bytes_per_second_per_client: int = whole(0, least=0)
    idle_seconds: float = field(default=0.0, validator=ge(0))
    heartbeat_seconds: float = field(default=0.0, validator=ge(0))

    @property
    def limits(self) -> ClientLimits:
        """The limits of each client."""
        return ClientLimits(
            self.max_sessions_per_client, self.messages_per_second_per_client, self.bytes_per_second_per_client
        )

    @property
    def lists(self) -> tuple[object, ...]:
        """The settings that decide who is listed. Without authorities no certificate is."""
        return self.allow, self.directory, self.keys, bool(self.authorities)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it could let anybody in."""
        return not (self.allow == AllowMode.ANY or self.directory is not None or self.keys or self.authorities)


def _check_mode(_: object, __: object, text: str) -> None:
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError(f'{text!r} is no mode of a file: write it as chmod has it, "0600" or "0660"')


def _check_name(_: object, __: object, name: str) -> None:
    if not name:
        raise ValueError("it is empty: it becomes a label of metrics")


@frozen
class ServiceConfig:
    """``[[service]]``. certificates: of its keys, for whoever asks."""

    name: str = field(validator=_check_name)
    listen: Endpoint
    backend: Endpoint
    secret_keys: list[SecretKey]
    certificates: list[ServerCertificate] = field(factory=list)
    forward_identity: bool = False
    allow_remote_backend: bool = False
    backend_socket_type: str = field(default="", validator=in_(["", *(kind.decode() for kind in ZMTP1_COUNTERPARTS)]))
    zmtp1_identities: bool = False
    xpub_messages: bool = False
    proxy_protocol: bool = False
    proxy_protocol_from: list[Network] = field(factory=list)
    clients: ClientsConfig = field(factory=ClientsConfig)
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)

    @property
    def mode(self) -> int | None:
        """Of the Unix socket on which it listens: what the umask leaves."""
        return None


@frozen
class EgressLimits:
    """``[egress.limits]``: how many local clients may connect, and how long they may stay silent; 0 seconds for never.

    heartbeat_seconds: how often the remote is sent a PING.
    """

    handshake_seconds: float = positive(10.0, MAX_HANDSHAKE_SECONDS)
    max_half_open: int = whole(16384, least=1)
    max_sessions: int = whole(16384, least=1)
    idle_seconds: float = field(default=0.0, validator=ge(0))
    heartbeat_seconds: float = field(default=0.0, validator=ge(0))

    def admission(self, connect_seconds: float) -> AdmissionLimits:
        """The same as limits of a service. All local clients may be one source."""
        return AdmissionLimits(
            handshake_seconds=self.handshake_seconds,
            max_half_open=self.max_half_open,
            max_half_open_per_source=self.max_half_open,
            handshakes_per_second_per_source=NO_RATE,
            max_sessions=self.max_sessions,
            backend_connect_seconds=connect_seconds,
        )


@frozen
class EgressConfig:
    """``[[egress]]``. secret_key: None only while there is none yet.

    authorities: whose certificates tell the keys of the remotes, in place of ``server_keys``; revoked: what is not
    believed of them any more; server_name: what a remote must be called there, empty for the host of its endpoint.
    server_certificate: where it is not asked for; certificate: ours.
    """

    name: str = field(validator=_check_name)
    listen: Endpoint
    remote: list[Endpoint] = field(factory=list)
    server_keys: list[RemoteKey] = field(factory=list)
    secret_key: SecretKey | None = None
    authorities: list[AuthorityConfig] = field(factory=list)
    revoked: RevokedFile | None = None
    clock_skew_seconds: int = whole(CLOCK_SKEW_SECONDS, least=0, most=MAX_CLOCK_SKEW_SECONDS)
    server_name: str = ""
    server_certificate: ServerCertificate | None = None
    certificate: ClientCertificate | None = None
    allow_remote_clients: bool = False
    client_socket_type: str = field(default="", validator=in_(["", *(kind.decode() for kind in ZMTP1_COUNTERPARTS)]))
    socket_mode: str = field(default="0600", validator=_check_mode)
    allow_uids: list[int] = field(factory=list, validator=deep_iterable(and_(ge(0), lt(2**32 - 1))))
    connect_seconds: float = positive(5.0, 3600)
    limits: EgressLimits = field(factory=EgressLimits)
    messages: MessageLimits = field(factory=MessageLimits)

    @property
    def mode(self) -> int:
        """The permissions of the Unix socket on which it listens."""
        return int(self.socket_mode, 8)

    @property
    def has_path(self) -> bool:
        """Whether it listens on a Unix socket that has permissions; an abstract one has none."""
        return self.listen.transport == "ipc" and not self.listen.host.startswith("@")


@frozen
class DefaultsConfig:
    """``[defaults]``: settings of services whose own tables do not hold them; ``messages`` of egresses too."""

    clients: ClientsConfig = field(factory=ClientsConfig)
    admission: AdmissionLimits = field(factory=AdmissionLimits)
    messages: MessageLimits = field(factory=MessageLimits)


@frozen
class Config:
    """The whole file. service, egress: each with the defaults filled in."""

    admin: AdminConfig = field(factory=AdminConfig)
    log: LogConfig = field(factory=LogConfig)
    process: ProcessConfig = field(factory=ProcessConfig)
    defaults: DefaultsConfig = field(factory=DefaultsConfig)
    service: list[ServiceConfig] = field(factory=list)
    egress: list[EgressConfig] = field(factory=list)

    @property
    def both(self) -> Sequence[ServiceConfig | EgressConfig]:
        """The services, then the egresses."""
        return [*self.service, *self.egress]

    @property
    def names(self) -> Sequence[str]:
        """The names of both."""
        return [table.name for table in self.both]


# The headers of tables in a file.
TABLES = {
    "[admin]": AdminConfig,
    "[log]": LogConfig,
    "[process]": ProcessConfig,
    "[[service]]": ServiceConfig,
    "[service.clients]": ClientsConfig,
    "[[service.clients.authorities]]": ClientAuthorityConfig,
    "[service.admission]": AdmissionLimits,
    "[service.messages]": MessageLimits,
    "[[egress]]": EgressConfig,
    "[[egress.authorities]]": AuthorityConfig,
    "[egress.limits]": EgressLimits,
    "[egress.messages]": MessageLimits,
}
# Which tables of ``[defaults]`` are those of a service, and of an egress.
DEFAULTED = {"service": {attribute.name for attribute in attrs.fields(DefaultsConfig)}, "egress": {"messages"}}
