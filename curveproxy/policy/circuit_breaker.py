"""When a backend may be dialled again after a failed dial, and when the proxy itself checks whether it listens."""

from math import inf

# How long after a failed dial the next may follow, and how far apart checks are.
REST_SECONDS = 1.0
# So many waiting clients are let through at once, at most.
MOST_AT_ONCE = 32


class CircuitBreaker:
    """One backend's. While it is open, clients wait before their HELLO is read, and cost nothing.

    Where nobody listened at the last dial, the proxy checks once a second whether somebody does, and then closes the
    breaker for all of them. Also one waiting client is let through each second, to be refused with the reason.

    Where somebody listens who does not answer as a service should, only a dial for a client can show whether that has
    changed: one waiting client is let through each second. It may never prove a key, so that nothing is dialled for it:
    twice as many are let through the next time, until there is a dial for one of them.

    is_open: the last dial failed, and no listener was seen since.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._next_probe = self._next_check = -inf
        self._at_once = 1
        self._checks = self._was_seen = False

    def allow_probes(self, now: float) -> int:
        """How many of the waiting clients may go on towards a dial now; a number above zero is used up."""
        if not self.is_open or now < self._next_probe:
            return 0
        if self._checks:
            self._next_probe = now + REST_SECONDS
            return 1
        at_once, self._at_once = self._at_once, min(2 * self._at_once, MOST_AT_ONCE)
        return at_once

    def allow_check(self, now: float) -> bool:
        """Whether to check now if somebody listens; a yes uses up this second's check."""
        if not self.is_open or not self._checks or now < self._next_check:
            return False
        self._next_check = now + REST_SECONDS
        return True

    def record_listener(self) -> None:
        """A check has found that somebody listens."""
        self.is_open, self._was_seen = False, True

    def record_dial(self, now: float) -> None:
        """A dial has begun: the other clients wait for its result."""
        self._next_probe, self._at_once = now + REST_SECONDS, 1

    def record_failure(self, now: float, *, nobody_listens: bool) -> None:
        """A dial has failed. If a check had found a listener before, checks prove nothing here: clients probe."""
        if not self.is_open:
            self._next_check = now + REST_SECONDS
        self.is_open, self._next_probe, self._at_once = True, now + REST_SECONDS, 1
        self._checks = nobody_listens and not self._was_seen

    def record_success(self) -> None:
        """A dial has reached a service that answered."""
        self.is_open = self._was_seen = False
