"""What has happened to one service: how often each event and reason, and its figures over the last two minutes.

It is bounded: the reasons are closed lists, and a small sample is taken each second.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple, TypeVar

import trio
from attrs import define, field, frozen

from curveproxy.proxy.observer import ServiceFigures
from curveproxy.reasons import Outcome, Reasoned

SAMPLE_SECONDS = 1.0
SAMPLES = 120

# How many unknown keys a service remembers: a client may make as many keys as it likes.
UNKNOWN_MAX = 10

# Two hosts with one key and identity.
RIVALS = "clients replace each other"
# What is nobody's failure: a health check, and an egress that asks who the server is.
NO_FAILURE = (Outcome.PROBE, Outcome.CERTIFICATE_ASKED)
# Of the wall clock.
JUMPED = "the clock was set"

# An event of the log with its outcome or reason. A time-out is a reason both of a client and of a backend.
EventKey = tuple[str, Reasoned]


def is_refusal(key: EventKey) -> bool:
    """Whether a client was refused. Who checks the port, or asks for certificates, is no client yet."""
    return key[0] == "client refused" and key[1] not in NO_FAILURE


class Last(NamedTuple):
    """An event when it happened last. peer: an address; detail: our own text; at: trio's clock."""

    peer: str
    detail: str
    at: float


@define
class Unknown:
    """A key that is not on the list. total: how often it was proved; peer, at: of the last time, by trio's clock."""

    total: int
    peer: str
    at: float


@frozen
class Sample:
    """The figures of one moment. counts: as ``EventHistory.counts`` was then."""

    at: float
    half_open: int
    sessions: int
    messages: int
    refusals: int
    counts: dict[EventKey, int]


@frozen
class Series:
    """The figures of the last two minutes, the oldest first. messages, refusals: per second."""

    half_open: list[int]
    sessions: list[int]
    messages: list[float]
    refusals: list[float]


def joined(parts: Sequence[Series]) -> Series:
    """The sums of several processes. A younger process has fewer samples: the newest are added to the newest."""

    return Series(
        _added([part.half_open for part in parts]),
        _added([part.sessions for part in parts]),
        _added([part.messages for part in parts]),
        _added([part.refusals for part in parts]),
    )


Number = TypeVar("Number", int, float)


def _added(lines: Sequence[list[Number]]) -> list[Number]:
    newest_first = (line[::-1] for line in lines)
    return [sum(values) for values in zip_longest(*newest_first, fillvalue=0)][::-1]


@define
class EventHistory:
    """counts: how often each event happened since the start; last: when it did last, and to whom.

    unknown: the last keys (Z85) that were not on the list, the newest at the end.
    """

    counts: Counter[EventKey] = field(factory=Counter)
    last: dict[EventKey, Last] = field(factory=dict)
    unknown: dict[str, Unknown] = field(factory=dict)
    _samples: deque[Sample] = field(factory=lambda: deque(maxlen=SAMPLES + 1))

    def add(self, event: str, reason: Reasoned, peer: str = "", detail: str = "") -> None:
        """Count an event."""
        self.counts[event, reason] += 1
        self.last[event, reason] = Last(peer, detail, trio.current_time())

    def add_unknown(self, key: str, peer: str) -> None:
        """Remember a key that a client has proved and that is not on the list."""
        before = self.unknown.pop(key, None)
        self.unknown[key] = Unknown(before.total + 1 if before else 1, peer, trio.current_time())
        if len(self.unknown) > UNKNOWN_MAX:
            del self.unknown[next(iter(self.unknown))]

    def recent(self, key: EventKey) -> int:
        """How often it happened within the last two minutes."""
        before = self._samples[0].counts.get(key, 0) if len(self._samples) > SAMPLES else 0
        return self.counts[key] - before

    @property
    def series(self) -> Series:
        pairs = list(pairwise(self._samples))
        return Series(
            [sample.half_open for sample in self._samples],
            [sample.sessions for sample in self._samples],
            [(later.messages - earlier.messages) / (later.at - earlier.at) for earlier, later in pairs],
            [(later.refusals - earlier.refusals) / (later.at - earlier.at) for earlier, later in pairs],
        )

    def sample(self, figures: ServiceFigures) -> None:
        """Keep the figures of this moment."""
        self._samples.append(
            Sample(
                trio.current_time(),
                figures.half_open,
                figures.sessions,
                figures.messages_in + figures.messages_out,
                sum(count for key, count in self.counts.items() if is_refusal(key)),
                dict(self.counts),
            )
        )

    async def keep(self, figures: Callable[[], ServiceFigures]) -> None:
        """Take a sample every second."""
        while True:
            await trio.sleep(SAMPLE_SECONDS)  # first, for every reload starts this again
            self.sample(figures())
