"""What is to be seen of a running proxy, as plain data: one model for the page, for its JSON and for ``top``.

Names are the operator's, or keys; what a peer can choose is its address, and which of the known socket types it has.
"""

import heapq
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import cattrs
import trio
from attrs import Factory, define, evolve, field, fields, frozen

from curveproxy import __version__
from curveproxy.app.observe import log as logs
from curveproxy.app.observe.history import RIVALS, UNKNOWN_MAX, EventHistory, EventKey, History, is_refusal, joined
from curveproxy.app.observe.text import duration
from curveproxy.app.watch.clients import NOBODY, NOBODY_HINT
from curveproxy.app.watch.server_keys import NO_KEY, NO_KEY_HINT
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.service import Service
from curveproxy.reasons import Closed, Outcome, Reasoned
from curveproxy.wire.codec.select import CODEC

# How many sessions can be asked for, and how that is written.
MOST_SESSIONS, SESSIONS = 1000, re.compile(r"[0-9]{1,18}")
# The share of a limit from which on it is worth a word.
NEAR = 0.8
DESCRIPTORS_HINT = (
    "all services share them: raise the hard limit (LimitNOFILE, ulimit -n), or find out who holds so many connections"
)
# The events of which some in the last two minutes are worth a word.
WORTH_A_WORD = {"client refused", "invalid message", "unexpected error", RIVALS}
# A load balancer, and what an operator does.
EXPECTED: set[Reasoned] = {Outcome.PROBE, Outcome.SHUTDOWN}
# Of a service, the figures of which several processes have a part each.
ADDED = ("messages_in", "messages_out", "octets_in", "octets_out", "admitted", "refused")
CONVERTER = cattrs.Converter()


