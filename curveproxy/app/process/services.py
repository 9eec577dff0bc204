"""The services of a configuration: made, changed and removed, and their key files kept up to date."""

from collections.abc import Callable, Mapping
from functools import partial
from math import inf

import trio
from attrs import define, field, frozen

from curveproxy.app.config.schema import AllowMode, Config, ServiceConfig
from curveproxy.app.observe.events import ServiceObserver
from curveproxy.app.observe.history import EventHistory
from curveproxy.app.observe.log import SILENT, Log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.watch.clients import Clients
from curveproxy.app.watch.server_keys import ServerKeys
from curveproxy.policy.access import AccessList
from curveproxy.policy.limits import WorkerShare
from curveproxy.proxy.server import Server
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.wire import z85

# How many clients that were added or removed one line names.
NAMES_MAX = 20
FEWER_HINT = "descriptors allow no more, of all services together: raise the hard limit (LimitNOFILE, ulimit -n)"
# Where one part in so many of the configured sessions is left, or less, that is a warning.
FEW_SHARE = 16
# libzmq connects again by itself.
COMES_AGAIN = "its client may come again: take its key off the list to keep it out"

# How many sessions there are, by the names of services and the keys of clients in hexadecimal digits.
Counts = Mapping[str, Mapping[str, int]]


@frozen
class KeyLists:
    """The key files of one service."""

    clients: Clients
    keys: ServerKeys


@define(eq=False)
class RunningService:
    """One service with its table and its key files.

    settings, clients: those in force, which the key files may have left behind; scope: of what watches those.
    """

    table: ServiceConfig
    lists: KeyLists
    service: Service
    observer: ServiceObserver
    settings: ServiceSettings
    clients: AccessList
    scope: trio.CancelScope = field(factory=trio.CancelScope)

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

    def read(self, config: Config) -> dict[str, KeyLists]:
        """The key files of a configuration's services. May run in a thread.

        A list that is still wanted is kept: it holds keys whose files can not be read now.
        """
        found, names = {}, [table.name for table in config.service]
        for table in config.service:
            log, before = self._log.bind(service=table.name), self._running.get(table.name)
            if before is not None and before.table.clients.lists == table.clients.lists:
                clients = before.lists.clients
                clients.know_services(names)
            else:
                clients = Clients.of(table, names, log)
                clients.load()
            keys = ServerKeys(table.secret_keys, log)
            keys.refresh()
            found[table.name] = KeyLists(clients, keys)
        return found

    def apply(self, config: Config, lists: Mapping[str, KeyLists], nursery: trio.Nursery) -> None:
        """Have these services and no others. Raises BindError, and then nothing has changed."""
        wanted = {table.name: self._made(table, lists[table.name]) for table in config.service}
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
            if former.table.name not in wanted:
                self._log.info("service removed", service=former.table.name)
        for each in wanted.values():
            self._use_lists(each)
            nursery.start_soon(self._watch, each)
        for each in changed:
            self._log_listening(each)

    def _made(self, table: ServiceConfig, lists: KeyLists) -> RunningService:
        """A service of this table. One that runs stays, for its sessions."""
        settings, clients = self._settings(table, lists), lists.clients.list
        if (before := self._running.get(table.name)) is not None:
            service, observer = before.service, before.observer
        else:
            observer = ServiceObserver(table.name, self._metrics, self._observers_log)
            service = self._server.new_service(settings, clients, observer)
        return RunningService(table, lists, service, observer, settings, clients)

    def _settings(self, table: ServiceConfig, lists: KeyLists) -> ServiceSettings:
        """The settings of a service by its table, and by its key files as they are now."""
        return ServiceSettings(
            name=table.name,
            listen=table.listen,
            backend=table.backend,
            server_keys=tuple(lists.keys.names),
            refusal=table.clients.refusal,
            forward_identity=table.forward_identity,
            allow_remote_backend=table.allow_remote_backend,
            backend_socket_type=table.backend_socket_type,
            zmtp1_identities=table.zmtp1_identities,
            xpub_messages=table.xpub_messages,
            proxy_protocol_from=tuple(table.proxy_protocol_from) if table.proxy_protocol else (),
            admission=table.admission.divided(self._share),
            messages=table.messages,
            client_limits=table.clients.limits,
            share=self._share,
            idle_seconds=table.clients.idle_seconds,
            heartbeat_seconds=table.clients.heartbeat_seconds,
        )

    # --- key files

    async def _watch(self, each: RunningService) -> None:
        """Keep one service's key files up to date, until another configuration is applied."""
        with each.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(each.observer.summarise)
                nursery.start_soon(each.observer.history.keep, partial(self._server.figures_of, each.service))
                nursery.start_soon(each.lists.clients.watch, lambda: self._guarded(each, self._apply_clients))
                nursery.start_soon(each.lists.keys.watch, lambda: self._guarded(each, self._apply_keys))

    @staticmethod
    def _guarded(each: RunningService, apply: Callable[[RunningService], None]) -> None:
        try:
            apply(each)
        except Exception as error:  # the boundary: the next change of the files is applied again
            each.observer.unexpected(error)

    def _apply_clients(self, each: RunningService) -> None:
        clients, log = each.lists.clients, self._log.bind(service=each.table.name)
        if clients.list != each.clients:
            before, now = _names(each.clients), _names(clients.list)
            moved = {"came": _some(now - before), "went": _some(before - now)}
            facts = {fact: names for fact, names in moved.items() if names}
            log.info("client list changed", clients=len(clients.list.names), **facts)
            clients.warn_if_empty()
            self._use_lists(each)
        self._metrics.reload(success=not clients.files.failed)

    def _apply_keys(self, each: RunningService) -> None:
        keys, log = each.lists.keys, self._log.bind(service=each.table.name)
        settings = self._settings(each.table, each.lists)
        if settings != each.settings:
            log.info("server keys changed", server_keys=_texts(each))
            self._use_lists(each)
            each.use_settings(settings)
            self._server.open({other.service: other.settings for other in self._running.values()})
        self._metrics.reload(success=not keys.files.failed)

    def _use_lists(self, each: RunningService) -> None:
        keys = {pair.public: name for pair, name in each.lists.keys.names.items()}
        each.observer.configure(keys, allow_any=each.table.clients.allow == AllowMode.ANY)
        each.use_clients(each.lists.clients.list)

    def _log_listening(self, each: RunningService) -> None:
        figures, log = self._server.figures_of(each.service), self._log.bind(service=each.table.name)
        log.info(
            "listening",
            endpoint=figures.endpoint,
            **({"addresses": figures.addresses} if len(figures.addresses) > 1 else {}),
            backend=figures.backend,
            server_keys=_texts(each),
            clients="any" if figures.client_keys is None else figures.client_keys,
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


def _texts(each: RunningService) -> list[str]:
    """The public halves of the server's keys."""
    return [z85.encode(pair.public) for pair in each.lists.keys.names]
