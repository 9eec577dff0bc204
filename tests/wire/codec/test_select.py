"""Which of the codec's twins is chosen, and what they are compared by."""

import pytest
from support.process import curveproxy

from curveproxy.wire.codec import python as codec_python
from curveproxy.wire.codec import records
from curveproxy.wire.codec import select as codec
from curveproxy.wire.curve import handshake
from curveproxy.wire.errors import Fault


def test_the_one_in_use_is_shown() -> None:
    assert f", {codec.CODEC} codec, " in curveproxy("--version").stdout


@pytest.mark.parametrize(("wanted", "words"), [("rust", "it is c, python, or not set"), ("", "codec")])
def test_the_environment_demands_one(monkeypatch: pytest.MonkeyPatch, wanted: str, words: str) -> None:
    monkeypatch.setenv(codec.VARIABLE, wanted)
    done = curveproxy("--version")
    assert done.returncode == (2 if wanted else 0)
    assert words in done.stdout + done.stderr
    monkeypatch.setenv(codec.VARIABLE, "python")
    assert ", python codec, " in curveproxy("--version").stdout


def test_a_trial_tells_twins_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = codec.trial(codec_python)
    monkeypatch.setattr(codec_python, "_V1_PLAIN", (252, 10))
    assert codec.trial(codec_python) != expected


def test_a_trial_of_records_tells_twins_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = codec.trial_of_records(codec_python)
    assert codec.trial_of_records(codec_python) == expected
    monkeypatch.setattr(records, "PAD_SIZE", 3)
    assert codec.trial_of_records(codec_python) != expected


def test_a_trial_of_the_handshake_tells_twins_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = codec.trial_of_handshake(codec_python)
    assert codec.trial_of_handshake(codec_python) == expected
    assert len({str(each) for each in expected}) == 9, "of each turn a good one, and all flaws but one have been met"
    monkeypatch.setattr(handshake, "_VOUCH", (Fault.VOUCH, "another detail"))
    assert codec.trial_of_handshake(codec_python) != expected
