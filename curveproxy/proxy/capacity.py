"""The descriptors of one process: how many there may be, and who holds them."""

from curveproxy.policy.limits import RESERVED_DESCRIPTORS, half_open_in_force, sessions_in_force
from curveproxy.proxy.net.deadlines import Count


class Capacity:
    """The account. What connections hold is counted as they come and go; the rest has its reserve.

    limit: the soft limit of the process.
    strangers: half-open connections of all listeners, and sockets that were told ERROR: one descriptor each.
    sessions: sessions of all services, and clients whose backend is being dialled: two each.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.strangers, self.sessions = Count(), Count()

    @property
    def in_use(self) -> int:
        """How many the connections have, or are about to have, with the reserve for all else."""
        return RESERVED_DESCRIPTORS + self.strangers.number + 2 * self.sessions.number

    @property
    def is_full(self) -> bool:
        """Whether they suffice for no further session."""
        return self.sessions.number >= sessions_in_force(self.limit, self.limit)

    @property
    def room(self) -> int:
        """How many strangers the sessions leave room for, at all listeners together."""
        return half_open_in_force(self.limit, self.limit, self.sessions.number)

    @property
    def are_short(self) -> bool:
        """Whether a stranger has to go before another one can come."""
        return self.strangers.number >= self.room
