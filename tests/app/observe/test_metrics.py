"""The promise of the metrics: their names, types and labels, and the pages that show them."""

import http.client
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.figures import service_figures
from support.process import Sidecar, wait_until

from curveproxy.app.observe.metrics import Metrics, ServiceMetrics
from curveproxy.proxy.observer import ServerFigures
from curveproxy.reasons import BackendFailure, CertificateFlaw, ClientFailure, Closed, EgressOutcome, Invalid, Outcome

PROMISED = {
    "curveproxy_build_info": ("gauge", {"version", "codec"}),
    "curveproxy_connections_accepted": ("counter", {"service"}),
    "curveproxy_half_open_connections": ("gauge", {"service"}),
    "curveproxy_half_open_limit": ("gauge", {"service"}),
    "curveproxy_handshakes": ("counter", {"service", "outcome"}),
    "curveproxy_handshake_seconds": ("histogram", {"service"}),
    "curveproxy_sessions": ("gauge", {"service"}),
    "curveproxy_sessions_limit": ("gauge", {"service"}),
    "curveproxy_sessions_closed": ("counter", {"service", "reason"}),
    "curveproxy_session_seconds": ("histogram", {"service"}),
    "curveproxy_messages": ("counter", {"service", "direction"}),
    "curveproxy_message_bytes": ("counter", {"service", "direction"}),
    "curveproxy_throttled_seconds": ("counter", {"service"}),
    "curveproxy_sessions_by_form": ("gauge", {"service", "form"}),
    "curveproxy_records": ("counter", {"service", "direction"}),
    "curveproxy_record_bytes": ("counter", {"service", "direction"}),
    "curveproxy_descriptors_in_use": ("gauge", set()),
    "curveproxy_descriptors_limit": ("gauge", set()),
    "curveproxy_buffered_bytes": ("gauge", set()),
    "curveproxy_buffered_bytes_limit": ("gauge", set()),
    "curveproxy_buffered_waiting": ("gauge", set()),
    "curveproxy_invalid_messages": ("counter", {"service", "reason"}),
    "curveproxy_backend_connect_seconds": ("histogram", {"service"}),
    "curveproxy_backend_failures": ("counter", {"service", "reason"}),
    "curveproxy_backend_up": ("gauge", {"service"}),
    "curveproxy_client_keys": ("gauge", {"service"}),
    "curveproxy_certificates": ("counter", {"service", "result"}),
    "curveproxy_certificate_sessions": ("gauge", {"service", "authority"}),
    "curveproxy_own_certificate_expiry_timestamp_seconds": ("gauge", {"service", "kind"}),
    "curveproxy_revocations": ("gauge", {"service"}),
    "curveproxy_service_info": ("gauge", {"service", "direction"}),
    "curveproxy_server_key_handshakes": ("counter", {"service", "key"}),
    "curveproxy_reloads": ("counter", {"result"}),
    "curveproxy_reload_success_timestamp_seconds": ("gauge", set()),
    "curveproxy_event_loop_lag_seconds": ("gauge", set()),
    "curveproxy_unexpected_errors": ("counter", set()),
    "curveproxy_log_lines_lost": ("counter", set()),
    "curveproxy_half_open_held_back_seconds": ("counter", set()),
    "process_cpu_seconds": ("counter", set()),
    "process_open_fds": ("gauge", set()),
    "process_resident_memory_bytes": ("gauge", set()),
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Sidecar]:
    with Sidecar(backend="tcp://127.0.0.1:1") as running:
        yield running


