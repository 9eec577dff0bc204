"""The services of a configuration: made, changed and removed, and their key files kept up to date."""

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any

import trio
from attrs import define, evolve, field

from curveproxy.app.config.schema import Config
from curveproxy.app.observe.events import ServiceObserver
from curveproxy.app.observe.history import EventHistory
from curveproxy.app.observe.log import SILENT, Log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.process.tables import EgressTable, ServiceTable, Table
from curveproxy.app.watch.files import Watched
from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.limits import WorkerShare
from curveproxy.proxy.server import Server
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import ServiceKind, ServiceSettings
from curveproxy.wire import spec, z85
from curveproxy.wire.curve.asking import answer_size

# How many clients that were added or removed one line names.
NAMES_MAX = 20
FEWER_HINT = "descriptors allow no more, of all services together: raise the hard limit (LimitNOFILE, ulimit -n)"
# Where one part in so many of the configured sessions is left, or less, that is a warning.
FEW_SHARE = 16
EGRESS_KEYS, TRUST_CHANGED = "egress keys changed", "authorities or revocations changed"
TOO_LARGE, TOO_LARGE_HINT = (
    "certificates are too much for one answer",
    "those of before are told to who asks: name fewer, or sign shorter ones",
)
# libzmq connects again by itself.
COMES_AGAIN = "its client may come again: take its key off the list to keep it out"

# How many sessions there are, by the names of services and the keys of clients in hexadecimal digits.
Counts = Mapping[str, Mapping[str, int]]


@define(eq=False)
class RunningService:
    """One service, or egress, with its table and its key files.

    settings, clients: those in force, which the key files may have left behind; scope: of what watches those.
    """

    table: Table
    service: Service
    observer: ServiceObserver
    settings: ServiceSettings
    clients: AccessList
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    @property
    def skew(self) -> float | None:
        """By how many seconds clocks may differ; None where no authority is listed."""
        egress = self.settings.egress
        trust = self.clients.trust if egress is None else egress.trust
        return trust.skew if trust is not None and trust.authorities else None

    def use_clients(self, clients: AccessList) -> None:
        """Put a list of clients in force."""
        self.clients = clients
        self.service.admit(self.clients)

    def use_settings(self, settings: ServiceSettings) -> None:
        """Have these settings in force as soon as the server opens its services again."""
        self.settings = settings


