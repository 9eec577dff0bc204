"""``curveproxy check``: all that can be found in a configuration, its keys and its paths without running it.

Warnings of a running proxy are found by the same code, which here gets ``Findings`` in place of a log.
"""

import errno
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from curveproxy.app.config.certificates import warn_of_open_secret
from curveproxy.app.config.load import ConfigError, inspect, tables
from curveproxy.app.config.places import is_here
from curveproxy.app.config.schema import AllowMode, AuthorityConfig, EgressConfig, ServiceConfig
from curveproxy.app.watch.clients import UNREADABLE, Clients
from curveproxy.app.watch.own_certificates import ENDED, CertificateFiles
from curveproxy.app.watch.trust import TrustFiles
from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.judgement import VerifiedTexts, judge_server
from curveproxy.policy.limits import BEFORE_HELLO, MessageLimits, OnInvalid, RecordsMode
from curveproxy.policy.socket_types import DROPPING_HINT, HARMED_BY_DROPPING, PAIR, PAIR_HINT
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import INTERFACE, BindError, is_interface, try_to_bind
from curveproxy.reasons import CertificateFlaw
from curveproxy.wire.codec.suites import Suite, suites_named

# The warnings of a running proxy that are errors here: what is written is not what it would do.
ERRORS = (UNREADABLE, ENDED)
USES_KEY = "uses our key at the remote"
# What of a mode has no meaning without the right to write.
OTHERS_MAY = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
PUBLIC_ACTIONS = "whoever reaches the port can end sessions, and so can any site that a browser there shows"


@define
class Findings:
    """errors: why the proxy would not start, or not do what is written; warnings: what the operator may want so.

    services, clients, egresses: how many there are; authorities: the keys of those that are believed.
    place: of what is checked now, for the log that this stands for.
    """

    errors: list[str] = field(factory=list)
    warnings: list[str] = field(factory=list)
    services: int = 0
    clients: int = 0
    authorities: set[bytes] = field(factory=set)
    egresses: int = 0
    place: str = ""

    @property
    def counts(self) -> str:
        """What there is, for who reads it."""
        parts = [(self.services, "service", "services"), (self.clients, "client key", "client keys")]
        shown = parts if self.services else []
        if self.authorities:
            shown.append((len(self.authorities), "authority", "authorities"))
        if self.egresses:
            shown.append((self.egresses, "egress", "egresses"))
        return ", ".join(f"{number} {one if number == 1 else several}" for number, one, several in shown)

    def warning(self, event: str, **facts: object) -> None:
        """Add what a running proxy would log."""
        hint, detail = facts.pop("hint"), facts.pop("detail", "")
        what = detail or " ".join([event, *(str(value) for value in facts.values())])
        (self.errors if event in ERRORS else self.warnings).append(f"{self.place}: {what}: {hint}")

    def info(self, event: str, **facts: object) -> None:
        """Ignore it: nobody has to act on it."""

    def error(self, sentence: str) -> None:
        """Add an error at this place."""
        self.errors.append(f"{self.place}: {sentence}")

    def begin(self, place: str) -> None:
        """Say what is checked from now on."""
        self.place = place

    def count(self, clients: AccessList) -> None:
        """Add the clients of a service."""
        self.clients += len(clients.names)

    def count_authorities(self, authorities: Sequence[AuthorityConfig]) -> None:
        """Add those of a service, or of an egress."""
        self.authorities.update(each.file.octets for each in authorities)


def check(path: Path) -> Findings:
    """Check a configuration file and all that it names."""
    try:
        config, errors = inspect(tables(path), path.parent)
    except ConfigError as error:
        return Findings(error.complaints)
    found = Findings(errors, services=len(config.service), egresses=len(config.egress))
    if config.admin.public_page and config.admin.allow_actions:
        found.warnings.append(f"admin: allow_actions with public_page: {PUBLIC_ACTIONS}")
    if config.admin.address is not None:
        found.begin("admin")
        _check_bind(config.admin.address, found)
    names = [service.name for service in config.service]
    first: dict[Endpoint, ServiceConfig] = {}
    for service in config.service:
        found.begin(f'service "{service.name}"')
        _check_clients(service, names, found)
        _check_endpoint("listen", service.listen, found)
        _check_endpoint("backend", service.backend, found)
        _check_records(service.messages, found)
        _check_socket_type(service, config.process.relays, found)
        _check_shared(service, first.setdefault(service.listen, service), found)
    for egress in config.egress:
        found.begin(f'egress "{egress.name}"')
        _check_egress(egress, found)
    return found


def _check_egress(egress: EgressConfig, found: Findings) -> None:
    if egress.secret_key is not None and egress.secret_key.file is not None:
        warn_of_open_secret(egress.secret_key.file, found.warning)
    found.count_authorities(egress.authorities)
    CertificateFiles([egress.certificate, egress.server_certificate], found).refresh()
    _check_server_certificate(egress, found)
    _check_records(egress.messages, found)
    _check_endpoint("listen", egress.listen, found)
    for number, remote in enumerate(egress.remote):
        _check_endpoint(f"remote[{number}]", remote, found)
    if (warning := _open_to_others(egress)) is not None:
        what, hint = warning
        found.warning(what, hint=hint)


