"""trio's clock, as a test sets it."""

import pytest
import trio


class Clock:
    """now: seconds that the proxy reads instead of the time that passes."""

    now = 1000.0

    @classmethod
    def set(cls, monkeypatch: pytest.MonkeyPatch) -> "Clock":
        """A clock in place of trio's, until the test ends."""
        clock = cls()
        monkeypatch.setattr(trio, "current_time", lambda: clock.now)
        return clock
