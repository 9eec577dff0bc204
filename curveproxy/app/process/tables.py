"""A service, or an egress, as its table and its key files describe it: what the proxy needs to know of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve

from curveproxy.app.config.schema import EgressConfig, ServiceConfig
from curveproxy.app.observe.log import Log
from curveproxy.app.watch.clients import Clients
from curveproxy.app.watch.egress_keys import EgressKeys
from curveproxy.app.watch.files import Watched
from curveproxy.app.watch.own_certificates import CertificateFiles
from curveproxy.app.watch.server_keys import ServerKeys
from curveproxy.app.watch.trust import TrustFiles
from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.authorities import Trust
from curveproxy.policy.access.judgement import VerifiedTexts
from curveproxy.policy.limits import WorkerShare
from curveproxy.proxy.settings import EgressSettings, RefusalMode, ServiceKind, ServiceSettings
from curveproxy.wire import z85
from curveproxy.wire.certificate import Certificate


class Table(Protocol):
    """One table of the configuration with its key files, which change while it runs.

    name, kind: of the service; allow_any: whether there is no list of clients; clients: of an egress None.
    key_files: those that settings are made of; list_files: those that ``access`` is made of.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> ServiceKind: ...

    @property
    def allow_any(self) -> bool: ...

    @property
    def key_files(self) -> Sequence[Watched[Any]]: ...

    @property
    def list_files(self) -> Sequence[Watched[Any]]: ...

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


def with_files(*watched: TrustFiles | CertificateFiles) -> Sequence[Watched[Any]]:
    """Those that have files, which may change."""
    return [each for each in watched if each.paths]


def serials(certificates: Sequence[Certificate]) -> Mapping[str, object]:
    """Certificates of our own keys, for the log."""
    return {"certificates": [each.serial for each in certificates]} if certificates else {}


def text_of(certificates: Sequence[Certificate]) -> bytes:
    """The text of the one that there may be."""
    return next((each.text for each in certificates), b"")


def told(trust: Trust) -> Mapping[str, object]:
    """Whose certificates are believed, for the log."""
    if not trust.authorities:
        return {}
    return {"authorities": [each.file for each in trust.authorities], "revocations": trust.revocations.count}


class ServiceTable:
    """A ``[[service]]``. before: the same one of another configuration, whose list of clients is kept if still wanted.

    services: the names of all services, which certificates may name.
    """

    kind = ServiceKind.INGRESS

    def __init__(self, config: ServiceConfig, services: Sequence[str], log: Log, before: "Table | None") -> None:
        self.config, self.name, clients = config, config.name, config.clients
        self._trusted = TrustFiles(clients.authorities, clients.revoked, clients.clock_skew_seconds, log)
        self._trusted.refresh()
        self.verified: VerifiedTexts = before.verified if isinstance(before, ServiceTable) else VerifiedTexts()
        if isinstance(before, ServiceTable) and before.config.clients.lists == clients.lists:
            # It holds keys whose files can not be read now.
            self.clients: Clients = before.clients
            self.clients.know(services, self._trust)
        else:
            self.clients = Clients.of(config, services, log, self._trust)
            self.clients.load()
        self._keys, self._own = ServerKeys(config.secret_keys, log), CertificateFiles(config.certificates, log)
        self.key_files = (self._keys, *with_files(self._own))
        self.list_files = (self.clients, *with_files(self._trusted))
        for files in self.key_files:
            files.refresh()

    def _trust(self) -> Trust:
        return self._trusted.trust

    @property
    def allow_any(self) -> bool:
        return self.access.allow_any

    @property
    def access(self) -> AccessList:
        return evolve(self.clients.list, trust=self._trusted.trust, verified=self.verified)

    @property
    def key_names(self) -> Mapping[bytes, str]:
        return {pair.public: name for pair, name in self._keys.names.items()}

    @property
    def _certificates(self) -> Sequence[Certificate]:
        """Those that whoever asks is told."""
        return self._own.of(self.key_names)

    @property
    def keys_in_force(self) -> Mapping[str, object]:
        return {"server_keys": [z85.encode(pair.public) for pair in self._keys.names], **serials(self._certificates)}

    @property
    def let_in(self) -> Mapping[str, object]:
        return {"clients": "any" if self.allow_any else len(self.access.names), **told(self._trusted.trust)}

    def settings(self, share: WorkerShare) -> ServiceSettings:
        config, clients = self.config, self.config.clients
        return ServiceSettings(
            name=config.name,
            listen=config.listen,
            backend=config.backend,
            server_keys=tuple(self._keys.names),
            certificates=tuple(each.text for each in self._certificates),
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

    kind, allow_any, clients, list_files = ServiceKind.EGRESS, True, None, ()
    access = AccessList(allow_any=True)
    key_names: Mapping[bytes, str] = {}

    def __init__(self, config: EgressConfig, log: Log) -> None:
        assert config.secret_key is not None
        self.config, self.name = config, config.name
        self._keys = EgressKeys(config.secret_key, config.server_keys, log)
        self._trusted = TrustFiles(config.authorities, config.revoked, config.clock_skew_seconds, log)
        self._own = CertificateFiles([config.certificate], log)
        self._its = CertificateFiles([config.server_certificate], log)
        self.key_files = (self._keys, *with_files(self._trusted, self._own, self._its))
        for files in self.key_files:
            files.refresh()

    @property
    def _certificates(self) -> Sequence[Certificate]:
        """The one that is presented, if any."""
        return self._own.of([self._keys.public])

    @property
    def keys_in_force(self) -> Mapping[str, object]:
        server_keys = {"server_keys": [z85.encode(key) for key in self._keys.server_keys]}
        its = told(self._trusted.trust) or server_keys
        return {"public_key": z85.encode(self._keys.public), **serials(self._certificates), **its}

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
                server_keys=self._keys.server_keys,
                keys=self._keys.own,
                trust=self._trusted.trust if config.authorities else None,
                server_name=config.server_name,
                server_certificate=text_of(self._its.of()),
                certificate=text_of(self._certificates),
                client_socket_type=config.client_socket_type,
                allow_uids=frozenset(config.allow_uids),
                socket_mode=config.mode,
            ),
        )