class Sortable(Protocol):
    """What a session and its status have in common."""

    @property
    def client(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def messages_in(self) -> int: ...
    @property
    def messages_out(self) -> int: ...
    @property
    def octets_in(self) -> int: ...
    @property
    def octets_out(self) -> int: ...


SORTS: dict[str, Callable[[Sortable], Any]] = {
    "age": lambda session: -session.seconds,
    "newest": lambda session: session.seconds,
    "client": lambda session: session.client,
    "messages": lambda session: -(session.messages_in + session.messages_out),
    "bytes": lambda session: -(session.octets_in + session.octets_out),
}


@frozen
class Query:
    """Which sessions are wanted: so many at most, of one service or of all, in which order.

    filter: a part of the client's name or of its address.
    """

    sessions: int = 100
    service: str = ""
    sort: str = "age"
    filter: str = ""

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> "Query":
        """Of what stands behind the question mark. Raises ValueError with a sentence."""
        told: dict[str, Any] = {each.name: parameters[each.name] for each in fields(cls) if each.name in parameters}
        if "sessions" in told:
            if not SESSIONS.fullmatch(told["sessions"]) or int(told["sessions"]) > MOST_SESSIONS:
                raise ValueError(f"sessions is a whole number from 0 to {MOST_SESSIONS}")
            told["sessions"] = int(told["sessions"])
        if told.get("sort", "age") not in SORTS:
            raise ValueError(f"sort is one of {', '.join(SORTS)}")
        return cls(**told)

    def matches(self, session: Session) -> bool:
        return self.filter.lower() in f"{session.client} {session.peer}".lower()


@frozen
class Count:
    """How often something was told: event and word as in the log, with the hint. Empty words are not known.

    total, recent: since the start, and in the last two minutes; peer, detail, ago: of the last time.
    """

    event: str
    word: str
    hint: str
    total: int
    recent: int
    peer: str
    detail: str
    ago: float


@frozen
class Trouble:
    """Something that an operator should look at. what: the sentence.

    is_bad: it is shown in red; is_down: clients are turned away by it now.
    """

    service: str
    is_bad: bool
    what: str
    word: str
    hint: str
    is_down: bool = Factory(lambda self: self.is_bad, takes_self=True)

    @property
    def label(self) -> str:
        """The word, with what red stands for: not everybody sees it."""
        return f"down: {self.word}" if self.is_down else self.word


@frozen
class Level:
    """A figure and its limit."""

    value: int
    limit: int

    @property
    def is_near(self) -> bool:
        return self.value >= NEAR * self.limit


@frozen
class UnknownKey:
    """A key, in Z85, that was proved and is not on the list.

    total: how often; peer, ago: of the last time.
    """

    key: str
    total: int
    peer: str
    ago: float


@frozen
class ServiceStatus:
    """One service. backend_up: how the last dial ended; None before the first. client_keys: None where any will do.

    unknown_keys: the last ones that were refused, the newest first.
    """

    name: str
    endpoint: str
    backend: str
    backend_up: bool | None
    half_open: Level
    sessions: Level
    client_keys: int | None
    server_keys: int
    messages_in: int
    messages_out: int
    octets_in: int
    octets_out: int
    admitted: int
    refused: int
    counts: list[Count]
    history: History
    unknown_keys: list[UnknownKey] = field(factory=list)


@frozen
class SessionStatus:
    """One session. client: the operator's name, else the key in Z85; seconds: its age; zmtp: the service's version."""

    id: int
    service: str
    client: str
    peer: str
    seconds: float
    socket_type: str
    zmtp: str
    messages_in: int
    messages_out: int
    octets_in: int
    octets_out: int


@frozen
class Status:
    """The whole. state: ready, or why not; matching: how many sessions there are of which ``sessions`` shows some.

    log_lines_lost: since the start; host: the name of the machine, or of the container, that it runs on.
    descriptors: of connections, all services together; the limit is the process's.
    """

    version: str
    codec: str
    seconds: float
    troubles: list[Trouble]
    services: list[ServiceStatus]
    matching: int
    sessions: list[SessionStatus]
    state: str = "ready"
    log_lines_lost: int = 0
    host: str = field(factory=socket.gethostname)
    descriptors: Level = Level(0, 0)


@define
class Overview:
    """Looks at the services. services: each with what it has gone through; descriptors: what they share."""

    _services: Callable[[], Iterable[tuple[Service, EventHistory]]]
    _descriptors: Capacity
    _began: float = field(factory=time.monotonic)

    def look(self, query: Query) -> Status:
        """As it is now."""
        found = list(self._services())
        wanted = [
            session
            for service, _ in found
            if query.service in ("", service.settings.name)
            for session in service.sessions
            if query.matches(session)
        ]
        shown = heapq.nsmallest(query.sessions, wanted, key=SORTS[query.sort])
        services = [_service(service, seen) for service, seen in found]
        descriptors = Level(self._descriptors.in_use, self._descriptors.limit)
        return Status(
            version=__version__,
            codec=CODEC,
            seconds=time.monotonic() - self._began,
            troubles=_all_troubles(services, descriptors),
            services=services,
            matching=len(wanted),
            sessions=[_session(session) for session in shown],
            log_lines_lost=logs.lost(),
            descriptors=descriptors,
        )

    def find(self, number: int) -> Session | None:
        """The session of that number, while it is there."""
        inside = (session for service, _ in self._services() for session in service.sessions)
        return next((session for session in inside if session.number == number), None)


def status_of(tree: dict[str, Any]) -> Status:
    """The status of which JSON has made a tree."""
    return CONVERTER.structure(tree, Status)


def merged(found: Sequence[Status], query: Query) -> Status:
    """The status of several processes as that of one. It is as old as the oldest."""
    by_name: dict[str, list[ServiceStatus]] = {}
    for service in (service for status in found for service in status.services):
        by_name.setdefault(service.name, []).append(service)
    services = [_merged_service(parts) for parts in by_name.values()]
    sessions = [session for status in found for session in status.sessions]
    descriptors = _merged_level([status.descriptors for status in found])
    return Status(
        version=__version__,
        codec=CODEC,
        seconds=max((status.seconds for status in found), default=0.0),
        troubles=_all_troubles(services, descriptors),
        services=services,
        matching=sum(status.matching for status in found),
        sessions=heapq.nsmallest(query.sessions, sessions, key=SORTS[query.sort]),
        log_lines_lost=logs.lost() + sum(status.log_lines_lost for status in found),
        descriptors=descriptors,
    )


def _merged_service(parts: Sequence[ServiceStatus]) -> ServiceStatus:
    def total(name: str) -> Any:
        return sum(getattr(part, name) for part in parts)

    ups = [part.backend_up for part in parts if part.backend_up is not None]
    counts: dict[tuple[str, str], list[Count]] = {}
    for count in (count for part in parts for count in part.counts):
        counts.setdefault((count.event, count.word), []).append(count)
    return evolve(
        parts[0],
        backend_up=all(ups) if ups else None,
        half_open=_merged_level([part.half_open for part in parts]),
        sessions=_merged_level([part.sessions for part in parts]),
        **{name: total(name) for name in ADDED},
        counts=_by_importance([_merged_count(alike) for alike in counts.values()]),
        history=joined([part.history for part in parts]),
        unknown_keys=_merged_keys([key for part in parts for key in part.unknown_keys]),
    )


def _merged_level(levels: Sequence[Level]) -> Level:
    return Level(sum(level.value for level in levels), sum(level.limit for level in levels))


def _merged_count(counts: Sequence[Count]) -> Count:
    last = min(counts, key=lambda count: count.ago)
    return evolve(last, total=sum(count.total for count in counts), recent=sum(count.recent for count in counts))


def _merged_keys(found: Sequence[UnknownKey]) -> list[UnknownKey]:
    alike: dict[str, UnknownKey] = {}
    for each in sorted(found, key=lambda each: each.ago):
        first = alike.get(each.key)
        alike[each.key] = evolve(first, total=first.total + each.total) if first else each
    return list(alike.values())[:UNKNOWN_MAX]


def _by_importance(counts: list[Count]) -> list[Count]:
    return sorted(counts, key=lambda count: (-count.recent, -count.total))


def _all_troubles(services: Sequence[ServiceStatus], descriptors: Level) -> list[Trouble]:
    troubles = [trouble for service in services for trouble in _troubles(service)]
    if descriptors.limit and descriptors.is_near:
        what = f"{descriptors.value:,} of {descriptors.limit:,} descriptors are in use, of all services together"
        troubles.append(Trouble("curveproxy", False, what, "descriptors", DESCRIPTORS_HINT))
    return sorted(troubles, key=lambda trouble: not trouble.is_bad)


def _service(service: Service, seen: EventHistory) -> ServiceStatus:
    traffic, clients = service.traffic, service.clients
    counts = [_count(told, seen) for told in seen.counts]
    return ServiceStatus(
        name=service.settings.name,
        endpoint=str(service.bound),
        backend=str(service.settings.backend),
        backend_up=service.backend_up,
        half_open=Level(service.half_open, service.half_open_limit),
        sessions=Level(len(service.sessions), service.sessions_limit),
        client_keys=None if clients.allow_any else len(clients.names),
        server_keys=len(service.settings.server_keys),
        messages_in=traffic.messages_in,
        messages_out=traffic.messages_out,
        octets_in=traffic.octets_in,
        octets_out=traffic.octets_out,
        admitted=sum(count.recent for count in counts if count.word == Outcome.ADMITTED),
        refused=sum(seen.recent(told) for told in seen.counts if is_refusal(told)),
        counts=_by_importance(counts),
        history=seen.history,
        unknown_keys=[
            UnknownKey(key, each.total, each.peer, trio.current_time() - each.at)
            for key, each in reversed(seen.unknown.items())
        ],
    )


def _count(told: EventKey, seen: EventHistory) -> Count:
    (event, word), last = told, seen.last[told]
    ago = trio.current_time() - last.at
    return Count(event, word, word.hint, seen.counts[told], seen.recent(told), last.peer, last.detail, ago)


def _session(session: Session) -> SessionStatus:
    return SessionStatus(
        id=session.number,
        service=session.service,
        client=session.client,
        peer=session.peer,
        seconds=session.seconds,
        socket_type=session.socket_type,
        zmtp=session.dialect,
        messages_in=session.messages_in,
        messages_out=session.messages_out,
        octets_in=session.octets_in,
        octets_out=session.octets_out,
    )


def _troubles(service: ServiceStatus) -> Iterator[Trouble]:
    """What is wrong with a service, and why, in the words of the log."""

    def trouble(what: str, word: str, hint: str, *, bad: bool = False) -> Trouble:
        return Trouble(service.name, bad, what, word, hint)

    if service.backend_up is False:
        failures = (count for count in service.counts if count.event == "backend failed")
        last = min(failures, key=lambda count: count.ago)
        yield trouble(f"{service.backend} is down: {_told(last)}", last.word, last.hint, bad=True)
    if not service.server_keys:
        yield trouble(NO_KEY, Outcome.HELLO_BOX, NO_KEY_HINT, bad=True)
    if service.client_keys == 0:
        yield trouble(NOBODY, Outcome.CLIENT_UNKNOWN, NOBODY_HINT, bad=True)
    for level, of, word in (
        (service.sessions, "sessions", Outcome.SESSIONS_LIMIT),
        (service.half_open, "half-open connections", Outcome.EVICTED),
    ):
        if level.is_near:
            full = level.value >= level.limit
            what = f"{level.value:,} of {level.limit:,} {of}: {'full' if full else 'nearly full'}"
            yield trouble(what, word, word.hint, bad=full)
    for count in service.counts:
        worth_a_word = count.event in WORTH_A_WORD or count.word == Closed.MEMORY
        if count.recent and worth_a_word and count.word not in EXPECTED:
            is_bad = count.word == Outcome.INTERNAL
            yield Trouble(service.name, is_bad, _told(count), count.word, count.hint, is_down=False)


def _told(count: Count) -> str:
    """``client refused, 14 in two minutes, the last 3 s ago, 192.0.2.1:4242``."""
    facts = [count.event, f"{count.recent:,} in two minutes", f"the last {duration(count.ago)} ago"]
    return ", ".join([*facts, *filter(None, [count.peer, count.detail])])
