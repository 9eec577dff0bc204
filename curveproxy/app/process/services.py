"""The services of a configuration at work: made, changed and taken away, and their lists kept up to date."""

from collections.abc import Callable, Iterable, Mapping
from math import inf

import trio
from attrs import define, field, frozen

from curveproxy.app.config.load import Config
from curveproxy.app.config.load import Service as Table
from curveproxy.app.observe import log as logs
from curveproxy.app.observe.events import ServiceObserver
from curveproxy.app.observe.history import EventHistory
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.app.watch.clients import Clients
from curveproxy.app.watch.server_keys import ServerKeys
from curveproxy.policy.access import AccessList
from curveproxy.policy.limits import WorkerShare
from curveproxy.proxy.server import Server
from curveproxy.proxy.service import Service
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.wire import z85

SHORT, NOT_SHORT = "memory is short", "memory is no longer short"
SHORT_HINT = (
    "sessions wait for memory; those that hold much and move little will end (reason=memory): "
    "raise max_buffered_bytes, or find out whose clients or services hang"
)

# So many who came or went are named in one line.
NAMES_MAX = 20
FEWER_HINT = "descriptors allow no more, of all services together: raise the hard limit (LimitNOFILE, ulimit -n)"
# One part in so many of the configured sessions, or less, is a warning.
FEW_SHARE = 16

# Sessions, by the names of services and the keys of clients in hexadecimal digits.
Counts = Mapping[str, Mapping[str, int]]


@frozen
class KeyLists:
    """Of one service, what stands in files of its own."""

    clients: Clients
    keys: ServerKeys


def settings_of(table: Table, lists: KeyLists, share: WorkerShare) -> ServiceSettings:
    """What the proxy room must know of a service, as the configuration and the key files are now."""
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
        admission=table.admission.divided(share),
        messages=table.messages,
        client_limits=table.clients.limits,
        share=share,
        idle_seconds=table.clients.idle_seconds,
        heartbeat_seconds=table.clients.heartbeat_seconds,
    )


@define(eq=False)
class RunningService:
    """One service. scope: of what keeps its lists up to date."""

    table: Table
    lists: KeyLists
    share: WorkerShare
    service: Service
    observer: ServiceObserver
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    @property
    def settings(self) -> ServiceSettings:
        return settings_of(self.table, self.lists, self.share)


