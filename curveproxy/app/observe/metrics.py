"""What Prometheus reads. The names are a promise; ``tests/app/observe/test_metrics.py`` holds the list.

What happens is counted here when it is told; what stands (sessions, limits, traffic) is read from the services when
somebody asks. No label holds anything that a peer controls.
"""

from collections.abc import Callable, Iterable, Mapping

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

from curveproxy import __version__
from curveproxy.app.observe import log as logs
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.service import Service
from curveproxy.reasons import BackendFailure, Closed, Invalid, Outcome
from curveproxy.wire.codec.select import CODEC

HANDSHAKE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DIAL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SESSION_BUCKETS = (0.1, 1, 10, 60, 300, 1800, 3600, 21600, 86400, 604800)

LAG_PERIOD = 1.0


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
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
        self._buffered = Gauge("curveproxy_buffered_bytes", "Octets that the sessions hold", registry=registry)
        self._buffered_limit = Gauge(
            "curveproxy_buffered_bytes_limit", "How many there may be, infinite without a ceiling", registry=registry
        )
        self._buffered_waiting = Gauge(
            "curveproxy_buffered_waiting", "Ways of sessions that wait for memory", registry=registry
        )
        self._descriptors = Gauge(
            "curveproxy_descriptors_in_use",
            "Descriptors of all connections: one each half-open, two each session, and a reserve for all else",
            registry=registry,
        )
        self._descriptors_limit = Gauge(
            "curveproxy_descriptors_limit", "How many the process may have, all services together", registry=registry
        )
        self._services = _Standing()
        registry.register(self._services)

    async def collect(self) -> Iterable[Metric]:
        """All of them, as they are now."""
        return self.registry.collect()

    def watch_buffers(self, buffers: BufferPool) -> None:
        """Show what they hold from now on."""
        self._buffered.set_function(lambda: buffers.held)
        self._buffered_limit.set_function(lambda: buffers.limit)
        self._buffered_waiting.set_function(lambda: buffers.waiting)

    def watch_descriptors(self, descriptors: Capacity) -> None:
        """Show how many there are, and may be, from now on."""
        self._descriptors.set_function(lambda: descriptors.in_use)
        self._descriptors_limit.set(descriptors.limit)

    def watch(self, service: Service) -> None:
        """Show a service's standing figures from now on."""
        self._services.services.append(service)

    def forget(self, service: Service) -> None:
        """Show them no longer."""
        self._services.services.remove(service)

    def reload(self, *, success: bool) -> None:
        """Files have changed, and were taken or not. The start is the first time."""
        self.reloads.labels("failure").inc(not success)
        self.reloads.labels("success").inc(success)
        if success:
            self.reloaded.set_to_current_time()

    async def measure_lag(self) -> None:
        """Sleep, and see how late we wake."""
        while True:
            due = trio.current_time() + LAG_PERIOD
            await trio.sleep_until(due)
            self.lag.set(max(0.0, trio.current_time() - due))


class ServiceMetrics:
    """One service's reader of what the proxy tells (``proxy/observer.py``). All its series exist from the start."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._all, self._name = metrics, name
        self._keys: dict[bytes, Counter] = {}
        self._names: set[str] = set()
        self._accepted = metrics.accepted.labels(name)
        self._handshakes = {outcome: metrics.handshakes.labels(name, outcome) for outcome in Outcome}
        self._handshake_seconds = metrics.handshake_seconds.labels(name)
        self._closed = {reason: metrics.closed.labels(name, reason) for reason in Closed}
        self._session_seconds = metrics.session_seconds.labels(name)
        self._invalid = {reason: metrics.invalid.labels(name, reason) for reason in Invalid}
        self._dial_seconds = metrics.dial_seconds.labels(name)
        self._backend_failures = {reason: metrics.backend_failures.labels(name, reason) for reason in BackendFailure}
        self._unexpected = metrics.unexpected

    def server_keys(self, names: Mapping[bytes, str]) -> None:
        for former in self._names - set(names.values()):
            self._all.server_keys.remove(self._name, former)  # nobody waits for its last client any more
        self._names = set(names.values())
        self._keys = {key: self._all.server_keys.labels(self._name, name) for key, name in names.items()}

    def accepted(self) -> None:
        self._accepted.inc()

    def refused(self, outcome: Outcome) -> None:
        self._handshakes[outcome].inc()

    def admitted(self, session: Session, seconds: float) -> None:
        if (key := self._keys.get(session.server_key)) is not None:  # else it was removed at this moment
            key.inc()
        self._handshakes[Outcome.ADMITTED].inc()
        self._handshake_seconds.observe(seconds)

    def closed(self, session: Session, reason: Closed) -> None:
        self._closed[reason].inc()
        self._session_seconds.observe(session.seconds)

    def invalid(self, reason: Invalid) -> None:
        self._invalid[reason].inc()

    def backend_up(self, seconds: float) -> None:
        self._dial_seconds.observe(seconds)

    def backend_failed(self, reason: BackendFailure) -> None:
        self._backend_failures[reason].inc()

    def unexpected(self) -> None:
        self._unexpected.inc()


class _Standing:
    """A collector of what stands, read at the moment of the scrape."""

    def __init__(self) -> None:
        self.services: list[Service] = []

    def collect(self) -> Iterable[Metric]:
        def gauge(name: str, text: str, value: Callable[[Service], float | None]) -> Metric:
            family = GaugeMetricFamily(name, text, labels=["service"])
            for service in self.services:
                if (found := value(service)) is not None:
                    family.add_metric([service.settings.name], found)
            return family

        yield gauge("curveproxy_half_open_connections", "Connections without an outcome", lambda s: s.half_open)
        yield gauge("curveproxy_half_open_limit", "How many there may be", lambda s: s.half_open_limit)
        yield gauge("curveproxy_sessions", "Admitted clients", lambda s: len(s.sessions))
        yield gauge("curveproxy_sessions_limit", "How many there may be", lambda s: s.sessions_limit)
        # Where everybody may come there is no list, which is another thing than an empty one.
        yield gauge(
            "curveproxy_client_keys",
            "Keys on the list",
            lambda s: None if s.clients.allow_any else len(s.clients.names),
        )
        yield gauge("curveproxy_backend_up", "Whether the last dial worked", lambda s: s.backend_up)
        yield CounterMetricFamily(
            "curveproxy_log_lines_lost", "Lines of the log that could not be written", value=logs.lost()
        )
        messages = CounterMetricFamily("curveproxy_messages", "Whole messages relayed", labels=["service", "direction"])
        octets = CounterMetricFamily(
            "curveproxy_message_bytes", "Plain octets of messages relayed", labels=["service", "direction"]
        )
        throttled = CounterMetricFamily(
            "curveproxy_throttled_seconds", "How long ways of sessions were not read, for a limit", labels=["service"]
        )
        for service in self.services:
            name, traffic = service.settings.name, service.traffic
            messages.add_metric([name, "in"], traffic.messages_in)
            messages.add_metric([name, "out"], traffic.messages_out)
            octets.add_metric([name, "in"], traffic.octets_in)
            octets.add_metric([name, "out"], traffic.octets_out)
            throttled.add_metric([name], service.throttle.seconds)
        yield messages
        yield octets
        yield throttled
