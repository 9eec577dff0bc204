"""The command as a person uses it: a real process, its words and its exit status."""

import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
import zmq.auth
from support.cases import deep
from support.process import Sidecar, command, curveproxy, environment, free_port, wait_until
from zmq.utils import z85


def test_version_names_what_is_in_use() -> None:
    done = curveproxy("--version")
    assert done.returncode == 0
    assert re.fullmatch(
        r"curveproxy \d+\.\d+\.\d+, (c|python) codec, PyNaCl 1\.\d+\.\d+, aegis-256 here: (yes|no)\n", done.stdout
    )


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
        deep(["--listen", "tcp://*:1"], "name a configuration file"),
        (["--listen", "tcp://*:1", "--backend", "tcp://127.0.0.1:2"], "add --clients DIR, or --allow-any"),
        deep(["x.toml", "--allow-any"], "a configuration file and --allow-any"),
        (["missing.toml"], "can not be read: no such file"),
        (["--listen", "x", "--backend", "tcp://127.0.0.1:2", "--allow-any"], "listen: 'x' is not an endpoint"),
        deep(["--listen", "tcp://*:1", "--backend", "tcp://127.0.0.1:2", "--clients", "no"], "no is not a directory"),
        deep(["--listen", "tcp://*:1", "--backend", "tcp://127.0.0.1:2", "--clients", "no", "--allow-any"], "one or"),
        (["--listen", "ipc://x", "--remote", "tcp://a:1", "--server-key", "x"], "must know who we are: add --secret-"),
        deep(["--listen", "ipc://x", "--remote", "tcp://a:1", "--backend", "tcp://a:1"], "--backend and --remote: use"),
        (["--frobnicate"], "no such option"),
        deep(["--listen", "tcp://*:1", "--backend", "tcp://10.0.0.1:2", "--allow-any"], "tcp://10.0.0.1:2 is another"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_ends_with_2_and_a_hint(arguments: list[str], words: str) -> None:
    done = curveproxy("run", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert all(line.startswith("curveproxy: ") for line in done.stderr.splitlines())
    assert done.stdout == ""


def test_a_wrong_configuration_is_told_whole(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[log]\nlevel = 'x'\n[[service]]\nname = 3\nlisten = ''\n")
    done = curveproxy("run", str(tmp_path / "c.toml"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 5
    assert "Traceback" not in done.stderr


def test_health_says_when_nobody_answers(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "c.toml").write_text(f"[admin]\nlisten = '127.0.0.1:{port}'\n")
    done = curveproxy("health", str(tmp_path / "c.toml"))
    assert done.returncode == 1
    assert f"nobody answers on 127.0.0.1:{port}" in done.stderr


def test_health_says_why_it_is_not_ready(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        (tmp_path / "c.toml").write_text(f"[admin]\nlisten = '127.0.0.1:{other.getsockname()[1]}'\n")

        def answer() -> None:
            peer, _ = other.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 503 \r\nContent-Length: 9\r\nConnection: close\r\n\r\ndraining\n")

        thread = threading.Thread(target=answer)
        thread.start()
        done = curveproxy("health", str(tmp_path / "c.toml"))
        thread.join(10)
    assert (done.returncode, done.stderr) == (1, "curveproxy: not ready: draining\n")


def test_health_needs_no_more_of_a_configuration_than_its_admin_table(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f"[admin]\nlisten = '127.0.0.1:{free_port()}'\n[[service]]\nname = 'x'\n")
    assert curveproxy("health", str(tmp_path / "c.toml")).returncode == 1
    (tmp_path / "c.toml").write_text("[admin]\nlisten = ''\n")
    assert curveproxy("health", str(tmp_path / "c.toml")).returncode == 2


def test_python_m_is_the_same_program(tmp_path: Path) -> None:
    """Where it is installed: in a checkout, Python takes the sources that lie there, without the C codec."""
    command = [sys.executable, "-m", "curveproxy", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, cwd=tmp_path)
    assert done.stdout == curveproxy("--version").stdout


def test_run_carries_no_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither at the start nor by what it imports later; the test's own tools neither."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with Sidecar(backend="tcp://127.0.0.1:1") as proxy:
        proxy.metrics()
        imported = {line.rpartition("|")[2].strip() for line in proxy.stderr.splitlines() if "import time:" in line}
    assert {"trio", "structlog", "hypercorn"} <= imported
    assert not {name for name in imported if name.startswith(("rich.", "zmq."))}


def test_version_and_keygen_are_quick_for_they_import_little() -> None:
    heavy = "('trio', 'starlette', 'hypercorn', 'rich', 'structlog', 'prometheus_client')"
    code = (
        "import sys; from curveproxy.app.cli import main\n"
        "try: main(['--version'])\n"
        f"except SystemExit: sys.exit(str([name for name in {heavy} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.stderr == "[]\n"


def test_a_reader_who_goes_away_and_a_full_disk_give_no_traceback() -> None:
    command = shlex.join([sys.executable, "-m", "curveproxy", "--version"])
    shell = f"{command} | true; {command} > /dev/full; echo $?; {command} >&-"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "curveproxy: no space left on device\n")


def test_help_is_for_who_says_nothing() -> None:
    done = curveproxy()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


# --- run by options alone


def stopped(process: "subprocess.Popen[str]", admin: int) -> tuple[int, str, str]:
    """Wait until a proxy is ready, ask it to go, and tell how it ended and what it said."""

    def ready() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=10):
            return True
        return False

    try:
        wait_until(lambda: ready() or process.poll() is not None, "ready")
        process.terminate()
        stdout, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


def start(*options: str) -> tuple[int, str, str]:
    admin = free_port()
    endpoints = ["--listen", "tcp://127.0.0.1:0", "--backend", "tcp://127.0.0.1:1", "--admin", f"127.0.0.1:{admin}"]
    arguments = [*command(), "run", *endpoints, *options]
    pipe = subprocess.PIPE
    return stopped(subprocess.Popen(arguments, env=environment(), stdout=pipe, stderr=pipe, text=True), admin)


def test_a_hangup_where_there_is_no_file_to_read_again() -> None:
    admin = free_port()
    options = ["--listen", "tcp://127.0.0.1:0", "--backend", "tcp://127.0.0.1:1", "--allow-any"]
    arguments = [*command(), "run", *options, "--admin", f"127.0.0.1:{admin}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, env=environment(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        told = iter(process.stderr.readline, "")
        assert any("listening" in line for line in told)
        process.send_signal(signal.SIGHUP)
        assert any("nothing to read again" in line for line in told)
        status, _, _ = stopped(process, admin)
    assert status == 0


def test_a_key_for_this_run_only() -> None:
    status, stdout, stderr = start("--allow-any")
    assert status == 0
    assert len(z85.decode(stdout.strip())) == 32
    assert "curveproxy: a key for this run only: name one by --secret-key to keep it" in stderr
    assert stdout.strip() in stderr
    assert "clients=any" in stderr


def test_a_key_file_that_is_missing_is_made_once_and_told_when_others_may_read_it(tmp_path: Path) -> None:
    key, clients = tmp_path / "new" / "server", tmp_path / "clients"
    clients.mkdir()
    key.parent.mkdir()
    options = ["--secret-key", str(key), "--clients", str(clients), "--name", "orders"]
    status, stdout, stderr = start(*options)
    assert status == 0, stderr
    assert "there was no key: made" in stderr
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert zmq.auth.load_certificate(str(key) + ".key") == (stdout.strip().encode(), None)
    assert "nobody can connect" in stderr
    assert "service=orders" in stderr
    assert "can be read by others" not in stderr
    key.chmod(0o640)
    status, again, stderr = start(*options)
    assert (status, again) == (0, stdout)
    assert "a secret key can be read by others" in stderr
    _, secret = zmq.auth.load_certificate(str(key))
    assert secret is not None
    assert secret.decode() not in stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [("--version", 0), ("check missing.toml", 2), deep("nonsense", 2), deep("", 2), deep("health --help", 0)],
)
def test_a_stderr_that_can_not_be_written_changes_no_exit_status(arguments: str, status: int) -> None:
    """In an environment without PYTHONUNBUFFERED, for a buffer is flushed at the end, and Python would end with 120."""
    bare = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    for stderr in ("/dev/full", "&-"):
        shell = f"exec {shlex.join([*command(), *arguments.split()])} >/dev/null 2>{stderr}"
        assert subprocess.run(["sh", "-c", shell], env=bare, check=False, timeout=30).returncode == status, stderr


def test_a_log_that_can_not_be_written_stops_nothing() -> None:
    for stderr in ("/dev/full", "&-"):
        admin = free_port()
        arguments = ["run", "--listen", "tcp://127.0.0.1:0", "--backend", "tcp://127.0.0.1:1", "--allow-any"]
        shell = f"exec {shlex.join([*command(), *arguments])} --admin 127.0.0.1:{admin} 2>{stderr}"
        bare = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen(["sh", "-c", shell], env=bare, stdout=subprocess.PIPE, text=True)
        assert stopped(process, admin)[0] == 0


def test_a_page_that_can_not_be_had_leaves_no_socket_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen, admin = f"ipc://{tmp_path}/public", f"127.0.0.1:{taken.getsockname()[1]}"
        options = ["--listen", listen, "--backend", "tcp://127.0.0.1:1", "--allow-any", "--admin", admin]
        done = curveproxy("run", *options)
    assert done.returncode == 1
    assert "the address is in use" in done.stderr
    assert not (tmp_path / "public").exists()


def test_another_system_gets_a_sentence() -> None:
    code = "import sys; sys.platform = 'darwin'; from curveproxy.app.cli import main; main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr == "curveproxy: it runs on Linux only: it needs epoll and SO_COOKIE\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("servr.key_secret", "did you mean"),
        deep("server", "did you mean"),
        deep("server_secret", "did you mean"),
        ("no/server.key_secret", "correct --secret-key, or make the directory first"),
    ],
)
def test_a_secret_key_that_looks_misspelled_makes_no_other_identity(tmp_path: Path, name: str, told: str) -> None:
    assert curveproxy("keygen", "server", directory=tmp_path).returncode == 0
    before = sorted(tmp_path.iterdir())
    options = ["--listen", "tcp://127.0.0.1:0", "--backend", "tcp://127.0.0.1:1", "--allow-any", "--admin", ""]
    done = curveproxy("run", *options, "--secret-key", name, directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_summaries_are_told_whole() -> None:
    assert "..." not in curveproxy("--help").stdout.replace("[ARGS]...", "")


def test_the_demo_leaves_no_keys_behind_when_it_is_ended(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*command(), "demo"], env={**environment(), "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    page = next(line.split()[-1] for line in process.stdout if line.startswith("page"))
    assert list(tmp_path.glob("*/alice.key_secret"))
    with urllib.request.urlopen(page, timeout=30) as answer:
        text = answer.read().decode()
    assert "demo-egress" in text
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_demo_shows_ten_messages_through_both_directions_and_a_refusal() -> None:
    done = curveproxy("demo", "--once")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("got 'MESSAGE") == 10
    assert "ipc://" in next(line for line in done.stdout.splitlines() if line.startswith("egress"))
    for name in ("demo-egress", "demo"):
        assert f'10  curveproxy_messages_total{{direction="in",service="{name}"}}' in done.stdout
        assert f'1  curveproxy_handshakes_total{{outcome="admitted",service="{name}"}}' in done.stdout
    [line] = done.stderr.splitlines()
    assert "client refused" in line
    assert "outcome=client_unknown" in line
