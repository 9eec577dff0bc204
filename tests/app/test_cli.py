"""The command as a person uses it: a real process, its words and its exit status."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import zmq.auth
from support.process import curveproxy, free_port


def test_version_names_what_is_in_use() -> None:
    done = curveproxy("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"curveproxy \d+\.\d+\.\d+, python codec, PyNaCl 1\.\d+\.\d+\n", done.stdout)


def test_keygen_writes_a_pair_and_prints_the_public_half(tmp_path: Path) -> None:
    done = curveproxy("keygen", "alice", "--directory", str(tmp_path / "new"))
    public, secret = zmq.auth.load_certificate(str(tmp_path / "new" / "alice.key_secret"))
    assert done.returncode == 0
    assert done.stdout == public.decode() + "\n"
    assert secret is not None
    assert secret.decode() not in done.stdout + done.stderr
    again = curveproxy("keygen", "alice", "--directory", str(tmp_path / "new"))
    assert again.returncode == 1
    assert "never overwritten" in again.stderr


@pytest.mark.parametrize("name", ["a/b", "", ".hidden"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    done = curveproxy("keygen", name, "--directory", str(tmp_path))
    assert done.returncode == 2
    assert "not a name for a key" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a configuration file, or --listen and --backend"),
        (["--listen", "tcp://*:1"], "name a configuration file"),
        (["--listen", "tcp://*:1", "--backend", "tcp://127.0.0.1:2"], "add --clients DIR, or --allow-any"),
        (["x.toml", "--allow-any"], "a configuration file and --allow-any"),
        (["missing.toml"], "can not be read: no such file"),
        (["--listen", "x", "--backend", "tcp://127.0.0.1:2", "--allow-any"], "listen: 'x' is not an endpoint"),
        (["--listen", "tcp://*:1", "--backend", "tcp://127.0.0.1:2", "--clients", "no"], "no is not a directory"),
        (["--listen", "tcp://*:1", "--backend", "tcp://127.0.0.1:2", "--clients", "no", "--allow-any"], "one or"),
        (["--frobnicate"], "No such option"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_ends_with_2_and_a_hint(arguments: list[str], words: str) -> None:
    done = curveproxy("run", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or len(done.stdout) == 41  # the public half of a key for this run


def test_a_wrong_configuration_is_told_whole(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[log]\nlevel = 'x'\n[[service]]\nname = 3\nlisten = ''\n")
    done = curveproxy("run", str(tmp_path / "c.toml"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 5
    assert "Traceback" not in done.stderr


def test_health_says_when_nobody_answers() -> None:
    done = curveproxy("health")
    assert done.returncode == 1
    assert "nobody answers on 127.0.0.1:9464" in done.stderr


def test_health_needs_no_more_of_a_configuration_than_its_admin_table(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f"[admin]\nlisten = '127.0.0.1:{free_port()}'\n[[service]]\nname = 'x'\n")
    assert curveproxy("health", str(tmp_path / "c.toml")).returncode == 1
    (tmp_path / "c.toml").write_text("[admin]\nlisten = ''\n")
    assert curveproxy("health", str(tmp_path / "c.toml")).returncode == 2


def test_python_m_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "curveproxy", "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == curveproxy("--version").stdout


def test_run_carries_no_rich() -> None:
    code = "import sys, curveproxy.app.run, curveproxy.app.cli; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_another_system_gets_a_sentence() -> None:
    code = "import sys; sys.platform = 'darwin'; from curveproxy.app.cli import main; main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr == "curveproxy runs on Linux only: it needs epoll and SO_COOKIE\n"


def test_the_demo_shows_ten_messages_and_what_they_moved() -> None:
    done = curveproxy("demo", "--once")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("got 'MESSAGE") == 10
    assert re.search(r'10  curveproxy_messages_total\{direction="in",service="demo"\}', done.stdout)
    assert done.stderr == ""
