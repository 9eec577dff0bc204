"""A queue in the order of deadlines, from which any member can be removed in constant time.

It is a ring that is linked through its members themselves, at the cost of two words each.
"""

from typing import Generic, TypeVar


class Deadline:
    """A member of a queue, which is due at ``deadline``."""

    __slots__ = ("deadline", "newer", "older")
    older: "Deadline"
    newer: "Deadline"

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def defer(self, seconds: float) -> None:
        """It is due so much later, or sooner: in a queue by ``DeadlineQueue.defer`` alone, which does so to all."""
        self.deadline += seconds


Member = TypeVar("Member", bound=Deadline)


class Count:
    """How many members several queues have together, kept up to date as members come and go."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def add(self, more: int) -> None:
        self.number += more


class DeadlineQueue(Generic[Member]):
    """Members in the order of their arrival, which must be the order of their deadlines.

    count: of several queues; the members of this one are added to it.
    """

    def __init__(self, count: Count | None = None) -> None:
        self._count = Count() if count is None else count
        self._ends = Deadline(0.0)
        self._ends.older = self._ends.newer = self._ends
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def oldest(self) -> Member | None:
        first = self._ends.newer
        return None if first is self._ends else first  # type: ignore[return-value]

    def append(self, member: Member) -> None:
        """Add a member at the end."""
        last = self._ends.older
        member.older, member.newer = last, self._ends
        last.newer = self._ends.older = member
        self._length += 1
        self._count.add(1)

    def remove(self, member: Member) -> None:
        """Remove a member; does nothing when it was removed already."""
        if member not in self:
            return
        member.older.newer, member.newer.older = member.newer, member.older
        del member.older, member.newer
        self._length -= 1
        self._count.add(-1)

    def defer(self, seconds: float) -> None:
        """Make every member due so much later, or sooner."""
        member = self._ends.newer
        while seconds and member is not self._ends:
            member.defer(seconds)
            member = member.newer

    def __contains__(self, member: Deadline) -> bool:
        """Whether a member that was appended has not been removed."""
        return hasattr(member, "newer")

    def due(self, now: float) -> Member | None:
        """The oldest, if its time has come."""
        oldest = self.oldest
        return oldest if oldest is not None and oldest.deadline <= now else None
