"""What Prometheus reads. The names are a promise; ``tests/app/observe/test_metrics.py`` holds the list.

Events are counted here as they happen; sessions, limits and traffic are read from the figures at each scrape. No label
holds anything that a peer controls.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import trio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from curveproxy import __version__
from curveproxy.app.observe.log import lost_lines
from curveproxy.policy.access.access_list import CACHED, VALID
from curveproxy.proxy.observer import ServerFigures, ServiceFigures, SessionView
from curveproxy.reasons import (
    BackendFailure,
    CertificateFlaw,
    ClientFailure,
    Closed,
    DialFailure,
    EgressOutcome,
    Invalid,
    Outcome,
)
from curveproxy.wire.codec.select import CODEC

HANDSHAKE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DIAL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SESSION_BUCKETS = (0.1, 1, 10, 60, 300, 1800, 3600, 21600, 86400, 604800)

LAG_PERIOD = 1.0


class Metrics:
    """All metrics of one process, in a registry of their own.

    figures: of the server in this process; all are 0 in a process without one.
    """

    def __init__(self, figures: Callable[[], ServerFigures] = ServerFigures) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter, which nobody asks for
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        label, reason = ["service"], ["service", "reason"]
        build = Gauge("curveproxy_build_info", "What is running", ["version", "codec"], registry=registry)
        build.labels(__version__, CODEC).set(1)
        self.accepted = Counter("curveproxy_connections_accepted", "Connections accepted", label, registry=registry)
        self.handshakes = Counter(
            "curveproxy_handshakes", "Handshakes by their outcome", ["service", "outcome"], registry=registry
        )
        self.handshake_seconds = Histogram(
            "curveproxy_handshake_seconds",
            "From accept to READY",
            label,
            registry=registry,
            buckets=HANDSHAKE_BUCKETS,
        )
        self.closed = Counter("curveproxy_sessions_closed", "Sessions that ended, by reason", reason, registry=registry)
        self.session_seconds = Histogram(
            "curveproxy_session_seconds",
            "How long sessions lasted",
            label,
            registry=registry,
            buckets=SESSION_BUCKETS,
        )
        self.certificates = Counter(
            "curveproxy_certificates",
            "Certificates of clients that were judged, by what was found: valid, cached, or a flaw",
            ["service", "result"],
            registry=registry,
        )
        self.invalid = Counter(
            "curveproxy_invalid_messages", "Invalid frames after the handshake", reason, registry=registry
        )
        self.dial_seconds = Histogram(
            "curveproxy_backend_connect_seconds", "Dial and greeting", label, registry=registry, buckets=DIAL_BUCKETS
        )
        self.backend_failures = Counter(
            "curveproxy_backend_failures", "Dials that failed, by reason", reason, registry=registry
        )
        self.server_keys = Counter(
            "curveproxy_server_key_handshakes",
            "Clients admitted, by the server key that they were given",
            ["service", "key"],
            registry=registry,
        )
        self.reloads = Counter(
            "curveproxy_reloads", "Changed files that were taken, or not", ["result"], registry=registry
        )
        self.reloaded = Gauge(
            "curveproxy_reload_success_timestamp_seconds", "When changed files were last taken", registry=registry
        )
        self.reload(success=True)
        self.lag = Gauge("curveproxy_event_loop_lag_seconds", "How late the loop wakes", registry=registry)
        self.unexpected = Counter(
            "curveproxy_unexpected_errors", "Errors of ours that ended a connection", registry=registry
        )
        registry.register(_FiguresCollector(figures))

    async def collect(self) -> Iterable[Metric]:
        """All metrics, as they are now."""
        return self.registry.collect()

    def reload(self, *, success: bool) -> None:
        """Count a change of files, which was applied or not. The start is the first."""
        self.reloads.labels("failure").inc(not success)
        self.reloads.labels("success").inc(success)
        if success:
            self.reloaded.set_to_current_time()

    def count_unexpected(self) -> None:
        """Count an error of ours."""
        self.unexpected.inc()

    async def measure_lag(self) -> None:
        """Measure for ever how late a sleeping task wakes."""
        while True:
            due = trio.current_time() + LAG_PERIOD
            await trio.sleep_until(due)
            self.lag.set(max(0.0, trio.current_time() - due))


class ServiceMetrics:
    """The events of one service, counted. All its series exist from the start.

    is_egress: it has the outcomes of ``EgressOutcome``, and its remotes fail as ``ClientFailure`` says.
    """

    def __init__(self, metrics: Metrics, name: str, *, is_egress: bool = False) -> None:
        self._name = name
        self._keys: dict[bytes, Counter] = {}
        self._names: set[str] = set()
        self._accepted = metrics.accepted.labels(name)
        outcomes: Iterable[str] = EgressOutcome if is_egress else Outcome
        self._all_handshakes, self._all_failures = metrics.handshakes, metrics.backend_failures
        self._handshakes = {outcome: metrics.handshakes.labels(name, outcome) for outcome in outcomes}
        self._handshake_seconds = metrics.handshake_seconds.labels(name)
        self._closed = {reason: metrics.closed.labels(name, reason) for reason in Closed}
        self._session_seconds = metrics.session_seconds.labels(name)
        results = () if is_egress else (VALID, CACHED, *CertificateFlaw)
        self._certificates = {result: metrics.certificates.labels(name, result) for result in results}
        self._invalid = {reason: metrics.invalid.labels(name, reason) for reason in Invalid}
        self._dial_seconds = metrics.dial_seconds.labels(name)
        for reason in ClientFailure if is_egress else BackendFailure:
            metrics.backend_failures.labels(name, reason)
        self._unexpected = metrics.unexpected
        self._server_keys = metrics.server_keys

    def server_keys(self, names: Mapping[bytes, str]) -> None:
        for former in self._names - set(names.values()):
            self._server_keys.remove(self._name, former)  # its series would never change again
        self._names = set(names.values())
        self._keys = {key: self._server_keys.labels(self._name, name) for key, name in names.items()}

    def accepted(self) -> None:
        self._accepted.inc()

    def refused(self, outcome: Outcome) -> None:
        counter = self._handshakes.get(outcome) or self._all_handshakes.labels(self._name, outcome)
        counter.inc()

    def certificate_judged(self, result: str) -> None:
        self._certificates[result].inc()

    def admitted(self, session: SessionView, seconds: float) -> None:
        if (key := self._keys.get(session.server_key)) is not None:  # else it was removed at this moment
            key.inc()
        self._handshakes[Outcome.ADMITTED].inc()
        self._handshake_seconds.observe(seconds)

    def closed(self, session: SessionView, reason: Closed) -> None:
        self._closed[reason].inc()
        self._session_seconds.observe(session.seconds)

    def invalid(self, reason: Invalid, count: int = 1) -> None:
        self._invalid[reason].inc(count)

    def backend_up(self, seconds: float) -> None:
        self._dial_seconds.observe(seconds)

    def backend_failed(self, reason: DialFailure) -> None:
        self._all_failures.labels(self._name, reason).inc()

    def unexpected(self) -> None:
        self._unexpected.inc()


class _FiguresCollector(Collector):
    """A collector of what is read at each scrape."""

    def __init__(self, figures: Callable[[], ServerFigures]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures()
        yield from _of_server(figures)
        yield from _of_services(figures.services)


def _of_server(figures: ServerFigures) -> Iterable[Metric]:
    def gauge(name: str, text: str, value: float) -> Metric:
        return GaugeMetricFamily(f"curveproxy_{name}", text, value=value)

    yield gauge("buffered_bytes", "Octets that the sessions hold", figures.buffered)
    yield gauge("buffered_bytes_limit", "How many there may be, infinite without a ceiling", figures.buffered_limit)
    yield gauge("buffered_waiting", "Ways of sessions that wait for memory", figures.buffered_waiting)
    yield gauge(
        "descriptors_in_use",
        "Descriptors of all connections: one each half-open, two each session, and a reserve for all else",
        figures.descriptors,
    )
    yield gauge("descriptors_limit", "How many the process may have, all services together", figures.descriptors_limit)
    yield CounterMetricFamily(
        "curveproxy_half_open_held_back_seconds",
        "How long connections without an outcome waited because sessions had work, and they had had their share",
        value=figures.half_open_held_back,
    )
    yield CounterMetricFamily(
        "curveproxy_log_lines_lost", "Lines of the log that could not be written", value=lost_lines()
    )


def _of_services(services: Sequence[ServiceFigures]) -> Iterable[Metric]:
    def gauge(name: str, text: str, value: Callable[[ServiceFigures], float | None]) -> Metric:
        family = GaugeMetricFamily(f"curveproxy_{name}", text, labels=["service"])
        for service in services:
            if (found := value(service)) is not None:
                family.add_metric([service.name], found)
        return family

    yield gauge("half_open_connections", "Connections without an outcome", lambda s: s.half_open)
    yield gauge("half_open_limit", "How many there may be", lambda s: s.half_open_limit)
    yield gauge("sessions", "Admitted clients", lambda s: s.sessions)
    yield gauge("sessions_limit", "How many there may be", lambda s: s.sessions_limit)
    # Where any key is let in there is no list, which is another thing than an empty one.
    yield gauge("client_keys", "Keys on the list", lambda s: s.client_keys)
    yield gauge("revocations", "Lines of the revocation list in force", lambda s: s.revocations)
    yield gauge("backend_up", "Whether the last dial worked", lambda s: s.backend_up)
    labels = ["service", "direction"]
    info = GaugeMetricFamily(
        "curveproxy_service_info", "Each service: ingress, or egress whose remotes are its backend", labels=labels
    )
    messages = CounterMetricFamily("curveproxy_messages", "Whole messages relayed", labels=labels)
    octets = CounterMetricFamily("curveproxy_message_bytes", "Plain octets of messages relayed", labels=labels)
    forms = GaugeMetricFamily(
        "curveproxy_sessions_by_form", "Sessions, by how their messages are sealed", labels=["service", "form"]
    )
    records = CounterMetricFamily("curveproxy_records", "Records that went to or came from others", labels=labels)
    record_octets = CounterMetricFamily("curveproxy_record_bytes", "Octets of records on the wire", labels=labels)
    certified = GaugeMetricFamily(
        "curveproxy_certificate_sessions",
        "Sessions by a certificate, by the file of its authority",
        labels=["service", "authority"],
    )
    own = GaugeMetricFamily(
        "curveproxy_own_certificate_expiry_timestamp_seconds",
        "When the first of our own keys has no valid certificate any more, by their kind: server, or client of remotes",
        labels=["service", "kind"],
    )
    throttled = CounterMetricFamily(
        "curveproxy_throttled_seconds", "How long ways of sessions were not read, for a limit", labels=["service"]
    )
    for service in services:
        info.add_metric([service.name, service.direction], 1)
        messages.add_metric([service.name, "in"], service.messages_in)
        messages.add_metric([service.name, "out"], service.messages_out)
        octets.add_metric([service.name, "in"], service.octets_in)
        octets.add_metric([service.name, "out"], service.octets_out)
        for form, count in service.by_form.items():
            forms.add_metric([service.name, form], count)
        records.add_metric([service.name, "in"], service.records_in)
        records.add_metric([service.name, "out"], service.records_out)
        record_octets.add_metric([service.name, "in"], service.record_octets_in)
        record_octets.add_metric([service.name, "out"], service.record_octets_out)
        throttled.add_metric([service.name], service.throttled_seconds)
        for authority, count in service.certificate_sessions.items():
            certified.add_metric([service.name, authority], count)
        for kind, until in service.own_certificates.items():
            own.add_metric([service.name, kind], until)
    yield info
    yield messages
    yield octets
    yield forms
    yield records
    yield record_octets
    yield throttled
    yield certified
    yield own