class ServiceManager:
    """All services. ``read`` and ``apply`` a configuration, at the start and whenever it changes.

    share: of their limits. Of several processes the first alone logs what all of them know.
    """

    def __init__(self, server: Server, metrics: Metrics, log: Log, share: WorkerShare) -> None:
        self._server, self._metrics, self._share = server, metrics, share
        self._observers_log, self._log = log, log if share.index == 0 else SILENT
        self._running: dict[str, RunningService] = {}

    @property
    def histories(self) -> Mapping[str, EventHistory]:
        """What has happened to each service, by its name."""
        return {name: each.observer.history for name, each in self._running.items()}

    def end_session(self, number: int) -> bool:
        """End the session of that number behind a whole message. False when it has ended already."""
        session = self._server.end_session(number)
        if session is None:
            return False
        observer = self._running[session.service].observer
        observer.notice("session ended on the status page", client=session.client, peer=session.peer, hint=COMES_AGAIN)
        return True

    def share_clients(self, elsewhere: Counts) -> Counts:
        """Set how many sessions clients with limits have in other processes. Returns how many they have here."""
        here = {}
        for name, each in self._running.items():
            counts = {bytes.fromhex(key): count for key, count in elsewhere.get(name, {}).items()}
            here[name] = {key.hex(): count for key, count in each.service.share_clients(counts).items()}
        return here

    async def make_way(self, service: str, identity: bytes, number: int) -> None:
        """End the session of that number: its client, which has this identity, has connected to another process."""
        if (running := self._running.get(service)) is not None:
            await running.service.make_way(identity, number)

    # --- a configuration

    def read(self, config: Config) -> dict[str, Table]:
        """The tables of a configuration with their key files. May run in a thread.

        A list that is still wanted is kept: it holds keys whose files can not be read now.
        """
        found: dict[str, Table] = {}
        services = [each.name for each in config.service]
        for each in config.service:
            before = self._running.get(each.name)
            log = self._log.bind(service=each.name)
            found[each.name] = ServiceTable(each, services, log, before.table if before is not None else None)
        for egress in config.egress:
            found[egress.name] = EgressTable(egress, self._log.bind(service=egress.name))
        return found

    def apply(self, config: Config, tables: Mapping[str, Table], nursery: trio.Nursery) -> None:
        """Have these services and no others. Raises BindError, and then nothing has changed."""
        wanted = {name: self._made(table) for name, table in tables.items()}
        before = self._running
        changed = [
            each for name, each in wanted.items() if name not in before or before[name].settings != each.settings
        ]
        self._server.open(
            {each.service: each.settings for each in wanted.values()}, reuse_port=config.process.reuse_port
        )
        ceiling = config.process.max_buffered_bytes
        self._server.limit_memory(self._share.part(ceiling) if ceiling else inf)
        self._running = wanted
        for former in before.values():
            former.scope.cancel()
            if former.service not in [each.service for each in wanted.values()]:
                self._log.info("service removed", service=former.table.name)
        for each in wanted.values():
            self._use_lists(each)
            nursery.start_soon(self._watch, each)
        for each in changed:
            self._log_listening(each)

    def _made(self, table: Table) -> RunningService:
        """A service of this table. One that runs stays, for its sessions."""
        settings, before = table.settings(self._share), self._running.get(table.name)
        if before is not None and before.table.kind == table.kind:
            service, observer = before.service, before.observer
        else:
            is_egress = table.kind == ServiceKind.EGRESS
            observer = ServiceObserver(table.name, self._metrics, self._observers_log, is_egress=is_egress)
            service = self._server.new_service(settings, table.access, observer)
        return RunningService(table, service, observer, settings, table.access)

    # --- key files

    async def _watch(self, each: RunningService) -> None:
        """Keep one service's key files up to date, until another configuration is applied."""
        with each.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(each.observer.summarise)
                if self._share.index == 0:
                    nursery.start_soon(each.observer.watch_clock, lambda: each.skew)
                nursery.start_soon(each.observer.history.keep, partial(self._server.figures_of, each.service))
                for files in each.table.key_files:
                    apply_keys = partial(self._apply_keys, each, files)
                    nursery.start_soon(files.watch, partial(self._guarded, each, apply_keys))
                for files in each.table.list_files:
                    apply_lists = partial(self._apply_lists, each, files)
                    nursery.start_soon(files.watch, partial(self._guarded, each, apply_lists))

    @staticmethod
    def _guarded(each: RunningService, apply: Callable[[], None]) -> None:
        try:
            apply()
        except Exception as error:  # the boundary: the next change of the files is applied again
            each.observer.unexpected(error)

    def _apply_lists(self, each: RunningService, files: Watched[Any]) -> None:
        access = each.table.access
        if access != each.clients:
            self._log_lists(each.table, each.clients, access)
            self._use_lists(each)
        self._metrics.reload(success=not files.files.failed)

    def _log_lists(self, table: Table, former: AccessList, access: AccessList) -> None:
        log = self._log.bind(service=table.name)
        if access.trust != former.trust:
            log.info(TRUST_CHANGED, **table.let_in)
        if evolve(access, trust=former.trust) != former:
            before, now = _names(former), _names(access)
            moved = {"came": _some(now - before), "went": _some(before - now)}
            facts = {fact: names for fact, names in moved.items() if names}
            signed = {"certificates": len(access.certified)} if access.certified or former.certified else {}
            log.info("client list changed", clients=len(access.names), **signed, **facts)
        if table.clients is not None:
            table.clients.warn_if_empty()

    def _apply_keys(self, each: RunningService, files: Watched[Any]) -> None:
        table, log = each.table, self._log.bind(service=each.table.name)
        settings = self._told_of(each, table.settings(self._share))
        if settings != each.settings:
            log.info("server keys changed" if table.kind == ServiceKind.INGRESS else EGRESS_KEYS, **table.keys_in_force)
            self._use_lists(each)
            each.use_settings(settings)
            self._server.open({other.service: other.settings for other in self._running.values()})
        self._metrics.reload(success=not files.files.failed)

    def _told_of(self, each: RunningService, settings: ServiceSettings) -> ServiceSettings:
        """New settings, with the certificates of before where all at one endpoint would be too much for one answer."""
        beside = [other.settings for other in self._running.values() if other is not each]
        texts = [text for other in beside if other.listen == settings.listen for text in other.certificates]
        if answer_size([*texts, *settings.certificates]) <= spec.CERTIFICATES_MAX:
            return settings
        log = self._log.bind(service=each.table.name)
        log.warning(TOO_LARGE, endpoint=str(settings.listen), hint=TOO_LARGE_HINT)
        return evolve(settings, certificates=each.settings.certificates)

    def _use_lists(self, each: RunningService) -> None:
        each.observer.configure(each.table.key_names, allow_any=each.table.allow_any)
        each.use_clients(each.table.access)

    def _log_listening(self, each: RunningService) -> None:
        figures, log = self._server.figures_of(each.service), self._log.bind(service=each.table.name)
        log.info(
            "listening",
            endpoint=figures.endpoint,
            **({"addresses": figures.addresses} if len(figures.addresses) > 1 else {}),
            backend=figures.backend,
            **each.table.keys_in_force,
            **each.table.let_in,
        )
        if figures.sessions_limit < (wanted := each.settings.admission.max_sessions):
            # So few that a service hardly works are an accident of how the process was started.
            tell = log.warning if FEW_SHARE * figures.sessions_limit <= wanted else log.info
            tell(
                "fewer sessions than configured",
                sessions_limit=figures.sessions_limit,
                max_sessions=wanted,
                hint=FEWER_HINT,
            )


def _names(clients: AccessList) -> set[str]:
    """The operator's names for the clients, and the keys of those that have none."""
    return {name or z85.encode(key) for key, name in clients.names.items()}


def _some(names: set[str]) -> list[str]:
    """As many of them as a line can hold."""
    found = sorted(names)
    return found[:NAMES_MAX] + [f"and {len(found) - NAMES_MAX} more"] * (len(found) > NAMES_MAX)
