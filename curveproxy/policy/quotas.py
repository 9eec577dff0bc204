"""How much one client may send, all its sessions together: messages and octets a second.

Nothing is refused. What was read has been taken, also more than there was, as a large message is; who has used up what
it may have is not read again until there is some.
"""

from math import inf

from curveproxy.policy.limits import UNLIMITED, ClientLimits


class Bucket:
    """So much a second, and one second's worth at once. Only the time at which it will be full again is kept."""

    def __init__(self, per_second: float) -> None:
        self._per_second, self.full_at = per_second, -inf

    def room(self, now: float) -> float:
        """What is in it; below zero when more was taken than there was."""
        return self._per_second * min(1.0, 1.0 - (self.full_at - now))

    def take(self, amount: float, now: float) -> None:
        self.full_at = max(self.full_at, now) + amount / self._per_second


class Quota:
    """One client's. limits: those in force; sessions: who shares it."""

    def __init__(self, limits: ClientLimits) -> None:
        self.sessions: set[object] = set()
        self.configure(limits)

    def configure(self, limits: ClientLimits) -> None:
        """These limits from now on, as if nothing had been taken."""
        self.limits = limits
        self._messages = Bucket(limits.messages_per_second or inf)
        self._octets = Bucket(limits.bytes_per_second or inf)

    @property
    def is_full(self) -> bool:
        """Whether there is no place for another session."""
        return 0 < self.limits.max_sessions <= len(self.sessions)

    def room(self, now: float, smallest: int) -> float:
        """How many octets may be read now, where no message has fewer than ``smallest``; none at zero and below."""
        return min(self._messages.room(now) * smallest, self._octets.room(now))

    def take(self, messages: int, octets: int, now: float) -> None:
        """So much was read."""
        self._messages.take(messages, now)
        self._octets.take(octets, now)

    @property
    def full_at(self) -> float:
        """When nothing has to be remembered any more."""
        return max(self._messages.full_at, self._octets.full_at)


class Quotas:
    """Those of one service. A client that leaves is remembered until it would have everything again."""

    def __init__(self) -> None:
        self._quotas: dict[bytes, Quota] = {}
        self._left: dict[bytes, Quota] = {}

    def get(self, key: bytes) -> Quota | None:
        return self._quotas.get(key)

    def enter(self, key: bytes, limits: ClientLimits, session: object) -> Quota | None:
        """What this session of a client shares with its others from now on; None where it has no limit."""
        if limits == UNLIMITED:
            self._quotas.pop(key, None)
            return None
        quota = self._quotas.setdefault(key, Quota(limits))
        if quota.limits != limits:
            quota.configure(limits)
        quota.sessions.add(session)
        return quota

    def leave(self, key: bytes, session: object) -> None:
        """A session has ended."""
        if (quota := self._quotas.get(key)) is not None:
            quota.sessions.discard(session)
            if not quota.sessions:
                self._left[key] = quota

    def forget(self, now: float) -> None:
        """Those who have left, and could do nothing now that a newcomer could not."""
        for key, quota in list(self._left.items()):
            if quota.sessions or quota.full_at <= now:
                del self._left[key]
                if not quota.sessions and self._quotas.get(key) is quota:
                    del self._quotas[key]

    def __len__(self) -> int:
        """How many clients something is remembered of."""
        return len(self._quotas)
