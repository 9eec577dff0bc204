"""Idle checks and heartbeats of a service's sessions, by the server's tick: no session has a task or a timer for it."""

from collections.abc import Callable, Iterable
from typing import Protocol

from curveproxy.proxy.relay.session import IDLE_CHECKS
from curveproxy.proxy.settings import ServiceSettings


class Checked(Protocol):
    """A session."""

    def check_idle(self) -> None: ...

    def check_alive(self) -> None: ...

    def failed(self, error: Exception) -> None: ...


class Maintenance:
    """When the sessions of one service are looked at next."""

    def __init__(self) -> None:
        self._next_idle_check = self._next_heartbeat = 0.0

    def tick(self, now: float, sessions: Iterable[Checked], settings: ServiceSettings) -> None:
        """End idle sessions, and those whose clients, or remotes, answer no PING."""
        if settings.idle_seconds and now >= self._next_idle_check:
            self._next_idle_check = now + settings.idle_seconds / IDLE_CHECKS
            _check_each(sessions, lambda session: session.check_idle())
        if settings.heartbeat_seconds and now >= self._next_heartbeat:
            self._next_heartbeat = now + settings.heartbeat_seconds
            _check_each(sessions, lambda session: session.check_alive())


def _check_each(sessions: Iterable[Checked], check: Callable[[Checked], None]) -> None:
    for session in list(sessions):
        try:
            check(session)
        except Exception as error:  # the boundary: one session ends, not the tick
            session.failed(error)
