"""What one client may take, all its sessions together: how many there are, messages and octets a second.

Octets are those that come, boxes and headers included, whatever is in them. Messages are counted as ``weight`` says.

Nothing that it sends is refused. What was read has been taken, also more than there was, as a large message is; who has
used up what it may have is not read again until there is some.

Where several processes relay, each knows how many sessions a client has in the others, not what those send: of a rate
each session has the same part.
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Generic, TypeVar

from curveproxy.policy.bucket import Bucket
from curveproxy.policy.limits import UNLIMITED, ClientLimits, WorkerShare

Session = TypeVar("Session")

# A message of more parts than this counts as several: no envelope has as many, and each part costs.
PARTS_MAX = 16


def weight(messages: int, frames: int) -> float:
    """What so many messages and commands count as, where so many frames came with them."""
    return max(messages, frames / PARTS_MAX)


class Quota(Generic[Session]):
    """One client's. limits: those in force; sessions: who shares it, in the order in which they came.

    elsewhere: how many more there are in other processes.
    """

    def __init__(self, limits: ClientLimits, elsewhere: int = 0) -> None:
        self.sessions: dict[Session, None] = {}
        self.elsewhere = elsewhere
        self.configure(limits)

    def configure(self, limits: ClientLimits) -> None:
        """These limits from now on, as if nothing had been taken."""
        self.limits = limits
        self._messages = Bucket(limits.messages_per_second or inf)
        self._octets = Bucket(limits.bytes_per_second or inf)
        self._messages_full_at = self._octets_full_at = -inf

    @property
    def _part(self) -> float:
        here = max(1, len(self.sessions))
        return here / (here + self.elsewhere)

    def available(self, now: float, smallest: int) -> float:
        """How many octets may be read now, where no message has fewer than ``smallest``; none at zero and below."""
        messages = self._messages.available(self._messages_full_at, now)
        return self._part * min(messages * smallest, self._octets.available(self._octets_full_at, now))

    def spend(self, messages: float, octets: int, now: float) -> None:
        """So much was read."""
        part = self._part
        self._messages_full_at = self._messages.spend(self._messages_full_at, now, messages / part)
        self._octets_full_at = self._octets.spend(self._octets_full_at, now, octets / part)

    def surplus(self, share: WorkerShare) -> list[Session]:
        """The newest sessions, where there are too many: those beyond this process's share of them."""
        here, most = len(self.sessions), self.limits.max_sessions
        over = min(here + self.elsewhere - most, here - share.part(most, least=0)) if most else 0
        return list(self.sessions)[-over:] if over > 0 else []

    @property
    def full_at(self) -> float:
        """When nothing has to be remembered any more."""
        return max(self._messages_full_at, self._octets_full_at)


class Quotas(Generic[Session]):
    """Those of one service. A client that leaves is remembered until it would have everything again."""

    def __init__(self) -> None:
        self._quotas: dict[bytes, Quota[Session]] = {}
        self._left: dict[bytes, Quota[Session]] = {}
        self._elsewhere: Mapping[bytes, int] = {}

    def is_full(self, key: bytes, limits: ClientLimits) -> bool:
        """Whether there is no place for another session of this client."""
        here = self._quotas[key].sessions if key in self._quotas else ()
        return 0 < limits.max_sessions <= len(here) + self._elsewhere.get(key, 0)

    @property
    def counts(self) -> dict[bytes, int]:
        """How many sessions each client with limits has."""
        return {key: len(quota.sessions) for key, quota in self._quotas.items() if quota.sessions}

    def set_elsewhere(self, elsewhere: Mapping[bytes, int]) -> None:
        """What is ``here`` in the other processes, added up."""
        self._elsewhere = elsewhere
        for key, quota in self._quotas.items():
            quota.elsewhere = elsewhere.get(key, 0)

    def surplus(self, share: WorkerShare) -> Iterator[Session]:
        """Sessions of clients that have more than they may, which should end."""
        for quota in list(self._quotas.values()):
            yield from quota.surplus(share)

    def attach(self, key: bytes, limits: ClientLimits, session: Session) -> Quota[Session] | None:
        """What this session of a client shares with its others from now on; None where it has no limit."""
        if limits == UNLIMITED:
            self._quotas.pop(key, None)
            return None
        quota = self._quotas.setdefault(key, Quota(limits, self._elsewhere.get(key, 0)))
        if quota.limits != limits:
            quota.configure(limits)
        quota.sessions[session] = None
        return quota

    def detach(self, key: bytes, session: Session) -> None:
        """A session has ended."""
        if (quota := self._quotas.get(key)) is not None:
            quota.sessions.pop(session, None)
            if not quota.sessions:
                self._left[key] = quota

    def expire(self, now: float) -> None:
        """Those who have left, and could do nothing now that a newcomer could not."""
        for key, quota in list(self._left.items()):
            if quota.sessions or quota.full_at <= now:
                del self._left[key]
                if not quota.sessions and self._quotas.get(key) is quota:
                    del self._quotas[key]

    def __len__(self) -> int:
        """How many clients something is remembered of."""
        return len(self._quotas)
