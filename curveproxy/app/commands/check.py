"""``curveproxy check``: all that can be known of a configuration, its keys and its paths without running it.

What a running proxy would only warn of is found by the same code, which here warns ``Findings``.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from curveproxy.app.config.certificates import warn_of_open_secret
from curveproxy.app.config.load import ConfigError, inspect, tables
from curveproxy.app.config.schema import ServiceConfig
from curveproxy.app.watch.clients import UNREADABLE, Clients
from curveproxy.policy.limits import BEFORE_HELLO, OnInvalid
from curveproxy.policy.socket_types import DROPPING_HINT, HARMED_BY_DROPPING, PAIR, PAIR_HINT
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.listening import INTERFACE, BindError, is_interface, try_to_bind

PUBLIC_ACTIONS = "whoever reaches the port can end sessions, and so can any site that a browser there shows"


@define
class Findings:
    """errors: why the proxy would not start, or not do what is written; warnings: what the operator may want so.

    services, clients: how many of them there are. Stands in for the log of one service at a time, ``place``.
    """

    errors: list[str] = field(factory=list)
    warnings: list[str] = field(factory=list)
    services: int = 0
    clients: int = 0
    place: str = ""

    def warning(self, event: str, **facts: object) -> None:
        """Add what a running proxy would log."""
        hint, detail = facts.pop("hint"), facts.pop("detail", "")
        what = detail or " ".join([event, *(str(value) for value in facts.values())])
        (self.errors if event == UNREADABLE else self.warnings).append(f"{self.place}: {what}: {hint}")

    def info(self, event: str, **facts: object) -> None:
        """Ignore it: nobody has to act on it."""


def check(path: Path) -> Findings:
    """Look at a configuration file and at all that it names."""
    found = Findings()
    try:
        config, found.errors = inspect(tables(path), path.parent)
    except ConfigError as error:
        found.errors = error.complaints
        return found
    found.services = len(config.service)
    if config.admin.public_page and config.admin.allow_actions:
        found.warnings.append(f"admin: allow_actions with public_page: {PUBLIC_ACTIONS}")
    if config.admin.address is not None:
        found.place = "admin"
        _check_bind(config.admin.address, found)
    first: dict[Endpoint, ServiceConfig] = {}
    for service in config.service:
        found.place = f'service "{service.name}"'
        _check(service, [other.name for other in config.service], config.process.relays, found)
        _check_shared(service, first.setdefault(service.listen, service), found)
    return found


def _check_bind(endpoint: Endpoint, found: Findings) -> None:
    """Whether it could be listened on here. A port in use is no finding: the proxy may be running."""
    try:
        try_to_bind(endpoint)
    except BindError as error:
        if error.number == errno.EACCES:
            found.warnings.append(f"{found.place}: {error}: or let systemd hold the port, see curveproxy.socket")
        elif error.number != errno.EADDRINUSE:
            found.errors.append(f"{found.place}: {error}")


def _check_shared(service: ServiceConfig, first: ServiceConfig, found: Findings) -> None:
    """A half-open connection counts to the first service until its HELLO has come."""
    hint = f'that of "{first.name}" on the same endpoint holds'
    for name in BEFORE_HELLO:
        if service.listen.is_fixed and getattr(service.admission, name) != getattr(first.admission, name):
            found.warning(f"admission.{name} is not used", hint=hint)
    if service.listen.is_fixed and service.proxy_protocol_from != first.proxy_protocol_from:
        found.warning("proxy_protocol_from is not used", hint=hint)


def _check(service: ServiceConfig, services: Sequence[str], relays: int, found: Findings) -> None:
    for key in service.secret_keys:
        if key.file is not None:
            warn_of_open_secret(key.file, found.warning)
    if service.clients.allow == "any" and (service.clients.directory or service.clients.keys):
        found.warning('allow = "any" lets everybody in', hint='the list only names them: with "listed" it decides')
    found.clients += len(Clients.of(service, services, found).load().names)
    for name, endpoint in (("listen", service.listen), ("backend", service.backend)):
        if endpoint.transport == "tcp" and is_interface(endpoint.host):
            found.errors.append(f"{found.place}: {name}: {endpoint}: {INTERFACE}")
        elif endpoint.transport == "tcp" and name == "listen":
            _check_bind(endpoint, found)
        directory = Path(endpoint.host).parent
        if endpoint.transport == "ipc" and not endpoint.host.startswith("@") and not directory.is_dir():
            found.errors.append(f"{found.place}: {name}: {directory} is not a directory: make it, for the socket in it")
        elif name == "listen" and endpoint.transport == "ipc" and not os.access(directory, os.W_OK | os.X_OK):
            found.errors.append(f"{found.place}: {name}: {directory} can not be written to by this user")
    told = service.backend_socket_type.encode()
    if told == PAIR and relays > 1:
        found.warning("several workers do not suit a PAIR service", hint=PAIR_HINT)
    if service.messages.on_invalid == OnInvalid.DROP and told in HARMED_BY_DROPPING:
        found.warning(f"dropping does not suit a {service.backend_socket_type} service", hint=DROPPING_HINT)
