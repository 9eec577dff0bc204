"""What a probe shows of what it found out."""

import json

import pytest
from rich.console import Console

from curveproxy.app.commands.probe_report import Failure, Report, Step, conclude, show_step
from curveproxy.reasons import CertificateFlaw, ClientFailure, Outcome

STEP = Step("connect", 0.0015, "127.0.0.1:1")
REFUSED = Failure("ready", 0.25, ClientFailure.REFUSED, "400")


def shown(report: Report, *, fresh_key: bool = False) -> str:
    console = Console(width=200, highlight=False, soft_wrap=True, markup=False)
    with console.capture() as capture:
        for step in report.steps:
            show_step(console, step)
        conclude(console, report, fresh_key=fresh_key)
    return capture.get()


def test_json_holds_all_that_was_found() -> None:
    found = json.loads(Report("tcp://host:1", "REQ", "key", [STEP], {"Identity": ""}).as_json())
    assert found == {
        "endpoint": "tcp://host:1",
        "socket_type": "REQ",
        "client_key": "key",
        "steps": [{"step": "connect", "seconds": 0.0015, "detail": "127.0.0.1:1"}],
        "properties": {"Identity": ""},
        "failure": None,
        "records": "",
        "ok": True,
    }


@pytest.mark.parametrize("failure", [REFUSED, Failure("ready", 1.0, Outcome.SESSIONS_LIMIT)])
def test_a_failure_has_its_cause_and_its_remedy(failure: Failure) -> None:
    report = Report("tcp://host:1", "REQ", "key", [STEP], {}, failure)
    found = json.loads(report.as_json())
    assert not found["ok"]
    assert found["failure"]["reason"] == failure.reason
    assert found["failure"]["remedy"] == failure.reason.remedy
    assert found["failure"]["cause"].startswith(failure.reason.cause)
    assert failure.cause in shown(report)
    assert failure.remedy in shown(report)


def test_of_a_certificate_the_flaw_has_cause_and_remedy() -> None:
    failure = Failure("certificate", 0.1, ClientFailure.CERTIFICATE_EXPIRED, "expired: its clock or ours")
    text = shown(Report("tcp://host:1", "REQ", "key", [STEP], {}, failure))
    assert f"{CertificateFlaw.EXPIRED.cause} (expired: its clock or ours)" in text
    assert CertificateFlaw.EXPIRED.remedy in text


def test_steps_are_lines_with_their_milliseconds() -> None:
    text = shown(Report("tcp://host:1", "REQ", "key", [STEP], {"Socket-Type": "REP"}))
    assert "connect        1.5 ms  127.0.0.1:1" in text
    assert "Socket-Type: REP" in text
    assert text.endswith("it is let in\n")


def test_a_step_with_a_long_name_stands_in_the_same_columns() -> None:
    steps = [STEP, Step("certificate", 0.0013, "orders, until 2027-02-24"), Step("certificate", 10.0, "late")]
    lines = shown(Report("tcp://host:1", "REQ", "key", steps)).splitlines()[:3]
    assert lines[:2] == ["connect        1.5 ms  127.0.0.1:1", "certificate    1.3 ms  orders, until 2027-02-24"]
    assert lines[2] == "certificate 10000.0 ms  late"


@pytest.mark.parametrize("form", ["aegis-256", "none"])
def test_the_suite_of_records_stands_below_what_the_service_says(form: str) -> None:
    lines = shown(Report("tcp://host:1", "REQ", "key", [STEP], {"Socket-Type": "REP"}, records=form)).splitlines()
    assert lines[1:3] == [f"{'':23}Socket-Type: REP", f"{'records':23}{form}"]


def test_the_key_that_was_tried_is_shown_where_it_may_be_the_cause() -> None:
    assert "key      of the client (public)" in shown(Report("tcp://host:1", "REQ", "of the client", [], {}, REFUSED))
    assert "made for this probe" in shown(Report("", "REQ", "key", [], {}, REFUSED), fresh_key=True)
    elsewhere = Failure("connect", 0.0, ClientFailure.CONNECT)
    assert "of the client" not in shown(Report("", "REQ", "of the client", [], {}, elsewhere))
