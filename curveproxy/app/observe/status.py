"""What is shown of a running proxy, as plain data: one model for the page, its JSON and ``top``.

Names are the operator's, or keys. A peer chooses nothing of it but its address and one of the known socket types.
"""

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import cattrs
from attrs import Factory, field, fields, frozen

from curveproxy.app.observe.history import Series
from curveproxy.wire.codec.suites import MESSAGE
from curveproxy.wire.timestamp import write_time

# How many sessions a query may ask for, and how it writes that.
MOST_SESSIONS, SESSIONS = 1000, re.compile(r"[0-9]{1,18}")
# The share of a limit from which on a figure is near it.
NEAR = 0.8
INGRESS = "ingress"
_CONVERTER = cattrs.Converter()


class Sortable(Protocol):
    """What a ``SessionView`` and a ``SessionStatus`` have in common."""

    @property
    def client(self) -> str: ...
    @property
    def peer(self) -> str: ...
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
    """Which sessions to show. sessions: at most how many; service: whose, empty for all; sort: one of ``SORTS``.

    filter: a part of the client's name or of its address.
    """

    sessions: int = 100
    service: str = ""
    sort: str = "age"
    filter: str = ""

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> "Query":
        """Read the parameters of a URL. Raises ValueError with a sentence."""
        given: dict[str, Any] = {each.name: parameters[each.name] for each in fields(cls) if each.name in parameters}
        if "sessions" in given:
            if not SESSIONS.fullmatch(given["sessions"]) or int(given["sessions"]) > MOST_SESSIONS:
                raise ValueError(f"sessions is a whole number from 0 to {MOST_SESSIONS}")
            given["sessions"] = int(given["sessions"])
        if given.get("sort", "age") not in SORTS:
            raise ValueError(f"sort is one of {', '.join(SORTS)}")
        return cls(**given)

    def matches(self, session: Sortable) -> bool:
        return not self.filter or self.filter.lower() in f"{session.client} {session.peer}".lower()


@frozen
class Count:
    """How often an event happened. event, word, hint: as in the log, the word being its outcome or reason.

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

    word: an outcome, a reason, or what it is about.
    is_bad: it is shown in red; is_down: clients are refused because of it now.
    """

    service: str
    is_bad: bool
    what: str
    word: str
    hint: str
    is_down: bool = Factory(lambda self: self.is_bad, takes_self=True)

    @property
    def label(self) -> str:
        """The word, with the meaning of red, which not everybody sees."""
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
    """A key, in Z85, that is not on the list but was proved. total: how often; peer, ago: of the last time."""

    key: str
    total: int
    peer: str
    ago: float


@frozen
class ServiceStatus:
    """One service. backend_up: how the last dial ended; None before the first. client_keys: None where any key will do.

    direction: ``ingress`` or ``egress``; of an egress, backend and server_keys are its remotes and their keys.
    admitted, refused: in the last two minutes; unknown_keys: the last that were refused, the newest first.
    certificate_sessions: those by a certificate, for each authority that is listed; revocations: lines in force.
    own_certificates: until when, in Unix seconds, all keys of a kind have one: ``server``, or ``client`` of remotes.
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
    history: Series
    unknown_keys: list[UnknownKey] = field(factory=list)
    direction: str = INGRESS
    certificate_sessions: dict[str, int] = field(factory=dict)
    revocations: int = 0
    own_certificates: dict[str, float] = field(factory=dict)

    @property
    def is_egress(self) -> bool:
        return self.direction != INGRESS


@frozen
class SessionStatus:
    """One session. client: the operator's name, else the key in Z85, the user or the address of an egress's client.

    seconds: its age; zmtp: the version that its plain side speaks.
    form: how its messages are sealed: ``message``, or the suite of records, as ``aegis-256``.
    certificate, authority, until: the serial of what the client has come in by, the file of who signed it, and its end
        in Unix seconds; empty and None without.
    """

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
    form: str = MESSAGE
    certificate: str = ""
    authority: str = ""
    until: int | None = None

    @property
    def end(self) -> str:
        """Until when its client's certificate is valid; empty without."""
        return "" if self.until is None else write_time(self.until)

    @property
    def short_form(self) -> str:
        """The same, for a column."""
        return self.form.partition("-")[0]


@frozen
class Status:
    """The whole. state: ready, or why not; matching: how many sessions fit the query, of which ``sessions`` are some.

    log_lines_lost: since the start; host: the name of the machine or container.
    descriptors: of the connections of all services, and the limit of the process.
    held_back: the part of the last half minute in which clients that come in waited for sessions; of several processes
        that of the worst.
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
    held_back: float = 0.0


def status_of(tree: dict[str, Any]) -> Status:
    """The status that ``attrs.asdict`` and JSON have made a tree of."""
    return _CONVERTER.structure(tree, Status)