def _check_server_certificate(egress: EgressConfig, found: Findings) -> None:
    """Whether what is taken in place of an answer would be believed, of each remote."""
    if egress.server_certificate is None:
        return
    trust = TrustFiles(egress.authorities, egress.revoked, egress.clock_skew_seconds, found).trust
    text = egress.server_certificate.certificate.text
    for name in [egress.server_name] if egress.server_name else [remote.host for remote in egress.remote]:
        flaw = judge_server(text, name, trust, time.time(), VerifiedTexts()).flaw
        if flaw not in (None, CertificateFlaw.EXPIRED):  # which has been said
            found.error(f"server_certificate: {flaw}: it is not believed of {name}: {flaw.hint}")


def _open_to_others(egress: EgressConfig) -> tuple[str, str] | None:
    """Who else may use the key of an egress, and what to write; None when it is whom the operator has named."""
    everybody = f"listen: {egress.listen}: every user of this host can connect, and {USES_KEY}"
    if not is_here(egress.listen):
        what = f"listen: {egress.listen}: whoever reaches it {USES_KEY}, and what goes there is not encrypted"
        return what, "keep strangers out by other means"
    if egress.listen.transport == "tcp":
        return everybody, "listen on ipc:///path, whose socket_mode decides"
    if egress.allow_uids:
        return None
    if not egress.has_path:
        return everybody, "listen on ipc:///path, whose socket_mode decides, or write allow_uids"
    if egress.mode & stat.S_IWOTH:
        return f"socket_mode: every user of this host can connect, and {USES_KEY}", "write allow_uids, or another mode"
    if egress.mode & OTHERS_MAY and not egress.mode & stat.S_IWGRP:
        what = f"socket_mode: {egress.socket_mode} lets in the socket's owner alone"
        return what, 'who may connect has the right to write, as a group has by "0660"'
    return None


def _check_clients(service: ServiceConfig, services: Sequence[str], found: Findings) -> None:
    for key in service.secret_keys:
        if key.file is not None:
            warn_of_open_secret(key.file, found.warning)
    if service.clients.allow == AllowMode.ANY and (service.clients.directory or service.clients.keys):
        found.warning('allow = "any" lets everybody in', hint='the list only names them: with "listed" it decides')
    clients = service.clients
    trusted = TrustFiles(clients.authorities, clients.revoked, clients.clock_skew_seconds, found)
    found.count_authorities(clients.authorities)
    found.count(Clients.of(service, services, found, lambda: trusted.trust).load())
    CertificateFiles(service.certificates, found).refresh()


def _check_endpoint(setting: str, endpoint: Endpoint, found: Findings) -> None:
    if endpoint.transport == "ipc":
        _check_directory(setting, endpoint, found)
    elif is_interface(endpoint.host):
        found.error(f"{setting}: {endpoint}: {INTERFACE}")
    elif setting == "listen":
        _check_bind(endpoint, found)


def _check_directory(setting: str, endpoint: Endpoint, found: Findings) -> None:
    """Of the file of a Unix socket; an abstract one has none."""
    directory = Path(endpoint.host).parent
    if not endpoint.host.startswith("@") and not directory.is_dir():
        found.error(f"{setting}: {directory} is not a directory: make it, for the socket in it")
    elif setting == "listen" and not os.access(directory, os.W_OK | os.X_OK):
        found.error(f"{setting}: {directory} can not be written to by this user")


def _check_bind(endpoint: Endpoint, found: Findings) -> None:
    """Whether it could be listened on here. A port in use is no finding: the proxy may be running."""
    try:
        try_to_bind(endpoint)
    except BindError as error:
        if error.number == errno.EACCES:
            found.warnings.append(f"{found.place}: {error}: or let systemd hold the port, see curveproxy.socket")
        elif error.number != errno.EADDRINUSE:
            found.error(str(error))


def _check_socket_type(service: ServiceConfig, relays: int, found: Findings) -> None:
    kind = service.backend_socket_type.encode()
    if kind == PAIR and relays > 1:
        found.warning("several workers do not suit a PAIR service", hint=PAIR_HINT)
    if service.messages.on_invalid == OnInvalid.DROP and kind in HARMED_BY_DROPPING:
        found.warning(f"dropping does not suit a {service.backend_socket_type} service", hint=DROPPING_HINT)


def _check_records(messages: MessageLimits, found: Findings) -> None:
    """Whether records are not agreed on although they may be."""
    if messages.records != RecordsMode.AUTO:
        return
    if messages.on_invalid == OnInvalid.DROP:
        found.warning("messages.records: who drops invalid messages does without records", hint='write records = "off"')
    elif not suites_named(messages.record_suites):
        hint = f'add "{Suite.XSALSA20_POLY1305.word}", or write records = "off"'
        found.warning("messages.record_suites: this machine has none of them", hint=hint)


def _check_shared(service: ServiceConfig, first: ServiceConfig, found: Findings) -> None:
    """A half-open connection counts to the first service until its HELLO has come."""
    hint = f'that of "{first.name}" on the same endpoint holds'
    for name in BEFORE_HELLO:
        if service.listen.is_fixed and getattr(service.admission, name) != getattr(first.admission, name):
            found.warning(f"admission.{name} is not used", hint=hint)
    if service.listen.is_fixed and service.proxy_protocol_from != first.proxy_protocol_from:
        found.warning("proxy_protocol_from is not used", hint=hint)
