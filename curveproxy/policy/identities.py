"""Which client has each identity, where several processes relay: one key has it, in one process at a time.

And which identities are shared: two hosts with the same key and identity replace each other's session for ever.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import frozen

Process = TypeVar("Process")


@frozen
class Claim(Generic[Process]):
    """A client that has an identity. process: where its session is; key: its own; number: the client's there."""

    process: Process
    key: str
    number: int


# So many sessions of one identity replaced in this time are not one client that has lost its network.
RIVALS_REPLACE, RIVALS_SECONDS = 4, 60.0


class Rivals:
    """How often the sessions of each identity were replaced of late."""

    def __init__(self) -> None:
        self._since: dict[bytes, tuple[float, int]] = {}

    def add(self, identity: bytes, now: float) -> bool:
        """Count a session that was replaced. Returns whether to report it: every fourth time."""
        since, count = self._since.get(identity, (now, 0))
        self._since[identity] = since, count + 1
        return not (count + 1) % RIVALS_REPLACE

    def expire(self, now: float) -> None:
        """Forget identities whose first replacement was too long ago."""
        for identity in [name for name, (since, _) in self._since.items() if now - since > RIVALS_SECONDS]:
            del self._since[identity]

    def __len__(self) -> int:
        """How many identities something is remembered of."""
        return len(self._since)


class IdentityClaims(Generic[Process]):
    """The claims of all services; a name stands for a service and an identity."""

    def __init__(self) -> None:
        self._claims: dict[Hashable, Claim[Process]] = {}

    def claim(self, name: Hashable, claim: Claim[Process]) -> Claim[Process] | None:
        """Record a claim, unless a client with another key has the name. Returns the claim that stood until now."""
        before = self._claims.get(name)
        if before is None or before.key == claim.key:
            self._claims[name] = claim
        return before

    def release(self, name: Hashable, claim: Claim[Process]) -> None:
        """Remove a claim whose client has gone; nothing changes where another claim has replaced it."""
        if self._claims.get(name) == claim:
            del self._claims[name]

    def forget(self, process: Process) -> None:
        """Remove all claims of a process that has ended."""
        for name in [name for name, claim in self._claims.items() if claim.process is process]:
            del self._claims[name]

    def __len__(self) -> int:
        return len(self._claims)
