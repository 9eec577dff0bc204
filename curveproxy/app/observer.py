"""One reader of what the proxy tells of a service: it counts all of it, and logs what an operator wants to read.

The words are those of ``reasons``: outcome or reason, and its hint. What strangers can cause is rate-limited here.
"""

import trio

from curveproxy.app.logs import Log
from curveproxy.app.metrics import Metrics, ServiceMetrics
from curveproxy.policy.ratelimit import RateLimit
from curveproxy.proxy.session import Session
from curveproxy.reasons import HINTS, BackendFailure, Closed, Invalid, Outcome

# Of each kind of line that strangers can cause: so many at once, then one in so many seconds.
BURST = 10
LINES_PER_SECOND = 0.5
SUMMARY_SECONDS = 10.0


class ServiceObserver:
    """Metrics and log of one service (``proxy/observer.py``)."""

    def __init__(self, service: str, metrics: Metrics, log: Log) -> None:
        self._log = log.bind(service=service)
        self._metrics = ServiceMetrics(metrics, service)
        self._limit = RateLimit(BURST, LINES_PER_SECOND)

    def accepted(self) -> None:
        self._metrics.accepted()

    def refused(self, outcome: Outcome, peer: str, detail: str = "") -> None:
        self._metrics.refused(outcome)
        # A load balancer that looks whether the port is open is nothing to warn of.
        level = "debug" if outcome == Outcome.PROBE else "warning"
        self._tell(level, "client refused", outcome, detail, outcome=str(outcome), peer=peer)

    def admitted(self, session: Session, seconds: float) -> None:
        self._metrics.admitted(seconds)
        self._log.info(
            "session opened",
            client=session.client,
            peer=session.peer,
            socket_type=session.socket_type,
            seconds=round(seconds, 6),
        )

    def closed(self, session: Session, reason: Closed) -> None:
        self._metrics.closed(session, reason)
        lasted = round(trio.current_time() - session.opened_at, 3)
        self._log.info("session closed", reason=str(reason), client=session.client, peer=session.peer, seconds=lasted)

    def invalid(self, session: Session, reason: Invalid, detail: str = "") -> None:
        self._metrics.invalid(reason)
        self._tell(
            "warning", "invalid message", reason, detail, reason=str(reason), client=session.client, peer=session.peer
        )

    def backend_up(self, seconds: float) -> None:
        self._metrics.backend_up(seconds)

    def backend_failed(self, reason: BackendFailure, detail: str = "") -> None:
        self._metrics.backend_failed(reason)
        self._tell("warning", "backend failed", reason, detail, reason=str(reason))

    def unexpected(self, error: BaseException) -> None:
        self._metrics.unexpected()
        self._log.error("unexpected error", exc_info=error, hint="a fault of curveproxy: please report it")

    def notice(self, event: str, **facts: object) -> None:
        self._log.warning(event, **facts)

    def _tell(
        self, level: str, event: str, kind: Outcome | Invalid | BackendFailure, detail: str, **facts: object
    ) -> None:
        left_out = self._limit.admit(kind, trio.current_time())
        if left_out is None:
            return
        if detail:
            facts["detail"] = detail
        if left_out:
            facts["left_out"] = left_out
        getattr(self._log, level)(event, **facts, hint=HINTS[kind])

    async def summarise(self) -> None:
        """Tell now and then how many lines were left out, when none of their kind has come since."""
        while True:
            await trio.sleep(SUMMARY_SECONDS)
            if left_out := self._limit.left_out():
                self._log.warning("lines left out", **{str(kind): count for kind, count in left_out.items()})
