"""What the README tells a newcomer to type, done as it stands there."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth
from support.curve import Keys
from support.libzmq import Libzmq
from support.process import ROOT, command, environment, free_port
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

README, PYPROJECT = ((ROOT / name).read_text() for name in ("README.md", "pyproject.toml"))
FIRST_SCREEN = README.splitlines()[:40]


def test_the_first_screen_has_one_command_to_see_it_and_one_to_test_it() -> None:
    commands = [line.strip() for line in FIRST_SCREEN if line.startswith("    python3 -m venv")]
    assert len(commands) == 2
    assert commands[0].endswith(".venv/bin/curveproxy demo")
    assert commands[1].endswith(".venv/bin/pytest")


def test_every_kind_of_test_that_is_left_out_is_named() -> None:
    """With how to run it."""
    ours = [line.partition(":")[0] for line in tomllib.loads(PYPROJECT)["tool"]["pytest"]["ini_options"]["markers"]]
    assert [marker for marker in ours if f"`{marker}`" not in README] == []


def section(title: str) -> tuple[list[str], str]:
    """The commands of one section, and its client in Python, which asks something."""
    text = README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None, title
    ask = 'socket.rcvtimeo = 10_000\nsocket.send(b"hello")\nprint(socket.recv().decode())\n'
    return re.findall(r"^    ((?:curveproxy|mkdir) .*)", text, re.MULTILINE), code[1] + ask


def prepare(commands: list[str], directory: Path) -> None:
    """Do all of these in a shell."""
    shell = "\n".join([f'curveproxy() {{ {shlex.join(command())} "$@"; }}', "set -e", *commands])
    done = subprocess.run(["sh", "-c", shell], cwd=directory, env=environment(), capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr


def keys_of(file: Path) -> Keys:
    """Both halves of a key file."""
    public, secret = zmq.auth.load_certificate(file)
    assert secret is not None
    return Keys(z85.decode(public), z85.decode(secret))


@contextmanager
def asking(context: zmq.Context[Any], allowed: Path) -> Iterator[None]:
    """A ZAP handler that lets in those whose certificates are in a directory."""
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    try:
        authenticator.configure_curve(domain="orders", location=str(allowed))
        yield
    finally:
        authenticator.stop()


@contextmanager
def running(run: str, client: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The proxy of a command line, without its page, and the client's process, whose answer is to be awaited."""
    arguments = [*shlex.split(run)[1:], "--admin", ""]
    with (
        subprocess.Popen([*command(), *arguments], cwd=directory, env=environment(), stderr=subprocess.PIPE) as proxy,
        subprocess.Popen([sys.executable, "-c", client], cwd=directory, stdout=subprocess.PIPE) as peer,
    ):
        try:
            yield peer
        finally:
            peer.kill()
            proxy.terminate()
        assert proxy.wait(20) == 0


def test_the_way_to_an_own_service_works_as_it_is_written(tmp_path: Path) -> None:
    """The commands and the client of the README, with other ports and the admin page turned off."""
    (*first, run), client = section("In front of your own service")
    assert len(first) == 3
    prepare(first, tmp_path)
    port = str(free_port())
    with Libzmq() as z:
        service, endpoint = z.bind(zmq.REP)
        run = run.replace("tcp://127.0.0.1:5555", endpoint).replace("5556", port)
        with running(run, client.replace("5556", port), tmp_path) as peer:
            service.send(b"answer to " + service.recv())
            assert peer.communicate(timeout=20)[0] == b"answer to hello\n"


def test_the_way_of_clients_without_curve_works_as_it_is_written(tmp_path: Path) -> None:
    """The same of an egress, with another socket and a CURVE server of libzmq that knows only alice."""
    (*first, run), client = section("Before clients that have no CURVE")
    assert first == ["curveproxy keygen alice"]
    prepare([*first, "curveproxy keygen orders"], tmp_path)
    orders, socket = keys_of(tmp_path / "orders.key_secret"), f"ipc://{tmp_path}/orders.sock"
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (tmp_path / "alice.key").rename(allowed / "alice.key")
    with Libzmq() as z, asking(z.context, allowed):
        service, endpoint = z.bind(zmq.REP, server=orders, zap_domain=b"orders")
        run = run.replace("tcp://orders.example:5556", endpoint).replace("ipc:///tmp/orders.sock", socket)
        with running(run, client.replace("ipc:///tmp/orders.sock", socket), tmp_path) as peer:
            service.send(b"answer to " + service.recv())
            assert peer.communicate(timeout=20)[0] == b"answer to hello\n"


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_every_file_that_is_linked_is_there(document: Path) -> None:
    links = [target for target in re.findall(r"\]\(([^)#]+)", document.read_text()) if "://" not in target]
    assert [target for target in links if not (document.parent / target).exists()] == []


def test_the_readme_links_every_document() -> None:
    assert [path.name for path in ROOT.glob("docs/*.md") if f"(docs/{path.name})" not in README] == []
