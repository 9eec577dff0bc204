"""A queue of what has a deadline, the oldest first, from which anything leaves in one step.

A ring through its members themselves: two words each.
"""

from typing import Generic, TypeVar


class Deadline:
    """Something that is due at ``deadline``."""

    __slots__ = ("deadline", "newer", "older")
    older: "Deadline"
    newer: "Deadline"

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline


Member = TypeVar("Member", bound=Deadline)


class Count:
    """How many there are, kept as they come and go: nobody has to walk through them to know."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def add(self, more: int) -> None:
        self.number += more


class DeadlineQueue(Generic[Member]):
    """Members in the order of arrival, which must be the order of their deadlines too.

    count: of the members of several queues together; this one's are among them.
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
        """Take a member out; nothing when it has left already."""
        if member not in self:
            return
        member.older.newer, member.newer.older = member.newer, member.older
        del member.older, member.newer
        self._length -= 1
        self._count.add(-1)

    def __contains__(self, member: Deadline) -> bool:
        """Whether something that was appended is still here."""
        return hasattr(member, "newer")

    def due(self, now: float) -> Member | None:
        """The oldest, if its time has come."""
        oldest = self.oldest
        return oldest if oldest is not None and oldest.deadline <= now else None
