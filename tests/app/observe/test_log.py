"""The log: lines that people and machines can read, of which none can be forged and none can hurt the proxy."""

import json
import logging
import os
import re
import resource
import signal
import sys
from io import StringIO
from pathlib import Path

import pytest

from curveproxy.app.observe.log import LOST, LOST_HINT, LossyStream, lost_lines, open_log, set_style
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair


def test_a_line_of_text_has_its_time_its_facts_and_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log("info", "text").bind(service="orders")
    log.warning("client refused", outcome="hello_box", seconds=0.25, hint="another server key")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z warning client refused  service=orders outcome=hello_box seconds=0\.25"
        r"  \(another server key\)\n",
        err,
    )


@pytest.mark.parametrize("value", ["two words", "a=b", "line\nfeed", "\x1b[31m", "", "\u2028"])
def test_what_could_pass_for_another_fact_or_line_is_quoted(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    open_log("info", "text").info("event", fact=value, last=1)
    err = capsys.readouterr().err
    assert err.endswith(f"event  fact={value!r} last=1\n")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("text", ["line\nfeed", "\x1b[31m", "\x9b2J", "\u202e", "\r"])
def test_neither_a_hint_nor_a_traceback_is_obeyed_by_a_terminal_or_taken_for_a_line(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log("info", "text")
    log.warning("two files hold one key", hint=f"the name of {text}.key is used")
    log.error("unexpected error", exc_info=OSError(text))
    hint, *traceback = capsys.readouterr().err.splitlines()
    assert hint.endswith(f"(the name of {repr(text)[1:-1]}.key is used)")
    assert all(line.isprintable() for line in [hint, *traceback])
    assert all(line.startswith("  ") for line in traceback[1:])


def test_a_list_is_told_item_by_item(capsys: pytest.CaptureFixture[str]) -> None:
    open_log("info", "text").info("event", files=["a.key", "b c"])
    assert capsys.readouterr().err.endswith("event  files=a.key,'b c'\n")


def test_a_line_of_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log("info", "json")
    with pytest.raises(ValueError) as caught:
        int("two\nlines")
    log.error("unexpected error", exc_info=caught.value, odd=b"\xff")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["event"], told["odd"]) == ("error", "unexpected error", "b'\\xff'")
    assert "Traceback" in told["exception"]
    assert told["timestamp"].endswith("Z")


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(level: str, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(level, "text")
    for method in (log.debug, log.info, log.warning, log.error):
        method("event")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_the_level_may_change_for_logs_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log("error", "text").bind(service="orders")
    assert not log.is_enabled_for(logging.INFO)
    log.info("event")
    set_style("info", "json")
    assert log.is_enabled_for(logging.INFO)
    log.info("event")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["service"] == "orders"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_that_is_logged_by_mistake_does_not_show(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    pair = KeyPair.generate()
    open_log("info", form).info("event", pair=pair)
    err = capsys.readouterr().err
    assert "KeyPair" in err
    assert z85.encode(pair.secret) not in err
    assert repr(pair.secret)[2:-1] not in err


class Full(StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "no space left on device")


def test_a_stream_that_fails_costs_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = StringIO()
    closed.close()
    for stream in (Full(), closed):
        lossy = LossyStream(stream)
        lossy.write("line")
        assert lossy.lost == 1
    for absent in (Full(), closed, None):
        monkeypatch.setattr(sys, "stderr", absent)
        open_log("info", "text").info("event")


def test_a_pipe_that_nobody_empties_costs_lines_and_no_time() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as pipe, os.fdopen(writer, "w") as stream:
        lossy, line = LossyStream(stream), "x" * 99 + "\n"
        for _ in range(1000):
            lossy.write(line)
        held = 1000 - lossy.lost
        assert 0 < held < 1000
        assert [pipe.readline() for _ in range(held)] == [line] * held
        lossy.write(line)
        assert pipe.readline() == line


def test_how_many_lines_were_lost_is_told_when_lines_can_be_written_again() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as pipe, os.fdopen(writer, "w") as stream:
        lossy, line = LossyStream(stream, "{} lost\n".format), "x" * 99 + "\n"
        for _ in range(1000):
            lossy.write(line)
        assert lossy.lost > 0
        assert [pipe.readline() for _ in range(1000 - lossy.lost)] == [line] * (1000 - lossy.lost)
        for _ in range(3):
            lossy.write(line)
        assert [pipe.readline() for _ in range(4)] == [line, f"{lossy.lost} lost\n", line, line]


def test_lost_lines_are_told_at_any_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what was lost was of that level."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as pipe, os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        log = open_log("error", "text")
        for _ in range(1000):
            log.error("x" * 99)
        lost = lost_lines()
        assert all("x" * 99 in pipe.readline() for _ in range(1000 - lost))
        log.error("event")
        assert pipe.readline().endswith("event\n")
        assert pipe.readline().endswith(f"warning {LOST}  lost={lost}  ({LOST_HINT})\n")


def test_a_line_of_which_a_part_was_written_is_lost_and_ended(tmp_path: Path) -> None:
    """As on a disk that becomes full in the middle of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with (tmp_path / "log").open("w") as stream:
        lossy = LossyStream(stream)
        resource.setrlimit(resource.RLIMIT_FSIZE, (15, hard))
        try:
            for _ in range(3):
                lossy.write("ten octets")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)
        lossy.write("again")
    assert lossy.lost == 2
    assert (tmp_path / "log").read_text() == "ten octetsten o\nagain"
