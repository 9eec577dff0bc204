"""The descriptors of a process: their limit, and how many are in use."""

from curveproxy.policy.limits import RESERVED_DESCRIPTORS, half_open_in_force, sessions_in_force
from curveproxy.proxy.net.deadlines import Count


class Capacity:
    """Counts descriptors as connections come and go. All other descriptors have a fixed reserve.

    limit: the soft limit of the process.
    half_open: half-open connections of all listeners, and lingering closes: one descriptor each.
    places_in_use: by sessions of all services, and by clients that are about to have one: two descriptors each.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.half_open = Count()
        self.places_in_use = 0

    def take_place(self) -> None:
        """Count a session, or a client that is about to have one."""
        self.places_in_use += 1

    def give_place_back(self) -> None:
        self.places_in_use -= 1

    @property
    def in_use(self) -> int:
        """Descriptors of connections, those that pending clients will need, and the reserve."""
        return RESERVED_DESCRIPTORS + self.half_open.number + 2 * self.places_in_use

    @property
    def is_full(self) -> bool:
        """Whether there are too few descriptors for another session."""
        return self.places_in_use >= sessions_in_force(self.limit, self.limit)

    @property
    def room(self) -> int:
        """How many half-open connections there may be beside the sessions, at all listeners together."""
        return half_open_in_force(self.limit, self.limit, self.places_in_use)

    @property
    def are_short(self) -> bool:
        """Whether a half-open connection must end before another can be accepted."""
        return self.half_open.number > 0 and self.in_use >= self.limit

    def half_open_limit(self, configured: int) -> int:
        """``max_half_open`` in force: no more than the sessions leave room for."""
        return min(configured, self.room)

    def sessions_limit(self, configured: int) -> int:
        """``max_sessions`` in force: no more than there are descriptors for."""
        return sessions_in_force(configured, self.limit)
