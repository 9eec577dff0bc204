"""The figures of several processes as those of one."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from curveproxy.app.observe.aggregate import MetricsAggregate, plain


def figures(sessions: float, refused: float, lag: float) -> list[Any]:
    """What one process tells."""
    registry = CollectorRegistry()
    Gauge("curveproxy_sessions", "Admitted clients", ["service"], registry=registry).labels("orders").set(sessions)
    Counter("curveproxy_handshakes", "Handshakes", ["outcome"], registry=registry).labels("cookie").inc(refused)
    Gauge("curveproxy_event_loop_lag_seconds", "How late the loop wakes", registry=registry).set(lag)
    return plain(registry.collect())


def values(aggregate: MetricsAggregate) -> dict[str, float]:
    return {
        sample.name: sample.value
        for metric in aggregate.metrics
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_counts_are_added_and_of_a_delay_the_worst_is_shown() -> None:
    aggregate = MetricsAggregate()
    aggregate.add(figures(3, 10, 0.5))
    aggregate.add(figures(4, 20, 0.2))
    assert values(aggregate) == {
        "curveproxy_sessions": 7,
        "curveproxy_handshakes_total": 30,
        "curveproxy_event_loop_lag_seconds": 0.5,
    }


def test_what_a_process_that_is_gone_has_counted_stays_and_what_stood_goes() -> None:
    aggregate = MetricsAggregate()
    aggregate.add(figures(3, 10, 0.5), gone=True)
    aggregate.add(figures(4, 20, 0.2))
    assert values(aggregate) == {
        "curveproxy_sessions": 4,
        "curveproxy_handshakes_total": 30,
        "curveproxy_event_loop_lag_seconds": 0.2,
    }


def test_an_aggregate_can_be_added_to_another() -> None:
    inner, outer = MetricsAggregate(), MetricsAggregate()
    inner.add(figures(3, 10, 0.5))
    outer.add(plain(inner.metrics))
    assert values(outer) == values(inner)
