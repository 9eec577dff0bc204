"""A service, or an egress, as its table and its key files describe it: what the proxy needs to know of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from curveproxy.app.config.schema import EgressConfig, ServiceConfig
from curveproxy.app.observe.log import Log
from curveproxy.app.watch.clients import Clients
from curveproxy.app.watch.egress_keys import EgressKeys
from curveproxy.app.watch.files import Watched
from curveproxy.app.watch.server_keys import ServerKeys
from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.limits import WorkerShare
from curveproxy.proxy.settings import EgressSettings, RefusalMode, ServiceKind, ServiceSettings
from curveproxy.wire import z85


class Table(Protocol):
    """One table of the configuration with its key files, which change while it runs.

    name, kind: of the service; allow_any: whether there is no list of clients; key_files: those that settings are made
    of; clients: of an egress None.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> ServiceKind: ...

    @property
    def allow_any(self) -> bool: ...

    @property
    def key_files(self) -> Watched[Any]: ...

    @property
    def clients(self) -> Clients | None: ...

    @property
    def access(self) -> AccessList:
        """Who may connect, by the files as they are now."""

    @property
    def key_names(self) -> Mapping[bytes, str]:
        """The public keys that clients may use, with their names in the metrics."""

    @property
    def keys_in_force(self) -> Mapping[str, object]:
        """The public keys of the settings, for the log."""

    @property
    def let_in(self) -> Mapping[str, object]:
        """Who may connect, for the log."""

    def settings(self, share: WorkerShare) -> ServiceSettings:
        """Its settings, by the files as they are now. share: of the limits."""


class ServiceTable:
    """A ``[[service]]``. before: the same one of another configuration, whose list of clients is kept if still wanted.

    services: the names of all services, which certificates may name.
    """

    kind = ServiceKind.INGRESS

    def __init__(self, config: ServiceConfig, services: Sequence[str], log: Log, before: "Table | None") -> None:
        self.config, self.name = config, config.name
        if isinstance(before, ServiceTable) and before.config.clients.lists == config.clients.lists:
            # It holds keys whose files can not be read now.
            self.clients: Clients = before.clients
            self.clients.know_services(services)
        else:
            self.clients = Clients.of(config, services, log)
            self.clients.load()
        self.key_files = ServerKeys(config.secret_keys, log)
        self.key_files.refresh()

    @property
    def allow_any(self) -> bool:
        return self.access.allow_any

    @property
    def access(self) -> AccessList:
        return self.clients.list

    @property
    def key_names(self) -> Mapping[bytes, str]:
        return {pair.public: name for pair, name in self.key_files.names.items()}

    @property
    def keys_in_force(self) -> Mapping[str, object]:
        return {"server_keys": [z85.encode(pair.public) for pair in self.key_files.names]}

    @property
    def let_in(self) -> Mapping[str, object]:
        return {"clients": "any" if self.allow_any else len(self.access.names)}

    def settings(self, share: WorkerShare) -> ServiceSettings:
        config, clients = self.config, self.config.clients
        return ServiceSettings(
            name=config.name,
            listen=config.listen,
            backend=config.backend,
            server_keys=tuple(self.key_files.names),
            refusal=clients.refusal,
            forward_identity=config.forward_identity,
            allow_remote_backend=config.allow_remote_backend,
            backend_socket_type=config.backend_socket_type,
            zmtp1_identities=config.zmtp1_identities,
            xpub_messages=config.xpub_messages,
            proxy_protocol_from=tuple(config.proxy_protocol_from) if config.proxy_protocol else (),
            admission=config.admission.divided(share),
            messages=config.messages,
            client_limits=clients.limits,
            share=share,
            idle_seconds=clients.idle_seconds,
            heartbeat_seconds=clients.heartbeat_seconds,
        )


class EgressTable:
    """An ``[[egress]]``."""

    kind, allow_any, clients = ServiceKind.EGRESS, True, None
    access = AccessList(allow_any=True)
    key_names: Mapping[bytes, str] = {}

    def __init__(self, config: EgressConfig, log: Log) -> None:
        assert config.secret_key is not None
        self.config, self.name = config, config.name
        self.key_files = EgressKeys(config.secret_key, config.server_keys, log)
        self.key_files.refresh()

    @property
    def keys_in_force(self) -> Mapping[str, object]:
        keys = self.key_files
        return {"public_key": z85.encode(keys.own.public), "server_keys": [z85.encode(key) for key in keys.server_keys]}

    @property
    def let_in(self) -> Mapping[str, object]:
        mode = {"socket_mode": self.config.socket_mode} if self.config.has_path else {}
        uids = {"allow_uids": self.config.allow_uids} if self.config.allow_uids else {}
        return {**mode, **uids} or {"clients": "any"}

    def settings(self, share: WorkerShare) -> ServiceSettings:
        config, limits = self.config, self.config.limits
        return ServiceSettings(
            name=config.name,
            listen=config.listen,
            backend=config.remote[0],
            server_keys=(),
            refusal=RefusalMode.CLOSE,
            allow_remote_backend=True,
            admission=limits.admission(config.connect_seconds).divided(share),
            messages=config.messages,
            share=share,
            idle_seconds=limits.idle_seconds,
            heartbeat_seconds=limits.heartbeat_seconds,
            egress=EgressSettings(
                remotes=tuple(config.remote),
                server_keys=self.key_files.server_keys,
                keys=self.key_files.own,
                client_socket_type=config.client_socket_type,
                allow_uids=frozenset(config.allow_uids),
                socket_mode=config.mode,
            ),
        )
