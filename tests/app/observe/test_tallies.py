"""What is counted as plain numbers is shown as ``prometheus_client`` shows its own."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from curveproxy.app.observe.tallies import Spreads, Tallies

BOUNDS = (0.001, 0.5, 1, 10)
LABELS = ["service", "reason"]
values = st.sampled_from(["", 'a "b"\n', "c"])


@given(st.lists(st.tuples(values, values, st.integers(0, 10**9)), max_size=20))
def test_a_counter_is_shown_as_theirs(events: list[tuple[str, str, int]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallies, counter = Tallies("n", "How often", LABELS, ours), Counter("n", "How often", LABELS, registry=theirs)
    for service, reason, more in events:
        tallies.labels(service, reason).inc(more)
        counter.labels(service, reason).inc(more)
    assert generate_latest(ours) == generate_latest(theirs)


@given(st.lists(st.tuples(values, st.floats(0, 100) | st.sampled_from(BOUNDS)), max_size=20))
def test_a_histogram_is_shown_as_theirs(events: list[tuple[str, float]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spreads = Spreads("t", "How long", ["service"], ours, BOUNDS)
    histogram = Histogram("t", "How long", ["service"], registry=theirs, buckets=BOUNDS)
    for service, seconds in events:
        spreads.labels(service).observe(seconds)
        histogram.labels(service).observe(seconds)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_series_is_there_when_it_was_asked_for_and_gone_when_it_was_removed() -> None:
    registry = CollectorRegistry()
    tallies = Tallies("n", "How often", ["service"], registry)
    tallies.labels("a")
    assert registry.get_sample_value("n_total", {"service": "a"}) == 0
    assert tallies.labels("a") is tallies.labels("a")
    tallies.remove("a")
    assert registry.get_sample_value("n_total", {"service": "a"}) is None
