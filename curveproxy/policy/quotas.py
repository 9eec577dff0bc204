"""The limits of one client, all its sessions together: how many there are, messages and octets a second.

Octets are counted as received, with boxes and headers. Messages are counted as ``weight`` says.

Nothing that a client sends is refused. Whatever was read is spent, even more than was available, as a large message is;
a client whose quota is used up is not read again until some is available.

Where several processes relay, each knows how many sessions a client has in the others, but not what those send: each
session has the same part of a rate.
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Generic, TypeVar

from curveproxy.policy.bucket import Bucket
from curveproxy.policy.limits import UNLIMITED, ClientLimits, WorkerShare

Session = TypeVar("Session")

# A message of more parts than this counts as several: no envelope has as many, and each part costs time.
PARTS_MAX = 16


def weight(messages: int, frames: int) -> float:
    """As how many messages to count so many messages and commands, which came in so many frames."""
    return max(messages, frames / PARTS_MAX)


class Quota(Generic[Session]):
    """One client's. limits: those in force; sessions: those that share it, the oldest first.

    elsewhere: how many more sessions there are in other processes.
    """

    def __init__(self, limits: ClientLimits, elsewhere: int = 0) -> None:
        self.sessions: dict[Session, None] = {}
        self.elsewhere = elsewhere
        self.configure(limits)

    def configure(self, limits: ClientLimits) -> None:
        """Set the limits from now on, as if nothing had been spent."""
        self._messages_full_at = self._octets_full_at = self._spent_at = -inf
        self.limits = limits
        self._messages = Bucket(limits.messages_per_second or inf)
        self._octets = Bucket(limits.bytes_per_second or inf)

    def take_over(self, limits: ClientLimits) -> None:
        """Set the limits that another session of the client brings with it. What is spent stays spent."""
        now = self._spent_at
        messages, octets = (
            self._messages.missing(self._messages_full_at, now),
            self._octets.missing(self._octets_full_at, now),
        )
        self.configure(limits)
        self._spent_at = now
        self._messages_full_at = self._messages.spend(-inf, now, messages)
        self._octets_full_at = self._octets.spend(-inf, now, octets)

    def set_elsewhere(self, elsewhere: int) -> None:
        """Set how many more sessions there are in other processes."""
        self.elsewhere = elsewhere

    @property
    def _part(self) -> float:
        here = max(1, len(self.sessions))
        return here / (here + self.elsewhere)

    def available(self, now: float, smallest: int) -> float:
        """How many octets may be read now, if no message has fewer than ``smallest``; none at zero and below."""
        messages = self._messages.available(self._messages_full_at, now)
        return self._part * min(messages * smallest, self._octets.available(self._octets_full_at, now))

    def spend(self, messages: float, octets: int, now: float) -> None:
        """Count what was read."""
        part, self._spent_at = self._part, now
        self._messages_full_at = self._messages.spend(self._messages_full_at, now, messages / part)
        self._octets_full_at = self._octets.spend(self._octets_full_at, now, octets / part)

    def surplus(self, share: WorkerShare) -> list[Session]:
        """The newest sessions where there are too many: as many as this process has beyond its share."""
        here, most = len(self.sessions), self.limits.max_sessions
        over = min(here + self.elsewhere - most, here - share.part(most, least=0)) if most else 0
        return list(self.sessions)[-over:] if over > 0 else []

    @property
    def full_at(self) -> float:
        """When both buckets are full again, so that nothing has to be remembered."""
        return max(self._messages_full_at, self._octets_full_at)


class Quotas(Generic[Session]):
    """The quotas of one service. That of a client without sessions is kept until its buckets are full again."""

    def __init__(self) -> None:
        self._quotas: dict[bytes, Quota[Session]] = {}
        self._left: dict[bytes, Quota[Session]] = {}
        self._elsewhere: Mapping[bytes, int] = {}

    def is_full(self, key: bytes, limits: ClientLimits) -> bool:
        """Whether this client must not have another session."""
        here = self._quotas[key].sessions if key in self._quotas else ()
        return 0 < limits.max_sessions <= len(here) + self._elsewhere.get(key, 0)

    @property
    def counts(self) -> dict[bytes, int]:
        """How many sessions each client with limits has in this process."""
        return {key: len(quota.sessions) for key, quota in self._quotas.items() if quota.sessions}

    def set_elsewhere(self, elsewhere: Mapping[bytes, int]) -> None:
        """Set the ``counts`` of the other processes, added up."""
        self._elsewhere = elsewhere
        for key, quota in self._quotas.items():
            quota.set_elsewhere(elsewhere.get(key, 0))

    def surplus(self, share: WorkerShare) -> Iterator[Session]:
        """Sessions that should end, because their clients have too many."""
        for quota in list(self._quotas.values()):
            yield from quota.surplus(share)

    def attach(self, key: bytes, limits: ClientLimits, session: Session) -> Quota[Session] | None:
        """Add a session of a client. Returns the quota that all of its sessions share; None where it has no limit."""
        if limits == UNLIMITED:
            self._quotas.pop(key, None)
            return None
        quota = self._quotas.setdefault(key, Quota(limits, self._elsewhere.get(key, 0)))
        if quota.limits != limits and session in quota.sessions:
            quota.configure(limits)
        elif quota.limits != limits:  # it has two certificates, by which it may come in turns
            quota.take_over(limits)
        quota.sessions[session] = None
        return quota

    def detach(self, key: bytes, session: Session) -> None:
        """Remove a session that has ended."""
        if (quota := self._quotas.get(key)) is not None:
            quota.sessions.pop(session, None)
            if not quota.sessions:
                self._left[key] = quota

    def expire(self, now: float) -> None:
        """Forget clients that have left and whose buckets are full again."""
        for key, quota in list(self._left.items()):
            if quota.sessions or quota.full_at <= now:
                del self._left[key]
                if not quota.sessions and self._quotas.get(key) is quota:
                    del self._quotas[key]

    def __len__(self) -> int:
        """How many clients something is remembered of."""
        return len(self._quotas)
