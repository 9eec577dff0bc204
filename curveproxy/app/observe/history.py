"""What one service has gone through: how often each word was told, and how its figures moved in the last two minutes.

It is bounded: closed lists of words, and one small sample a second.
"""

from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import Any

import trio
from attrs import define, field, frozen

from curveproxy.proxy.service import Service
from curveproxy.reasons import Outcome, Reasoned

SAMPLE_SECONDS = 1.0
SAMPLES = 120
RECENT_SECONDS = SAMPLE_SECONDS * SAMPLES

# So many unknown keys are remembered of a service: whoever makes keys at will takes no more than these places.
UNKNOWN_MAX = 10

# Two hosts with one key and identity.
RIVALS = "clients replace each other"

# An event of the log with its outcome or reason: a word alone may be a client's or a backend's.
EventKey = tuple[str, Reasoned]


def is_refusal(told: EventKey) -> bool:
    """Whether a client was turned away: a load balancer that looks at the port is none."""
    return told[0] == "client refused" and told[1] != Outcome.PROBE


@frozen
class Last:
    """The last time that something was told. peer: whose it was; detail: our own words; at: trio's clock."""

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
class History:
    """The figures of the last two minutes, oldest first; messages and refusals are so many a second."""

    half_open: list[int]
    sessions: list[int]
    messages: list[float]
    refusals: list[float]


def joined(histories: Sequence[History]) -> History:
    """Those of several processes as one. A younger one has no figures of what was before it."""

    def added(lines: Sequence[list[float]]) -> list[Any]:
        reversed_lines = (line[::-1] for line in lines)
        return [sum(values) for values in zip_longest(*reversed_lines, fillvalue=0)][::-1]

    return History(
        added([history.half_open for history in histories]),  # type: ignore[misc]  # invariant, and read only
        added([history.sessions for history in histories]),  # type: ignore[misc]
        added([history.messages for history in histories]),
        added([history.refusals for history in histories]),
    )


@define
class EventHistory:
    """counts: how often each was told since the start; last: when it was told last, and of whom.

    unknown: the last keys (Z85) that were not on the list, the newest at the end.
    """

    counts: Counter[EventKey] = field(factory=Counter)
    last: dict[EventKey, Last] = field(factory=dict)
    unknown: dict[str, Unknown] = field(factory=dict)
    _samples: deque[Sample] = field(factory=lambda: deque(maxlen=SAMPLES + 1))

    def add(self, event: str, word: Reasoned, peer: str = "", detail: str = "") -> None:
        """Something was told."""
        self.counts[event, word] += 1
        self.last[event, word] = Last(peer, detail, trio.current_time())

    def add_unknown(self, key: str, peer: str) -> None:
        """A client has proved a key that is not on the list."""
        before = self.unknown.pop(key, None)
        self.unknown[key] = Unknown(before.total + 1 if before else 1, peer, trio.current_time())
        if len(self.unknown) > UNKNOWN_MAX:
            del self.unknown[next(iter(self.unknown))]

    def recent(self, told: EventKey) -> int:
        """How often it was told within the last two minutes."""
        before = self._samples[0].counts.get(told, 0) if len(self._samples) > SAMPLES else 0
        return self.counts[told] - before

    @property
    def history(self) -> History:
        pairs = list(pairwise(self._samples))
        return History(
            [sample.half_open for sample in self._samples],
            [sample.sessions for sample in self._samples],
            [(later.messages - earlier.messages) / (later.at - earlier.at) for earlier, later in pairs],
            [(later.refusals - earlier.refusals) / (later.at - earlier.at) for earlier, later in pairs],
        )

    def sample(self, service: Service) -> None:
        """Look at the figures as they are now."""
        traffic = service.traffic
        self._samples.append(
            Sample(
                trio.current_time(),
                service.half_open,
                len(service.sessions),
                traffic.messages_in + traffic.messages_out,
                sum(count for told, count in self.counts.items() if is_refusal(told)),
                dict(self.counts),
            )
        )

    async def keep(self, service: Service) -> None:
        """Look every second."""
        while True:
            await trio.sleep(SAMPLE_SECONDS)  # first: a reload begins here again
            self.sample(service)
