"""What happens to a service: each event is counted, kept in the history, and logged where an operator wants to read it.

Outcomes, reasons and hints are those of ``reasons``. Lines that anybody can cause are limited in their rate here.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial

import trio

from curveproxy.app.observe.clock import WallClock
from curveproxy.app.observe.hints import hint_of
from curveproxy.app.observe.history import JUMPED, NO_FAILURE, RIVALS, EventHistory
from curveproxy.app.observe.log import Log
from curveproxy.app.observe.metrics import Metrics, ServiceMetrics
from curveproxy.policy.log_limit import LogLimit
from curveproxy.proxy.observer import SessionView
from curveproxy.reasons import ClockJump, Closed, DialFailure, EgressOutcome, Invalid, Outcome
from curveproxy.wire.codec.suites import MESSAGE
from curveproxy.wire.timestamp import write_time

# Of each kind of line that anybody can cause: how many at once, and how many a second from then on.
BURST = 10
LINES_PER_SECOND = 0.5
SUMMARY_SECONDS = 10.0
# How often the wall clock is looked at.
CLOCK_SECONDS = 5.0
FAULT = "a fault of curveproxy: please report it"

# What stands in a line of the log behind its event.
Facts = dict[str, object]

# What the outcomes of an egress mean.
OF_EGRESS: Mapping[str, EgressOutcome] = {str(outcome): outcome for outcome in EgressOutcome}


class ServiceObserver:
    """Metrics, history and log of one service (``proxy/observer.py``).

    is_egress: its clients are local and speak no CURVE, so that an outcome means something else.
    """

    def __init__(self, service: str, metrics: Metrics, log: Log, *, is_egress: bool = False) -> None:
        self._log = log.bind(service=service)
        self._metrics = ServiceMetrics(metrics, service, is_egress=is_egress)
        self._is_egress = is_egress
        self.history = EventHistory()
        self._limit, self._allow_any = LogLimit(BURST, LINES_PER_SECOND), False
        self._clock = WallClock()

    def configure(self, server_keys: Mapping[bytes, str], *, allow_any: bool) -> None:
        """Set the server's public keys with their names for the metrics.

        allow_any: any key is let in, so that lines about sessions are limited in their rate too.
        """
        self._metrics.server_keys(server_keys)
        self._allow_any = allow_any

    def accepted(self) -> None:
        self._metrics.accepted()

    def refused(self, outcome: Outcome, peer: str, detail: str = "", client: str = "") -> None:
        self._metrics.refused(outcome)
        meant = OF_EGRESS.get(outcome, outcome) if self._is_egress else outcome
        self.history.add("client refused", meant, peer, detail)
        if outcome == Outcome.CLIENT_UNKNOWN and not self._is_egress:
            self.history.add_unknown(client, peer)

        def facts() -> Facts:
            who = {"client": client} if client else {}
            return {"outcome": str(outcome), **who, "peer": peer, **_detail(detail), "hint": hint_of(meant, detail)}

        if outcome in NO_FAILURE:  # no warning, and not counted among suppressed lines
            self._log.debug("client refused", **facts())
        else:
            self._log_limited(self._log.warning, "client refused", facts, kind=outcome)

    def certificate_judged(self, result: str) -> None:
        self._metrics.certificate_judged(result)

    def admitted(self, session: SessionView, seconds: float) -> None:
        self._metrics.admitted(session, seconds)
        self.history.add("session opened", Outcome.ADMITTED, session.peer)
        self._log_session(session, "session opened", lambda: _opened(session, seconds))

    def closed(self, session: SessionView, reason: Closed) -> None:
        self._metrics.closed(session, reason)
        self.history.add("session closed", reason, session.peer)
        self._log_session(session, "session closed", lambda: _closed(session, reason), kind=reason)

    def invalid(self, session: SessionView, reason: Invalid, detail: str = "") -> None:
        self._metrics.invalid(reason)
        self.history.add("invalid message", reason, session.peer, detail)

        def facts() -> Facts:
            return {"reason": str(reason), **_who(session), **_detail(detail), "hint": reason.hint}

        self._log_limited(self._log.warning, "invalid message", facts, kind=reason)

    def repeated(self, reason: Invalid, count: int) -> None:
        self._metrics.invalid(reason, count)

    def backend_up(self, seconds: float) -> None:
        self._metrics.backend_up(seconds)

    def backend_failed(self, reason: DialFailure, detail: str = "") -> None:
        self._metrics.backend_failed(reason)
        self.history.add("backend failed", reason, detail=detail)

        def facts() -> Facts:
            return {"reason": str(reason), **_detail(detail), "hint": hint_of(reason, detail)}

        self._log_limited(self._log.warning, "backend failed", facts, kind=reason)

    def rivals(self, session: SessionView) -> None:
        self.history.add(RIVALS, Closed.REPLACED, session.peer, session.client)
        self._log_limited(self._log.warning, RIVALS, lambda: _who(session) | {"hint": Closed.REPLACED.hint})

    def unexpected(self, error: BaseException) -> None:
        self._metrics.unexpected()
        self.history.add("unexpected error", Outcome.INTERNAL)
        self._log_limited(self._log.error, "unexpected error", lambda: {"exc_info": error, "hint": FAULT})

    def notice(self, event: str, **facts: object) -> None:
        self._log_limited(self._log.warning, event, lambda: facts)

    def _log_session(self, session: SessionView, event: str, facts: Callable[[], Facts], *, kind: str = "") -> None:
        if not self._log.is_enabled_for(logging.INFO):
            return  # nor is it counted among suppressed lines
        if session.is_probe and not session.messages_in:  # a client that sends messages is no probe, whatever it says
            self._log.debug(event, probe=True, **facts())
        elif self._allow_any:
            self._log_limited(self._log.info, event, facts, kind=kind)
        else:
            self._log.info(event, **facts())

    def _log_limited(
        self, log: Callable[..., object], event: str, facts: Callable[[], Facts], *, kind: str = ""
    ) -> None:
        """facts: are made only for a line that is written: in a flood most are not."""
        suppressed = self._limit.allow((event, kind), trio.current_time())
        if suppressed is not None:
            log(event, **facts(), **({"suppressed": suppressed} if suppressed else {}))

    async def summarise(self) -> None:
        """Log now and then how many lines were suppressed, if none of their kind has followed."""
        while True:
            await trio.sleep(SUMMARY_SECONDS)
            for (event, kind), count in self._limit.pop_suppressed().items():
                self._log.warning("lines suppressed", of=event, kind=kind, suppressed=count)

    async def watch_clock(self, skew: Callable[[], float | None]) -> None:
        """Warn for ever when the wall clock was set by more than clocks may differ.

        skew: in seconds; None while nothing is judged by that clock.
        """
        while True:
            await trio.sleep(CLOCK_SECONDS)
            most = skew()
            by = self._clock.jump(most or 0.0)
            if most is None or not by:
                continue
            reason, detail = ClockJump.FORWARD if by > 0 else ClockJump.BACK, f"by {by:+.0f} s"
            self.history.add(JUMPED, reason, detail=detail)
            facts: Callable[[], Facts] = partial(dict, reason=str(reason), detail=detail, hint=reason.hint)
            self._log_limited(self._log.warning, JUMPED, facts, kind=reason)


def _who(session: SessionView) -> Facts:
    return {"client": session.client, "peer": session.peer}


def _opened(session: SessionView, seconds: float) -> Facts:
    facts = _who(session) | {"socket_type": session.socket_type, "handshake_seconds": round(seconds, 6)}
    if session.form != MESSAGE:
        facts["records"] = session.form
    return facts | _certificate(session)


def _closed(session: SessionView, reason: Closed) -> Facts:
    facts = {"reason": str(reason)} | _who(session)
    facts |= {
        "seconds": round(session.seconds, 3),
        "messages_in": session.messages_in,
        "bytes_in": session.octets_in,
        "messages_out": session.messages_out,
        "bytes_out": session.octets_out,
    }
    return facts | ({"hint": reason.hint} if reason.hint else {})


def _certificate(session: SessionView) -> Facts:
    """The client's certificate, of one that has come in by it."""
    if session.until is None:
        return {}
    return {"certificate": session.serial, "authority": session.authority, "until": write_time(session.until)}


def _detail(detail: str) -> Facts:
    return {"detail": detail} if detail else {}
