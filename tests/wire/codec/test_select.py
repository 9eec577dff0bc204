"""The codec's twin in C: how it is built, chosen and held against the one in Python."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.process import ROOT, curveproxy

from curveproxy.wire.codec import python as codec_python
from curveproxy.wire.codec import select as codec

SOURCE = ROOT / "curveproxy" / "wire" / "codec" / "_codec.c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{sysconfig.get_path('include')}"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]


def compiled(directory: Path, *flags: str) -> Path:
    """The extension, compiled here."""
    target = directory / "_codec.abi3.so"
    subprocess.run(["gcc", *STRICT, *flags, str(SOURCE), "-o", str(target)], check=True)
    return target


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


@pytest.mark.compiler
def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    compiled(tmp_path)


@pytest.mark.compiler
def test_sanitizers_find_nothing_in_it(tmp_path: Path) -> None:
    """The tests of the codec and the fuzzers' inputs, once more, with the extension compiled for them."""
    extension = compiled(tmp_path, *SANITIZERS)
    runtime = [
        subprocess.check_output(["gcc", f"-print-file-name={name}.so"], text=True).strip()
        for name in ("libasan", "libubsan")
    ]
    code = (
        "import importlib.util, sys, pytest\n"
        f"spec = importlib.util.spec_from_file_location('curveproxy.wire.codec._codec', {str(extension)!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "import curveproxy.wire.codec\n"
        "sys.modules['curveproxy.wire.codec._codec'] = curveproxy.wire.codec._codec = module\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests/wire/codec/test_codec.py',"
        " 'tests/fuzz/test_fuzz.py', '-k', 'codec or opening or sealing']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "LD_PRELOAD": " ".join(runtime),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