def test_names_types_and_labels_are_those_that_were_promised(proxy: Sidecar) -> None:
    status, text = proxy.get("/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ours = {name for name in families if name.startswith("curveproxy_")}
    assert ours == {name for name in PROMISED if name.startswith("curveproxy_")}
    for name, (kind, labels) in PROMISED.items():
        assert families[name].type == kind, name
        assert families[name].documentation
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == labels, name


def test_every_reason_has_its_series_from_the_start(proxy: Sidecar) -> None:
    shown = {name: set[str]() for name in ("outcome", "closed", "invalid", "backend", "certificate")}
    for name, labels in proxy.metrics():
        found = dict(labels)
        if name == "curveproxy_handshakes_total":
            shown["outcome"].add(found["outcome"])
        elif name == "curveproxy_sessions_closed_total":
            shown["closed"].add(found["reason"])
        elif name == "curveproxy_invalid_messages_total":
            shown["invalid"].add(found["reason"])
        elif name == "curveproxy_backend_failures_total":
            shown["backend"].add(found["reason"])
        elif name == "curveproxy_certificates_total":
            shown["certificate"].add(found["result"])
    assert shown == {
        "outcome": {str(outcome) for outcome in Outcome},
        "closed": {str(reason) for reason in Closed},
        "invalid": {str(reason) for reason in Invalid},
        "backend": {str(reason) for reason in BackendFailure},
        "certificate": {"valid", "cached", *map(str, CertificateFlaw)},
    }


def test_an_egress_has_the_words_of_its_own_side() -> None:
    metrics = Metrics()
    of_egress = ServiceMetrics(metrics, "out", is_egress=True)
    of_egress.refused(Outcome.MECHANISM)
    of_egress.backend_failed(ClientFailure.WELCOME_CLOSED)
    shown = {name: set[str]() for name in ("outcome", "reason")}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "curveproxy_handshakes_total":
                shown["outcome"].add(sample.labels["outcome"])
            elif sample.name == "curveproxy_backend_failures_total":
                shown["reason"].add(sample.labels["reason"])
    assert shown == {
        "outcome": {str(outcome) for outcome in EgressOutcome},
        "reason": {str(reason) for reason in ClientFailure},
    }


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_each_service_tells_its_direction(direction: str) -> None:
    figures = ServerFigures(services=[service_figures(direction=direction)])
    registry = Metrics(lambda: figures).registry
    labels = {"service": "orders", "direction": direction}
    assert registry.get_sample_value("curveproxy_service_info", labels) == 1


def test_sessions_are_counted_by_form_and_records_by_direction() -> None:
    forms = {"message": 3, "xsalsa20-poly1305": 0, "aegis-256": 2}
    counts = {"records_in": 1, "records_out": 2, "record_octets_in": 30, "record_octets_out": 40}
    figures = ServerFigures(services=[service_figures(by_form=forms, **counts)])
    value = Metrics(lambda: figures).registry.get_sample_value
    shown = {form: value("curveproxy_sessions_by_form", {"service": "orders", "form": form}) for form in forms}
    assert shown == forms
    for direction, records, octets in (("in", 1, 30), ("out", 2, 40)):
        labels = {"service": "orders", "direction": direction}
        assert value("curveproxy_records_total", labels) == records
        assert value("curveproxy_record_bytes_total", labels) == octets


def test_certificates_are_counted_by_authority_and_ours_have_an_end() -> None:
    given = {
        "certificate_sessions": {"plant-1": 3, "plant-2": 0},
        "revocations": 5,
        "own_certificates": {"server": 1796276400.0},
    }
    figures = ServerFigures(services=[service_figures(**given), service_figures(name="plain")])
    found = {
        (sample.name.removeprefix("curveproxy_"), *sample.labels.values()): sample.value
        for family in Metrics(lambda: figures).registry.collect()
        for sample in family.samples
        if "certificate" in sample.name or "revocations" in sample.name
    }
    assert found == {
        ("certificate_sessions", "orders", "plant-1"): 3,
        ("certificate_sessions", "orders", "plant-2"): 0,
        ("own_certificate_expiry_timestamp_seconds", "orders", "server"): 1796276400,
        ("revocations", "orders"): 5,
        ("revocations", "plain"): 0,
    }


def test_the_backend_is_neither_up_nor_down_before_the_first_dial(proxy: Sidecar) -> None:
    assert not [labels for name, labels in proxy.metrics() if name == "curveproxy_backend_up"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/", 200),
        ("/nowhere", 404),
        ("/metrics/", 404),
        ("/readyz?x=1", 200),
    ],
)
def test_pages_answer_without_a_redirect(proxy: Sidecar, path: str, status: int) -> None:
    host, _, port = proxy.admin.removeprefix("http://").partition(":")
    for method in ("GET", "HEAD"):
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == status
        assert method == "GET" or body == b""


def test_openmetrics_is_spoken_to_who_asks_for_it(proxy: Sidecar) -> None:
    host, _, port = proxy.admin.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_page_holds_a_bounded_number_of_connections_and_goes_on_after(proxy: Sidecar) -> None:
    host, _, port = proxy.admin.removeprefix("http://").partition(":")
    idle = [http.client.HTTPConnection(host, int(port), timeout=10) for _ in range(60)]
    before = proxy.fds()
    for connection in idle:
        connection.connect()
    # The rest waits in the backlog, at no cost of descriptors.
    assert proxy.fds() <= before + 33
    for connection in idle:
        connection.close()
    wait_until(proxy.ready, "the page answers again", 20)
