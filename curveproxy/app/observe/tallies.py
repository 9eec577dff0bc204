"""Events counted as plain numbers, for the registry of ``prometheus_client``.

Its own counters are made for many threads: each event takes a lock and a dozen calls. Ours are told in one thread.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import inf
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Tally:
    """How often something has happened."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def inc(self, more: int = 1) -> None:
        self.number += more


class Spread:
    """How long something has taken each time. numbers: how often up to each bound, and beyond the one before it."""

    __slots__ = ("_bounds", "numbers", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.numbers, self.seconds = [0] * len(bounds), 0.0

    def observe(self, seconds: float) -> None:
        self.numbers[bisect_left(self._bounds, seconds)] += 1
        self.seconds += seconds


Kept = TypeVar("Kept", Tally, Spread)


class _Series(Collector, Generic[Kept]):
    """One for each combination of labels, from the first time that it is asked for."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry, make: Callable[[], Kept]
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._make: Callable[[], Kept] = make
        self._kept: dict[tuple[str, ...], Kept] = {}
        registry.register(self)

    def labels(self, *values: str) -> Kept:
        if (kept := self._kept.get(values)) is None:
            kept = self._kept[values] = self._make()
        return kept

    def remove(self, *values: str) -> None:
        """Show it no longer."""
        del self._kept[values]


class Tallies(_Series[Tally]):
    """A counter, one for each combination of labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        super().__init__(name, text, labels, registry, Tally)

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, tally in self._kept.items():
            family.add_metric(values, tally.number)
        yield family


class Spreads(_Series[Spread]):
    """A histogram, one for each combination of labels. bounds: of its buckets, ascending, without infinity."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry, bounds: Sequence[float]
    ) -> None:
        self.bounds, with_all = bounds, (*bounds, inf)
        self._buckets = [str(floatToGoString(bound)) for bound in with_all]  # type: ignore[no-untyped-call]
        super().__init__(name, text, labels, registry, lambda: Spread(with_all))

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, spread in self._kept.items():
            buckets = list(zip(self._buckets, accumulate(spread.numbers), strict=True))
            family.add_metric(values, buckets, spread.seconds)
        yield family
