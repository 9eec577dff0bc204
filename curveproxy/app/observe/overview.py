"""The status of a running server, and the statuses of several processes as one."""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add
from typing import Any, Protocol, TypeVar

import trio
from attrs import define, evolve, field

from curveproxy import __version__
from curveproxy.app.observe.hints import hint_of
from curveproxy.app.observe.history import UNKNOWN_MAX, EventHistory, EventKey, is_refusal, joined
from curveproxy.app.observe.log import lost_lines
from curveproxy.app.observe.status import (
    SORTS,
    Count,
    Level,
    Query,
    ServiceStatus,
    SessionStatus,
    Status,
    UnknownKey,
)
from curveproxy.app.observe.troubles import all_troubles
from curveproxy.proxy.observer import ServerFigures, ServiceFigures, SessionView
from curveproxy.reasons import Outcome
from curveproxy.wire.codec.select import CODEC

Number = TypeVar("Number", int, float)
# Figures of a service that are added up over several processes.
ADDED = ("messages_in", "messages_out", "octets_in", "octets_out", "admitted", "refused")


class Observable(Protocol):
    """A server, to whoever looks at it."""

    def figures(self) -> ServerFigures: ...
    def session_views(self, service: str = "") -> Iterable[SessionView]: ...


@define
class Overview:
    """Makes the status of a server. histories: of its services, by their names."""

    _server: Observable
    _histories: Callable[[], Mapping[str, EventHistory]]
    _began: float = field(factory=time.monotonic)

    def look(self, query: Query) -> Status:
        """The status as it is now."""
        figures, histories = self._server.figures(), self._histories()
        matching = [session for session in self._server.session_views(query.service) if query.matches(session)]
        shown = heapq.nsmallest(query.sessions, matching, key=SORTS[query.sort])
        services = [_service(service, histories[service.name]) for service in figures.services]
        descriptors = Level(figures.descriptors, figures.descriptors_limit)
        return Status(
            version=__version__,
            codec=CODEC,
            seconds=time.monotonic() - self._began,
            troubles=all_troubles(services, descriptors, time.time(), figures.part_held_back),
            services=services,
            matching=len(matching),
            sessions=[_session(session) for session in shown],
            log_lines_lost=lost_lines(),
            descriptors=descriptors,
            held_back=figures.part_held_back,
        )


def _service(figures: ServiceFigures, history: EventHistory) -> ServiceStatus:
    counts = [_count(key, history) for key in history.counts]
    return ServiceStatus(
        name=figures.name,
        endpoint=figures.endpoint,
        backend=figures.backend,
        backend_up=figures.backend_up,
        half_open=Level(figures.half_open, figures.half_open_limit),
        sessions=Level(figures.sessions, figures.sessions_limit),
        client_keys=figures.client_keys,
        server_keys=figures.server_keys,
        messages_in=figures.messages_in,
        messages_out=figures.messages_out,
        octets_in=figures.octets_in,
        octets_out=figures.octets_out,
        admitted=sum(count.recent for count in counts if count.word == Outcome.ADMITTED),
        refused=sum(history.recent(key) for key in history.counts if is_refusal(key)),
        counts=_by_importance(counts),
        history=history.series,
        unknown_keys=[
            UnknownKey(key, each.total, each.peer, trio.current_time() - each.at)
            for key, each in reversed(history.unknown.items())
        ],
        direction=str(figures.direction),
        certificate_sessions=dict(figures.certificate_sessions),
        revocations=figures.revocations,
        own_certificates=dict(figures.own_certificates),
    )


def _count(key: EventKey, history: EventHistory) -> Count:
    (event, reason), last = key, history.last[key]
    ago = trio.current_time() - last.at
    hint = hint_of(reason, last.detail)
    return Count(event, reason, hint, history.counts[key], history.recent(key), last.peer, last.detail, ago)


def _session(session: SessionView) -> SessionStatus:
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
        form=session.form,
        certificate=session.serial,
        authority=session.authority,
        until=session.until,
    )


def _by_importance(counts: Iterable[Count]) -> list[Count]:
    return sorted(counts, key=lambda count: (-count.recent, -count.total))


# --- several processes


def merged(found: Sequence[Status], query: Query) -> Status:
    """The statuses of several processes as that of one, which is as old as the oldest."""
    by_name: dict[str, list[ServiceStatus]] = {}
    for service in (service for status in found for service in status.services):
        by_name.setdefault(service.name, []).append(service)
    services = [_merged_service(parts) for parts in by_name.values()]
    sessions = [session for status in found for session in status.sessions]
    descriptors = _merged_level([status.descriptors for status in found])
    held_back = max((status.held_back for status in found), default=0.0)
    return Status(
        version=__version__,
        codec=CODEC,
        seconds=max((status.seconds for status in found), default=0.0),
        troubles=all_troubles(services, descriptors, time.time(), held_back),
        services=services,
        matching=sum(status.matching for status in found),
        sessions=heapq.nsmallest(query.sessions, sessions, key=SORTS[query.sort]),
        log_lines_lost=lost_lines() + sum(status.log_lines_lost for status in found),
        descriptors=descriptors,
        held_back=held_back,
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
        certificate_sessions=_joined([part.certificate_sessions for part in parts], add),
        revocations=min(part.revocations for part in parts),
        own_certificates=_joined([part.own_certificates for part in parts], min),
    )


def _joined(parts: Sequence[Mapping[str, Number]], join: Callable[[Number, Number], Number]) -> dict[str, Number]:
    """What several processes have under one name, as one figure."""
    found: dict[str, Number] = {}
    for name, value in (pair for part in parts for pair in part.items()):
        found[name] = join(found[name], value) if name in found else value
    return found


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