class ServiceManager:
    """All of them. ``read`` and ``apply`` a configuration, at the start and whenever it changes.

    share: of their limits. What all processes with a share know is told by the first alone.
    """

    def __init__(self, proxy: Server, metrics: Metrics, log: Log, share: WorkerShare) -> None:
        self._proxy, self._metrics, self._share = proxy, metrics, share
        self._observers_log, self._log = log, log if share.index == 0 else logs.SILENT
        self._at_work: dict[str, RunningService] = {}
        proxy.buffers.tell = self._tell_of_memory

    def _tell_of_memory(self, is_short: bool) -> None:
        """Sessions have to wait for memory, or need not any more."""
        buffers = self._proxy.buffers
        facts = {"held": buffers.held, "limit": buffers.limit, "sessions_ended": buffers.ended}
        if is_short:
            self._observers_log.warning(SHORT, **facts, waiting=buffers.waiting, hint=SHORT_HINT)
        else:
            self._observers_log.info(NOT_SHORT, **facts)

    def seen(self) -> Iterable[tuple[Service, EventHistory]]:
        """Each with what it has gone through, for the status page."""
        return [(each.service, each.observer.seen) for each in self._at_work.values()]

    def share_clients(self, elsewhere: Counts) -> Counts:
        """Know how many sessions clients with limits have in other processes. Returns how many they have here."""
        for name, each in self._at_work.items():
            each.service.share_clients({bytes.fromhex(key): count for key, count in elsewhere.get(name, {}).items()})
        return {
            name: {key.hex(): count for key, count in each.service.quotas.counts.items()}
            for name, each in self._at_work.items()
        }

    async def make_way(self, service: str, identity: bytes, number: int) -> None:
        """The client with that number, which has this identity, has come again in another process."""
        if (at_work := self._at_work.get(service)) is not None:
            await at_work.service.make_way(identity, number)

    def read(self, config: Config) -> dict[str, KeyLists]:
        """The lists of a configuration's services. May run in a thread.

        One that was there before is kept, for it knows more than its files may tell now.
        """
        found, names = {}, [table.name for table in config.service]
        for table in config.service:
            log, before = self._log.bind(service=table.name), self._at_work.get(table.name)
            if before is not None and before.table.clients.lists == table.clients.lists:
                clients = before.lists.clients
                clients.services = names
            else:
                clients = Clients.of(table, names, log)
                clients.load()
            keys = ServerKeys(table.secret_keys, log)
            keys.refresh()
            found[table.name] = KeyLists(clients, keys)
        return found

    def apply(self, config: Config, lists: Mapping[str, KeyLists], nursery: trio.Nursery) -> None:
        """These services and no others. Raises BindError, and then nothing has changed."""
        wanted = {table.name: self._made(table, lists[table.name]) for table in config.service}
        changed = [
            each
            for name, each in wanted.items()
            if name not in self._at_work or self._at_work[name].settings != each.settings
        ]
        self._proxy.open(
            {each.service: each.settings for each in wanted.values()}, reuse_port=config.process.reuse_port
        )
        ceiling = config.process.max_buffered_bytes
        self._proxy.buffers.bound(self._share.part(ceiling) if ceiling else inf)
        before, self._at_work = self._at_work, wanted
        for former in before.values():
            former.scope.cancel()
            if former.table.name not in wanted:
                self._metrics.forget(former.service)
                self._log.info("service removed", service=former.table.name)
        for name, each in wanted.items():
            if name not in before:
                self._metrics.watch(each.service)
            self._use_lists(each)
            nursery.start_soon(self._keep, each)
        for each in changed:
            self._announce(each)

    def _made(self, table: Table, lists: KeyLists) -> RunningService:
        """A service with these lists, and no other of that name."""
        if (before := self._at_work.get(table.name)) is not None:
            return RunningService(table, lists, self._share, before.service, before.observer)
        observer = ServiceObserver(table.name, self._metrics, self._observers_log)
        service = Service(self._proxy, settings_of(table, lists, self._share), lists.clients.list, observer)
        return RunningService(table, lists, self._share, service, observer)

    # --- lists

    async def _keep(self, each: RunningService) -> None:
        """Keep one service's lists up to date until there is another word on it."""
        with each.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(each.observer.summarise)
                nursery.start_soon(each.observer.seen.keep, each.service)
                nursery.start_soon(each.lists.clients.watch, lambda: self._take(each, self._clients_taken))
                nursery.start_soon(each.lists.keys.watch, lambda: self._take(each, self._keys_taken))

    @staticmethod
    def _take(each: RunningService, taken: Callable[[RunningService], None]) -> None:
        try:
            taken(each)
        except Exception as error:  # the boundary: the next change of the files is looked at again
            each.observer.unexpected(error)

    def _clients_taken(self, each: RunningService) -> None:
        clients, log = each.lists.clients, self._log.bind(service=each.table.name)
        if clients.list != each.service.clients:
            before, now = _names(each.service.clients), _names(clients.list)
            moved = {"came": _some(now - before), "went": _some(before - now)}
            facts = {word: names for word, names in moved.items() if names}
            log.info("client list changed", clients=len(clients.list.names), **facts)
            clients.warn_if_empty()
            self._use_lists(each)
        self._metrics.reload(success=not clients.files.failed)

    def _keys_taken(self, each: RunningService) -> None:
        keys, log = each.lists.keys, self._log.bind(service=each.table.name)
        if each.settings != each.service.settings:
            log.info("server keys changed", server_keys=_texts(each))
            self._use_lists(each)
            self._proxy.open({other.service: other.settings for other in self._at_work.values()})
        self._metrics.reload(success=not keys.files.failed)

    def _use_lists(self, each: RunningService) -> None:
        each.observer.allow_any = each.table.clients.allow == "any"
        each.observer.server_keys({pair.public: name for pair, name in each.lists.keys.names.items()})
        each.service.admit(each.lists.clients.list)

    def _announce(self, each: RunningService) -> None:
        service, log = each.service, self._log.bind(service=each.table.name)
        clients = service.clients
        log.info(
            "listening",
            endpoint=str(service.bound),
            **({"addresses": addresses} if len(addresses := service.door.addresses) > 1 else {}),
            backend=str(service.settings.backend),
            server_keys=_texts(each),
            clients="any" if clients.allow_any else len(clients.names),
        )
        if service.sessions_limit < (wanted := service.settings.admission.max_sessions):
            # So few that a service hardly works are an accident of how the process was started.
            tell = log.warning if FEW_SHARE * service.sessions_limit <= wanted else log.info
            tell(
                "fewer sessions than configured",
                sessions_limit=service.sessions_limit,
                max_sessions=wanted,
                hint=FEWER_HINT,
            )


def _names(clients: AccessList) -> set[str]:
    """The operator's names for the clients, and the keys of those that have none."""
    return {name or z85.encode(key) for key, name in clients.names.items()}


def _some(names: set[str]) -> list[str]:
    """So many of them as a line can hold."""
    told = sorted(names)
    return told[:NAMES_MAX] + [f"and {len(told) - NAMES_MAX} more"] * (len(told) > NAMES_MAX)


def _texts(each: RunningService) -> list[str]:
    """The public halves of the server's keys."""
    return [z85.encode(pair.public) for pair in each.lists.keys.names]
