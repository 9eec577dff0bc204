"""The figures of several processes as those of one.

What one counted that is gone stays in the sums: a counter that fell would look to Prometheus like a restart, and be
counted twice.
"""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.metrics_core import Metric

# Where a sum would tell nothing: each process knows the same, or the worst is what counts.
OTHERS: dict[str, Callable[[float, float], float]] = {
    "curveproxy_backend_up": min,
    "curveproxy_build_info": max,
    "curveproxy_client_keys": min,
    "curveproxy_event_loop_lag_seconds": max,
    "curveproxy_reload_success_timestamp_seconds": max,
    "curveproxy_reloads": max,
    "process_start_time_seconds": min,
    "python_info": max,
}
ONLY_GROWING = ("counter", "histogram")


def _add(one: float, other: float) -> float:
    return one + other


def told(metrics: Iterable[Metric]) -> list[Any]:
    """Metrics in the types of JSON."""
    return [
        [each.name, each.documentation, each.type, [[of.name, of.labels, of.value] for of in each.samples]]
        for each in metrics
    ]


class MetricsAggregate:
    """Figures of processes. ``add`` those of each; ``metrics`` are those of all."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, dict[tuple[str, tuple[tuple[str, str], ...]], float]]] = {}

    def add(self, figures: Iterable[Any], *, gone: bool = False) -> None:
        """Add what ``told`` made. gone: of a process that is no more, so that only what it counted is of interest."""
        for name, documentation, kind, samples in figures:
            if gone and kind not in ONLY_GROWING:
                continue
            join = OTHERS.get(name, _add)
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

    def told(self) -> list[Any]:
        """As ``told`` makes it."""
        return told(self.metrics)
