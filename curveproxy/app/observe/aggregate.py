"""The metrics of several processes as those of one.

What a process had counted that has ended stays in the sums: a counter that falls looks like a restart to Prometheus,
which would count it twice.
"""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.metrics_core import Metric

# Metrics of which a sum has no meaning: each process has the same value, or the worst one counts.
JOINED_OTHERWISE: dict[str, Callable[[float, float], float]] = {
    "curveproxy_backend_up": min,
    "curveproxy_build_info": max,
    "curveproxy_client_keys": min,
    "curveproxy_event_loop_lag_seconds": max,
    "curveproxy_own_certificate_expiry_timestamp_seconds": min,
    "curveproxy_reload_success_timestamp_seconds": max,
    "curveproxy_reloads": max,
    "curveproxy_revocations": min,
    "curveproxy_service_info": max,
    "process_start_time_seconds": min,
    "python_info": max,
}
ONLY_GROWING = ("counter", "histogram")

# Metrics in the types of JSON: name, documentation, type and samples, each of those with name, labels and value.
Figures = list[Any]


def _add(one: float, other: float) -> float:
    return one + other


def plain(metrics: Iterable[Metric]) -> Figures:
    """Metrics in the types of JSON."""
    return [
        [each.name, each.documentation, each.type, [[of.name, of.labels, of.value] for of in each.samples]]
        for each in metrics
    ]


class MetricsAggregate:
    """``add`` the metrics of each process; ``metrics`` are the sums."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, dict[tuple[str, tuple[tuple[str, str], ...]], float]]] = {}

    def add(self, figures: Figures, *, gone: bool = False) -> None:
        """Add the metrics of one process. gone: it has ended, so that only what it counted is added."""
        for name, documentation, kind, samples in figures:
            if gone and kind not in ONLY_GROWING:
                continue
            join = JOINED_OTHERWISE.get(name, _add)
            _, _, sums = self._families.setdefault(name, (documentation, kind, {}))
            for sample, labels, value in samples:
                key = sample, tuple(labels.items())
                sums[key] = join(sums[key], value) if key in sums else value

    @property
    def metrics(self) -> list[Metric]:
        found = []
        for name, (documentation, kind, sums) in self._families.items():
            found.append(metric := Metric(name, documentation, kind))
            for (sample, labels), value in sums.items():
                metric.add_sample(sample, dict(labels), value)
        return found
