"""When a backend may be dialled that did not answer the last time."""

from math import inf

# How long a failed dial holds others back, and how far apart they try.
REST_SECONDS = 1.0


class Trial:
    """One backend's. While it is down, one newcomer a second tries; the others wait and cost nothing."""

    def __init__(self) -> None:
        self.down = False
        self._next = -inf

    def may_try(self, now: float) -> bool:
        """Whether a newcomer may go on towards a dial; a yes uses up this second's trial."""
        if not self.down:
            return True
        if now < self._next:
            return False
        self._next = now + REST_SECONDS
        return True

    def failed(self, now: float) -> None:
        self.down, self._next = True, now + REST_SECONDS

    def succeeded(self) -> None:
        self.down = False
