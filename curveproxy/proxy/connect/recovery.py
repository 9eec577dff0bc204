"""Knows whether a service is down, and finds out when it is up again."""

from collections.abc import Callable

import trio

from curveproxy.policy.circuit_breaker import CircuitBreaker
from curveproxy.proxy.connect.failures import NOBODY_LISTENS
from curveproxy.proxy.connect.reach import listens
from curveproxy.proxy.net.reactor import Spawn
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import DialFailure


class Recovery:
    """The state of one service.

    up: whether the last dial worked; None before the first.
    recovered: is called when the service seems to be up again.
    """

    def __init__(self, observer: Observer, spawn: Spawn, recovered: Callable[[], None]) -> None:
        self._observer, self._spawn, self._recovered = observer, spawn, recovered
        self.forget()

    def forget(self) -> None:
        """Start anew, because it is another service now."""
        self.up: bool | None = None
        self._breaker = CircuitBreaker()

    @property
    def is_down(self) -> bool:
        """Whether dials fail, so that clients wait."""
        return self._breaker.is_open

    def allow_probes(self, now: float) -> int:
        """How many waiting clients may go on now, to find out whether the service is up again."""
        return self._breaker.allow_probes(now)

    def check_listener(self, now: float, settings: ServiceSettings) -> None:
        """Check whether somebody listens at the endpoint, at most once a second."""
        breaker = self._breaker
        if not breaker.allow_check(now):
            return

        async def check() -> None:
            if await listens(settings.backend, allow_remote=settings.allow_remote_backend):
                breaker.record_listener()
                self._recovered()

        self._spawn(self, check)

    def failed(self, error: Exception) -> None:
        """Report an error of ours in that check."""
        self._observer.unexpected(error)

    def dialled(self, now: float) -> None:
        self._breaker.record_dial(now)

    def succeeded(self) -> None:
        """A dial has reached the service."""
        self.up = True
        self._breaker.record_success()
        self._recovered()

    def dial_failed(self, failure: DialFailure) -> None:
        self.up = False
        self._breaker.record_failure(trio.current_time(), nobody_listens=failure in NOBODY_LISTENS)
