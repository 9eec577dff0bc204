"""One reader of what the proxy tells of a service: it counts all of it, and logs what an operator wants to read.

The words are those of ``reasons``: outcome or reason, and its hint. What strangers can cause is rate-limited here.
"""

from collections.abc import Mapping

import trio

from curveproxy.app.observe.history import RIVALS, EventHistory
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.metrics import Metrics, ServiceMetrics
from curveproxy.policy.log_limit import LogLimit
from curveproxy.proxy.relay.session import Session
from curveproxy.reasons import BackendFailure, Closed, Invalid, Outcome

# Of each kind of line that strangers can cause: so many at once, then so many a second.
BURST = 10
LINES_PER_SECOND = 0.5
SUMMARY_SECONDS = 10.0


class ServiceObserver:
    """Metrics and log of one service (``proxy/observer.py``).

    allow_any: strangers have sessions too, so that the lines about these are limited like the others.
    seen: what the status page shows of it.
    """

    allow_any = False

    def __init__(self, service: str, metrics: Metrics, log: Log) -> None:
        self._log = log.bind(service=service)
        self._metrics = ServiceMetrics(metrics, service)
        self.seen = EventHistory()
        self._limit = LogLimit(BURST, LINES_PER_SECOND)

    def server_keys(self, names: Mapping[bytes, str]) -> None:
        """The server's public keys, and their names for the metrics."""
        self._metrics.server_keys(names)

    def accepted(self) -> None:
        self._metrics.accepted()

    def refused(self, outcome: Outcome, peer: str, detail: str = "", client: str = "") -> None:
        self._metrics.refused(outcome)
        self.seen.add("client refused", outcome, peer, detail)
        if outcome == Outcome.CLIENT_UNKNOWN:
            self.seen.add_unknown(client, peer)
        who = {"client": client} if client else {}
        facts = {"outcome": str(outcome), **who, "peer": peer, **_detail(detail), "hint": outcome.hint}
        if outcome == Outcome.PROBE:
            # A load balancer looks whether the port is open: nothing to warn of, nor to tell how often.
            self._log.debug("client refused", **facts)
        else:
            self._tell("warning", "client refused", outcome, **facts)

    def admitted(self, session: Session, seconds: float) -> None:
        self._metrics.admitted(session, seconds)
        self.seen.add("session opened", Outcome.ADMITTED, session.peer)
        facts = _who(session) | {"socket_type": session.socket_type, "handshake_seconds": round(seconds, 6)}
        self._tell_of_session(session, "session opened", "", **facts)

    def closed(self, session: Session, reason: Closed) -> None:
        self._metrics.closed(session, reason)
        self.seen.add("session closed", reason, session.peer)
        facts = _who(session) | {
            "seconds": round(session.seconds, 3),
            "messages_in": session.messages_in,
            "bytes_in": session.octets_in,
            "messages_out": session.messages_out,
            "bytes_out": session.octets_out,
        }
        if reason.hint:
            facts["hint"] = reason.hint
        self._tell_of_session(session, "session closed", reason, reason=str(reason), **facts)

    def invalid(self, session: Session, reason: Invalid, detail: str = "") -> None:
        self._metrics.invalid(reason)
        self.seen.add("invalid message", reason, session.peer, detail)
        facts = {"reason": str(reason), **_who(session), **_detail(detail), "hint": reason.hint}
        self._tell("warning", "invalid message", reason, **facts)

    def backend_up(self, seconds: float) -> None:
        self._metrics.backend_up(seconds)

    def backend_failed(self, reason: BackendFailure, detail: str = "") -> None:
        self._metrics.backend_failed(reason)
        self.seen.add("backend failed", reason, detail=detail)
        facts = {"reason": str(reason), **_detail(detail), "hint": reason.hint}
        self._tell("warning", "backend failed", reason, **facts)

    def rivals(self, session: Session) -> None:
        self.seen.add(RIVALS, Closed.REPLACED, session.peer, session.client)
        self._tell("warning", RIVALS, "", **_who(session), hint=Closed.REPLACED.hint)

    def unexpected(self, error: BaseException) -> None:
        self._metrics.unexpected()
        self.seen.add("unexpected error", Outcome.INTERNAL)
        self._tell("error", "unexpected error", "", exc_info=error, hint="a fault of curveproxy: please report it")

    def notice(self, event: str, **facts: object) -> None:
        self._tell("warning", event, "", **facts)

    def _tell_of_session(self, session: Session, event: str, kind: str, **facts: object) -> None:
        if session.is_probe and not session.messages_in:  # who speaks is no probe, whatever it calls itself
            self._log.debug(event, probe=True, **facts)
        elif self.allow_any:
            self._tell("info", event, kind, **facts)
        else:
            self._log.info(event, **facts)

    def _tell(self, level: str, event: str, kind: str, **facts: object) -> None:
        suppressed = self._limit.allow((event, kind), trio.current_time())
        if suppressed is None:
            return
        if suppressed:
            facts["suppressed"] = suppressed
        getattr(self._log, level)(event, **facts)

    async def summarise(self) -> None:
        """Tell now and then how many lines were suppressed, when none of their kind has come since."""
        while True:
            await trio.sleep(SUMMARY_SECONDS)
            for (event, kind), count in self._limit.pop_suppressed().items():
                self._log.warning("lines suppressed", of=event, kind=kind, suppressed=count)


def _who(session: Session) -> dict[str, object]:
    return {"client": session.client, "peer": session.peer}


def _detail(detail: str) -> dict[str, object]:
    return {"detail": detail} if detail else {}
