"""When a backend may be dialled that did not answer the last time, and when the proxy itself looks for it."""

from math import inf

# How long a failed dial holds others back, and how far apart looks are.
REST_SECONDS = 1.0
# So many of those who wait go on at once, at most.
MOST_AT_ONCE = 32


class CircuitBreaker:
    """One backend's. While it is down, newcomers wait and cost nothing.

    Where nobody listened, the proxy looks once a second whether somebody does, and lets all of them go on then: who
    waits there does not matter. One of them goes on each second too, to be told what is wrong. Where somebody listens
    who does not answer as a service should, only a client can find out whether that has changed: one is let go on each
    second. Whoever is let go on may be nobody's client, so there are twice as many the next time, until one of them
    has dialled.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._next = self._next_look = -inf
        self._at_once = 1
        self._looks = self._was_seen = False

    def allow_probes(self, now: float) -> int:
        """How many of those who wait may go on towards a dial."""
        if not self.is_open or now < self._next:
            return 0
        if self._looks:
            self._next = now + REST_SECONDS
            return 1
        at_once, self._at_once = self._at_once, min(2 * self._at_once, MOST_AT_ONCE)
        return at_once

    def allow_check(self, now: float) -> bool:
        """Whether to look if somebody listens; a yes uses up this second's."""
        if not self.is_open or not self._looks or now < self._next_look:
            return False
        self._next_look = now + REST_SECONDS
        return True

    def record_listener(self) -> None:
        """Somebody listens there again."""
        self.is_open, self._was_seen = False, True

    def record_dial(self, now: float) -> None:
        """One of them dials: the others wait for what comes of it."""
        self._next, self._at_once = now + REST_SECONDS, 1

    def record_failure(self, now: float, *, nobody_listens: bool) -> None:
        """A dial has failed. Where it was seen since the last that worked, looks do not tell: clients try."""
        if not self.is_open:
            self._next_look = now + REST_SECONDS
        self.is_open, self._next, self._at_once = True, now + REST_SECONDS, 1
        self._looks = nobody_listens and not self._was_seen

    def record_success(self) -> None:
        """It was dialled, and answered."""
        self.is_open = self._was_seen = False
