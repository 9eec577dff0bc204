"""Whose each identity is, where several processes relay: one key's at a time, and in one process.

And who shares one: two hosts with the same key and identity replace each other's session for ever.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import frozen

Process = TypeVar("Process")


@frozen
class Claim(Generic[Process]):
    """Who has an identity: a client with this key, in this process. number: the client's there."""

    process: Process
    key: str
    number: int


# So many sessions of one identity replaced in this time are not one client that has lost its network.
RIVALS_REPLACE, RIVALS_SECONDS = 4, 60.0


class Rivals:
    """How often the sessions of an identity were replaced of late."""

    def __init__(self) -> None:
        self._since: dict[bytes, tuple[float, int]] = {}

    def add(self, identity: bytes, now: float) -> bool:
        """One was replaced; whether it is time to tell of it."""
        since, count = self._since.get(identity, (now, 0))
        self._since[identity] = since, count + 1
        return not (count + 1) % RIVALS_REPLACE

    def forget(self, now: float) -> None:
        """Whoever began to be replaced too long ago, and may have stopped."""
        for identity in [name for name, (since, _) in self._since.items() if now - since > RIVALS_SECONDS]:
            del self._since[identity]

    def __len__(self) -> int:
        """How many identities something is remembered of."""
        return len(self._since)


class IdentityClaims(Generic[Process]):
    """Those of all services; a name is a service's and an identity's."""

    def __init__(self) -> None:
        self._holders: dict[Hashable, Claim[Process]] = {}

    def claim(self, name: Hashable, newcomer: Claim[Process]) -> Claim[Process] | None:
        """It is the newcomer's, unless a client with another key has it. Returns who has had it."""
        holder = self._holders.get(name)
        if holder is None or holder.key == newcomer.key:
            self._holders[name] = newcomer
        return holder

    def release(self, name: Hashable, holder: Claim[Process]) -> None:
        """Its client has gone. Nothing changes where another has followed it."""
        if self._holders.get(name) == holder:
            del self._holders[name]

    def forget(self, process: Process) -> None:
        """A process has ended, and all its clients have gone."""
        for name in [name for name, holder in self._holders.items() if holder.process is process]:
            del self._holders[name]

    def __len__(self) -> int:
        return len(self._holders)
