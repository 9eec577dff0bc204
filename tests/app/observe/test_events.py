"""What the proxy tells: all of it is counted, and what strangers cause is logged so often and no more."""

import json
from functools import cached_property
from typing import Any

import pytest
import trio
from attrs import evolve
from support.figures import View
from trio.testing import MockClock

from curveproxy.app.observe import events
from curveproxy.app.observe.clock import WallClock
from curveproxy.app.observe.events import BURST, CLOCK_SECONDS, SUMMARY_SECONDS, ServiceObserver
from curveproxy.app.observe.history import UNKNOWN_MAX, is_refusal
from curveproxy.app.observe.log import open_log
from curveproxy.app.observe.metrics import Metrics
from curveproxy.policy.access.access_list import CACHED, VALID
from curveproxy.reasons import BackendFailure, CertificateFlaw, ClientFailure, Closed, EgressOutcome, Invalid, Outcome

FLOOD = 1000


class Told:
    """An observer, what it counted and what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self.metrics = capsys, Metrics()

    @cached_property
    def observer(self) -> ServiceObserver:
        return self.new()  # within the test: the stream of its preparation is another one

    def new(self, level: str = "info", *, is_egress: bool = False) -> ServiceObserver:
        return ServiceObserver("orders", self.metrics, open_log(level, "json"), is_egress=is_egress)

    def lines(self) -> list[dict[str, Any]]:
        """What was said since it was last asked for."""
        return [json.loads(line) for line in self._capsys.readouterr().err.splitlines()]

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"curveproxy_{name}", labels)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(capsys)


def session(*, is_probe: bool = False, messages_in: int = 1) -> View:
    return View(messages_in=messages_in, octets_in=10, messages_out=2, octets_out=20, is_probe=is_probe)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome != Outcome.ADMITTED])
async def test_a_refusal_is_counted_and_told_with_its_hint(told: Told, outcome: Outcome) -> None:
    told.new("debug").refused(outcome, "192.0.2.1:4242", "our own words")
    (line,) = told.lines()
    assert line["event"] == "client refused"
    expected = outcome in (Outcome.PROBE, Outcome.CERTIFICATE_ASKED)
    assert line["level"] == ("debug" if expected else "warning")
    assert (line["service"], line["outcome"], line["peer"]) == ("orders", outcome, "192.0.2.1:4242")
    assert (line["detail"], line["hint"]) == ("our own words", outcome.hint)
    assert told.count("handshakes_total", service="orders", outcome=outcome) == 1


@pytest.mark.parametrize("outcome", [outcome for outcome in EgressOutcome if outcome != EgressOutcome.ADMITTED])
async def test_a_refusal_of_an_egress_has_the_hint_that_is_true_there(told: Told, outcome: EgressOutcome) -> None:
    observer = told.new("debug", is_egress=True)
    observer.refused(Outcome(outcome), "ipc", client="uid 1000")
    (line,) = told.lines()
    assert (line["outcome"], line["client"], line["hint"]) == (outcome, "uid 1000", outcome.hint)
    assert [reason.hint for _, reason in observer.history.counts] == [outcome.hint]
    assert observer.history.unknown == {}, "it has no key that could be listed"
    assert told.count("handshakes_total", service="orders", outcome=outcome) == 1


@pytest.mark.parametrize("outcome", Outcome)
async def test_an_outcome_that_an_egress_should_not_have_is_counted_all_the_same(told: Told, outcome: Outcome) -> None:
    told.new(is_egress=True).refused(outcome, "ipc")
    assert told.count("handshakes_total", service="orders", outcome=outcome) == 1


async def test_why_a_remote_was_not_reached_is_told_as_a_probe_tells_it(told: Told) -> None:
    told.new(is_egress=True).backend_failed(ClientFailure.WELCOME_CLOSED, "tcp://a.example:1")
    (line,) = told.lines()
    assert (line["event"], line["reason"], line["detail"]) == ("backend failed", "welcome_closed", "tcp://a.example:1")
    assert line["hint"] == ClientFailure.WELCOME_CLOSED.hint
    assert told.count("backend_failures_total", service="orders", reason="welcome_closed") == 1


async def test_a_key_that_is_not_on_the_list_is_named_and_remembered(told: Told) -> None:
    for number in range(UNKNOWN_MAX + 2):
        told.observer.refused(Outcome.CLIENT_UNKNOWN, f"192.0.2.1:{number}", client=f"key {number}")
    told.observer.refused(Outcome.CLIENT_UNKNOWN, "192.0.2.2:1", client="key 5")
    told.observer.refused(Outcome.METADATA, "192.0.2.3:1", client="alice")
    assert told.lines()[0]["client"] == "key 0"
    unknown = told.observer.history.unknown
    assert [*unknown] == [f"key {number}" for number in range(2, UNKNOWN_MAX + 2) if number != 5] + ["key 5"]
    assert (unknown["key 5"].total, unknown["key 5"].peer) == (2, "192.0.2.2:1")


async def test_the_life_of_a_session(told: Told, autojump_clock: MockClock) -> None:
    told.observer.accepted()
    client = session()
    told.observer.backend_up(0.001)
    told.observer.configure({b"S": "old", b"T": "new"}, allow_any=False)
    told.observer.admitted(client, 0.002)
    await trio.sleep(42)
    told.observer.invalid(client, Invalid.BOX)
    told.observer.closed(client, Closed.INVALID_MESSAGE)
    opened, invalid, closed = told.lines()
    assert (opened["event"], opened["level"], opened["client"]) == ("session opened", "info", "alice")
    assert (invalid["event"], invalid["reason"], invalid["hint"]) == ("invalid message", "box", Invalid.BOX.hint)
    assert opened["handshake_seconds"] == 0.002
    assert (closed["event"], closed["reason"], closed["seconds"]) == ("session closed", "invalid_message", 42)
    assert [closed[name] for name in ("messages_in", "bytes_in", "messages_out", "bytes_out")] == [1, 10, 2, 20]
    assert told.count("connections_accepted_total", service="orders") == 1
    assert told.count("handshakes_total", service="orders", outcome="admitted") == 1
    assert told.count("handshake_seconds_sum", service="orders") == 0.002
    assert told.count("backend_connect_seconds_count", service="orders") == 1
    assert told.count("session_seconds_sum", service="orders") == 42
    assert told.count("sessions_closed_total", service="orders", reason="invalid_message") == 1
    assert told.count("invalid_messages_total", service="orders", reason="box") == 1


async def test_what_was_told_of_a_session_before_is_counted_and_told_no_more(told: Told) -> None:
    told.observer.invalid(session(), Invalid.TOPIC)
    told.observer.repeated(Invalid.TOPIC, 41)
    (line,) = told.lines()
    assert (line["reason"], line["hint"], line["client"]) == ("topic", Invalid.TOPIC.hint, "alice")
    assert told.count("invalid_messages_total", service="orders", reason="topic") == 42


async def test_the_suite_of_records_is_told_where_there_are_records(told: Told) -> None:
    for form in ("message", "aegis-256"):
        told.observer.admitted(evolve(session(), form=form), 0.002)
    one_by_one, in_records = told.lines()
    assert "records" not in one_by_one
    assert in_records["records"] == "aegis-256"


@pytest.mark.parametrize("flaw", CertificateFlaw)
async def test_a_certificate_that_is_not_believed_is_told_with_the_hint_of_its_flaw(
    told: Told, flaw: CertificateFlaw
) -> None:
    told.observer.refused(Outcome.CERTIFICATE, "192.0.2.1:1", str(flaw), client="a key")
    (line,) = told.lines()
    assert (line["outcome"], line["detail"], line["hint"]) == ("certificate", flaw, flaw.hint)


async def test_a_certificate_of_a_remote_is_told_alike(told: Told) -> None:
    detail = "tcp://a.example:1: expired: its clock or ours"
    told.new(is_egress=True).backend_failed(ClientFailure.CERTIFICATE_EXPIRED, detail)
    (line,) = told.lines()
    assert (line["reason"], line["detail"]) == ("certificate_expired", detail)
    assert line["hint"] == CertificateFlaw.EXPIRED.hint


async def test_by_what_certificate_a_client_has_come_in_is_told(told: Told) -> None:
    certified = evolve(session(), serial="9f86d081884c7d65", authority="plant-1", until=1796276400)
    for client in (session(), certified):
        told.observer.admitted(client, 0.002)
    listed, by_certificate = told.lines()
    assert not {"certificate", "authority", "until"} & listed.keys()
    assert by_certificate["certificate"] == "9f86d081884c7d65"
    assert by_certificate["authority"] == "plant-1"
    assert by_certificate["until"] == "2026-12-03T05:40:00Z"


@pytest.mark.parametrize("result", [VALID, CACHED, *CertificateFlaw])
async def test_each_judgement_is_counted(told: Told, result: str) -> None:
    told.observer.certificate_judged(result)
    assert told.count("certificates_total", service="orders", result=result) == 1


async def test_who_asks_for_certificates_is_no_warning_and_no_refusal(told: Told) -> None:
    for _ in range(FLOOD):
        told.observer.refused(Outcome.CERTIFICATE_ASKED, "192.0.2.1:4242")
    assert told.lines() == []
    assert not any(map(is_refusal, told.observer.history.counts))
    assert told.count("handshakes_total", service="orders", outcome="certificate_asked") == FLOOD


@pytest.mark.parametrize(
    ("skew", "by", "word"), [(60, 61, "forward"), (60, -61, "back"), (60, 59, None), (None, 999, None)]
)
async def test_a_wall_clock_that_is_set_is_told_where_certificates_are_judged_by_it(
    told: Told,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    skew: float | None,
    by: float,
    word: str | None,
) -> None:
    offset = 0.0
    monkeypatch.setattr(events, "WallClock", lambda: WallClock(lambda: trio.current_time() + offset, trio.current_time))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.observer.watch_clock, lambda: skew)
        await trio.sleep(3 * CLOCK_SECONDS)
        assert told.lines() == []
        offset = by
        await trio.sleep(3 * CLOCK_SECONDS)
        nursery.cancel_scope.cancel()
    found = [(line["event"], line["reason"], line["detail"], line["level"]) for line in told.lines()]
    assert found == ([("the clock was set", word, f"by {by:+} s", "warning")] if word else [])
    assert [reason for event, reason in told.observer.history.counts] == ([word] if word else [])


async def test_a_flood_is_counted_whole_and_told_in_part(told: Told, autojump_clock: MockClock) -> None:
    for _ in range(FLOOD):
        told.observer.refused(Outcome.HELLO_BOX, "192.0.2.1:4242")
    assert len(told.lines()) == BURST
    assert told.count("handshakes_total", service="orders", outcome="hello_box") == FLOOD
    await trio.sleep(60)
    told.observer.refused(Outcome.HELLO_BOX, "192.0.2.1:4242")
    assert [line["suppressed"] for line in told.lines()] == [FLOOD - BURST]


async def test_what_was_suppressed_is_told_once_when_nothing_follows(told: Told, autojump_clock: MockClock) -> None:
    for _ in range(FLOOD):
        told.observer.refused(Outcome.TIMEOUT, "192.0.2.1:4242")
    told.lines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.observer.summarise)
        await trio.sleep(5 * SUMMARY_SECONDS)
        nursery.cancel_scope.cancel()
    (line,) = told.lines()
    assert (line["event"], line["of"], line["kind"]) == ("lines suppressed", "client refused", "timeout")
    assert line["suppressed"] == FLOOD - BURST


async def test_one_kind_does_not_silence_another_that_has_its_name(told: Told, autojump_clock: MockClock) -> None:
    for _ in range(FLOOD):
        told.observer.refused(Outcome.TIMEOUT, "192.0.2.1:4242")
    told.lines()
    told.observer.backend_failed(BackendFailure.TIMEOUT)
    (line,) = told.lines()
    assert (line["event"], line["reason"]) == ("backend failed", "timeout")
    assert told.count("backend_failures_total", service="orders", reason="timeout") == 1


async def test_probes_of_a_load_balancer_are_never_a_warning(told: Told, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.observer.summarise)
        for _ in range(FLOOD):
            told.observer.refused(Outcome.PROBE, "192.0.2.1:4242")
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert told.lines() == []
    assert told.count("handshakes_total", service="orders", outcome="probe") == FLOOD


async def test_a_probe_is_told_of_at_debug_unless_it_speaks(told: Told, autojump_clock: MockClock) -> None:
    observer, client = told.new("debug"), session(is_probe=True, messages_in=0)
    observer.admitted(client, 0.001)
    observer.closed(client, Closed.CLIENT_CLOSED)
    observer.closed(session(is_probe=True), Closed.CLIENT_CLOSED)
    assert [line["level"] for line in told.lines()] == ["debug", "debug", "info"]


@pytest.mark.parametrize(("allow_any", "lines"), [(True, BURST), (False, FLOOD)])
async def test_sessions_are_told_all_unless_strangers_may_have_them(
    told: Told, autojump_clock: MockClock, allow_any: bool, lines: int
) -> None:
    observer = told.new()
    observer.configure({}, allow_any=allow_any)
    for _ in range(FLOOD):
        observer.admitted(session(), 0.001)
    assert len(told.lines()) == lines


async def test_a_line_below_the_level_is_not_counted_as_suppressed(told: Told, autojump_clock: MockClock) -> None:
    observer = told.new("warning")
    observer.configure({}, allow_any=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(observer.summarise)
        for _ in range(FLOOD):
            observer.admitted(session(), 0.001)
        await trio.sleep(2 * SUMMARY_SECONDS)
        nursery.cancel_scope.cancel()
    assert told.lines() == []
    assert told.count("handshakes_total", service="orders", outcome="admitted") == FLOOD


async def test_an_error_of_ours_is_told_with_its_traceback(told: Told, autojump_clock: MockClock) -> None:
    with pytest.raises(IndexError) as caught:
        [].pop()
    for _ in range(FLOOD):
        told.observer.unexpected(caught.value)
    lines = told.lines()
    assert len(lines) == BURST
    assert "Traceback" in lines[0]["exception"]
    assert (lines[0]["level"], lines[0]["event"]) == ("error", "unexpected error")
    assert told.count("unexpected_errors_total") == FLOOD
