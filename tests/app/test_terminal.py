"""What a command says beside its data."""

import pytest

from curveproxy.app.terminal import fail, tell


def test_a_sentence_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    tell("a\nb \x1b[31m")
    assert capsys.readouterr() == ("", "curveproxy: a\\nb \\x1b[31m\n")


def test_a_failure_has_a_sentence_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail("it is wrong", 2)
    assert (ended.value.code, capsys.readouterr().err) == (2, "curveproxy: it is wrong\n")
