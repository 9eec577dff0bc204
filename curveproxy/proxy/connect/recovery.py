"""Knows whether a service is down, and finds out when it is up again."""

from collections.abc import Callable, Sequence

import trio

from curveproxy.policy.circuit_breaker import CircuitBreaker
from curveproxy.proxy.connect.failures import nobody_listens
from curveproxy.proxy.connect.reach import listens
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.reactor import Spawn
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import DialFailure

# So many dials in a row may fail for what their clients are.
EXCUSED_MAX = 3


class Recovery:
    """The state of one service.

    up: whether the last dial worked; None before the first.
    recovered: is called when the service seems to be up again.
    """

    def __init__(self, observer: Observer, spawn: Spawn, recovered: Callable[[], None]) -> None:
        self._observer, self._spawn, self._recovered = observer, spawn, recovered
        self._is_checking = False
        self.forget()

    def forget(self) -> None:
        """Start anew, because it is another service now."""
        self.up: bool | None = None
        self._excused = 0
        self._breaker = CircuitBreaker()

    @property
    def is_down(self) -> bool:
        """Whether dials fail, so that clients wait."""
        return self._breaker.is_open

    def allow_probes(self, now: float) -> int:
        """How many waiting clients may go on now, to find out whether the service is up again."""
        return self._breaker.allow_probes(now)

    def check_listener(self, now: float, settings: ServiceSettings) -> None:
        """Check whether somebody listens at the endpoint, or at one of the remotes, at most once a second."""
        breaker = self._breaker
        if self._is_checking or not breaker.allow_check(now):
            return  # a name server that hangs is not asked again meanwhile
        if settings.egress is None:
            places = [(settings.backend, settings.allow_remote_backend)]
        else:
            places = [(remote, True) for remote in settings.egress.remotes]

        async def check() -> None:
            try:
                found = await _any_listens(places)
            finally:
                self._is_checking = False
            if found:
                breaker.record_listener()
                self._recovered()

        self._is_checking = True
        self._spawn(self, check)

    def failed(self, error: Exception) -> None:
        """Report an error of ours in that check."""
        self._observer.unexpected(error)

    def dialled(self, now: float) -> None:
        self._breaker.record_dial(now)

    def succeeded(self) -> None:
        """A dial has reached the service."""
        self.up, self._excused = True, 0
        self._breaker.record_success()
        self._recovered()

    def excuses(self) -> bool:
        """A dial has failed that may have done so for what its client is. Returns whether it is left at that."""
        self._excused += 1
        return bool(self.up) and self._excused <= EXCUSED_MAX

    def dial_failed(self, *failures: DialFailure) -> None:
        """A dial has failed. failures: of each place that was tried."""
        self.up = False
        self._breaker.record_failure(trio.current_time(), nobody_listens=all(map(nobody_listens, failures)))


async def _any_listens(places: Sequence[tuple[Endpoint, bool]]) -> bool:
    """Whether somebody listens at one of these, each with whether it may be remote."""
    for endpoint, allow_remote in places:
        if await listens(endpoint, allow_remote=allow_remote):
            return True
    return False
