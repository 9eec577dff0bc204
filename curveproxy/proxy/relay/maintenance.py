"""The rounds that are made among a service's sessions: who rests may go on, who is idle or dead ends.

They are made by the proxy's tick. No session has a task or a timer for it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from curveproxy.proxy.relay.session import QUIET_LOOKS, Session

if TYPE_CHECKING:
    from curveproxy.proxy.relay.pump import Pump
    from curveproxy.proxy.service import Service


class Maintenance:
    """Those of one service."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._resting: dict[Pump, float] = {}  # since when; who came first is let go on first
        self._rested_seconds = 0.0
        self._looks_at = self._asks_at = 0.0

    @property
    def throttled_seconds(self) -> float:
        """How long ways of sessions have rested, all together."""
        now = trio.current_time()
        return self._rested_seconds + sum(now - since for since in self._resting.values())

    def rest(self, pump: "Pump") -> None:
        """It reads no further until it is let."""
        self._resting.setdefault(pump, trio.current_time())

    def has_rested(self, pump: "Pump") -> None:
        """It reads again, or will not any more."""
        self._rested_seconds += trio.current_time() - self._resting.pop(pump)

    def make(self, now: float) -> None:
        """Look at all whose time has come."""
        for pump in list(self._resting):
            if pump.has_ended:
                self.has_rested(pump)
            else:
                pump.rest_is_over(now)
        settings = self._service.settings
        if settings.idle_seconds and now >= self._looks_at:
            self._looks_at = now + settings.idle_seconds / QUIET_LOOKS
            self._look_at_each(Session.grow_quiet)
        if settings.heartbeat_seconds and now >= self._asks_at:
            self._asks_at = now + settings.heartbeat_seconds
            self._look_at_each(Session.ask_for_life)

    def _look_at_each(self, look: Callable[[Session], None]) -> None:
        for session in list(self._service.sessions):
            try:
                look(session)
            except Exception as error:  # the boundary: one session ends, not the tick
                session.failed(error)
