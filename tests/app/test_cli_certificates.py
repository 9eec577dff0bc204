"""The commands about certificates as a person uses them: a real process, its words and its exit status."""

import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.certificates import certificate
from support.process import curveproxy

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def runner(directory: Path) -> Run:
    """The command in a directory with an authority and a key."""

    def run(*arguments: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
        done = curveproxy(*arguments, directory=directory)
        assert done.returncode == status, done.stderr
        assert all(line.startswith("curveproxy: ") for line in done.stderr.splitlines())
        return done

    run("authority", "plant-1", "--directory", "keys")
    run("keygen", "desk-7")
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command, in a directory of this test."""
    return runner(tmp_path)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where those work that write nothing."""
    runner(path := tmp_path_factory.mktemp("desk"))
    return path


SECRET = "keys/plant-1.authority_secret"
SIGN = ("sign", "desk-7.key", "--authority", SECRET)
SHOW = ("show", "desk-7.cert", "--authority", "keys/plant-1.authority")


@pytest.mark.deep
def test_an_authority_is_made_once_and_its_secret_shown_nowhere(run: Run, tmp_path: Path) -> None:
    done = run("authority", "plant-2", "--directory", "new")
    assert done.stderr == "curveproxy: wrote new/plant-2.authority and new/plant-2.authority_secret\n"
    text = (tmp_path / "new" / "plant-2.authority_secret").read_text()
    found = re.findall(r'"(.{40})"\n', text)
    assert [done.stdout] == [f"{found[0]}\n"]
    assert found[1] not in done.stdout + done.stderr + (tmp_path / "new" / "plant-2.authority").read_text()
    assert stat.S_IMODE((tmp_path / "new" / "plant-2.authority_secret").stat().st_mode) == 0o600
    assert "never overwritten" in run("authority", "plant-2", "--directory", "new", status=1).stderr
    assert (tmp_path / "new" / "plant-2.authority_secret").read_text() == text


def test_a_key_is_signed_shown_and_revoked(run: Run, tmp_path: Path) -> None:
    done = run(*SIGN, "--services", "orders prices", "--identity", "desk-7")
    assert re.fullmatch(r"curveproxy: wrote desk-7\.cert, valid until 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", done.stderr)
    until = done.stderr.split()[-1]
    done = run(*SHOW)
    assert done.stdout.splitlines()[-1] == f"valid until {until}, signed by plant-1"
    assert re.search(r"^services +orders prices$", done.stdout, re.MULTILINE)
    assert done.stderr == ""
    done = run("show", "desk-7.cert")
    assert done.stdout.splitlines()[-1] == f"valid until {until}"
    assert "whether its authority is to be believed was not looked at" in done.stderr
    [serial] = re.findall(r"^serial +(\w+)$", done.stdout, re.MULTILINE)
    for already in ("", " already"):
        done = run("revoke", "desk-7.cert", "--list", "revoked")
        assert done.stderr == f"curveproxy: revoked has serial {serial}{already}\n"
    assert (tmp_path / "revoked").read_text() == f"serial {serial}\n"


@pytest.mark.deep
def test_what_is_not_valid_is_shown_with_its_flaw(run: Run, tmp_path: Path) -> None:
    (tmp_path / "desk-7.cert").write_bytes(certificate())
    done = run(*SHOW, status=1)
    assert re.search(r"^name +desk-7$", done.stdout, re.MULTILINE)
    assert done.stderr.startswith("curveproxy: desk-7.cert: authority: the authority that the certificate names is not")
    assert "valid until" not in done.stdout
    (tmp_path / "desk-7.cert").write_bytes(certificate().replace(b'"desk-7"', b'"desk-8"'))
    assert "desk-7.cert: signature: " in run("show", "desk-7.cert", status=1).stderr
    (tmp_path / "desk-7.cert").write_bytes(b"\x1b[2J\n")
    done = run("show", "desk-7.cert", status=1)
    assert (done.stdout, "\x1b" in done.stderr) == ("", False)
    assert "desk-7.cert: malformed: line 1 is none of a certificate's" in done.stderr


@pytest.mark.deep
def test_a_server_is_signed_for_its_names(run: Run) -> None:
    run(*SIGN, "--server", "--names", "orders.example orders", "--days", "90", "--out", "orders.cert")
    assert re.search(r"^names +orders.example orders$", run("show", "orders.cert").stdout, re.MULTILINE)


@pytest.mark.deep  # the commands themselves are tried in one process (commands/test_certificates.py)
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("authority", "a/b"), 2, "a name has 1 to 64 of the letters"),
        (("authority", ".hidden"), 2, "does not begin with a dot"),
        (("sign", "desk-7.key"), 2, "missing option '--authority'"),
        (("sign", "none.key", "--authority", SECRET), 1, "none.key can not be read: no such file"),
        (("sign", "desk-7.key", "--authority", "keys/plant-1.authority"), 1, "name its .authority_secret"),
        (("sign", "desk-7.key_secret", "--authority", "keys/plant-1.authority_secret"), 1, "holds a secret key"),
        ((*SIGN, "--days", "0"), 2, "'--days': 0 is not in the range"),
        ((*SIGN, "--server"), 2, "add --names"),
        ((*SIGN, "--names", "x"), 2, "--names is for --server"),
        ((*SIGN, "--services", "a  b"), 2, "its services: it is not made of words"),
        ((*SIGN, "--name", "a b"), 2, "choose one by --name"),
        (("show", "none.cert"), 1, "none.cert can not be read: no such file"),
        (("show", "desk-7.key"), 1, "desk-7.key: malformed: it has no version"),
        (("show", "desk-7.key_secret"), 1, "desk-7.key_secret: unknown_field: line 7: a field that is not known"),
        (("show", "x", "--authority", "keys/plant-1.authority_secret"), 1, "holds the secret of an authority"),
        (("revoke", "desk-7.key", "--list", "revoked"), 1, "desk-7.key: malformed: it has no version"),
        (("revoke", "desk-7.key"), 2, "missing option '--list'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(directory: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    before = sorted(directory.rglob("*"))
    done = curveproxy(*arguments, directory=directory)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1)
    assert words in done.stderr
    assert sorted(directory.rglob("*")) == before
    for secret in (directory / "keys" / "plant-1.authority_secret", directory / "desk-7.key_secret"):
        assert not [each for each in re.findall(r'"(.{40})"', secret.read_text()) if each in done.stderr]


@pytest.mark.deep
def test_a_list_that_is_none_is_left_alone(run: Run, tmp_path: Path) -> None:
    run(*SIGN)
    before = (tmp_path / "desk-7.key").read_text()
    assert (
        "desk-7.key, line 4: it begins with none of"
        in run("revoke", "desk-7.cert", "--list", "desk-7.key", status=1).stderr
    )
    assert (tmp_path / "desk-7.key").read_text() == before
