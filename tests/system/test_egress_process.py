"""An egress in a real process: read again, its keys rotated, run by options and by workers, its socket for few."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from support import service, zmtp
from support.baseline import baseline
from support.client import answers
from support.curve import Keys
from support.egress import Egress, Remote, client_of, table
from support.peer import Peer, connect
from support.process import START_SECONDS, certificate, command, curveproxy, environment, free_port, wait_until
from support.zmtp import Malformed
from zmq.utils import z85

from system.test_reload import reload
from system.test_workers import workers

NOBODY = 65534
# Before it has greeted, behind it, or meanwhile.
CLOSED = {"BrokenPipeError", "ConnectionResetError", "closed"}
HANDSHAKES = "curveproxy_handshakes_total"


def is_served(public: str) -> bool:
    """Whether a plain client gets in there, and an answer. One that is refused is closed."""
    try:
        with Peer.to(public) as peer:
            return answers(peer.handshake())
    except (EOFError, ConnectionError, FileNotFoundError):
        return False


def replace(proxy: Egress, name: str, suffix: str = ".key") -> Keys:
    """Put another key into a key file of the proxy, by a rename as a careful operator does. Returns the new pair."""
    with tempfile.TemporaryDirectory(dir=proxy.directory) as directory:
        keys = certificate(Path(directory), name)
        (Path(directory) / f"{name}{suffix}").rename(proxy.directory / f"{name}{suffix}")
    return keys


def echo(peer: Peer) -> None:
    """Send every message back. Whoever takes it for another is let go, as libzmq does."""
    with suppress(Malformed):
        service.echo(peer)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def remote() -> Iterator[Remote]:
    """A CURVE server that echoes; its keys are for ``server.key`` of the proxy."""
    with Remote(Keys.new(), echo) as found:
        yield found


def key_of(remote: Remote) -> str:
    """Its public key, as it is written into a configuration."""
    return z85.encode(remote.keys.public).decode()


# --- a configuration


def test_egresses_come_change_and_go_and_the_others_do_not_notice(remote: Remote) -> None:
    one, two, three = (f"tcp://127.0.0.1:{free_port()}" for _ in range(3))
    with Remote(Keys.new(), echo) as other:
        keys = {"server_keys": [key_of(remote), key_of(other)]}
        kept = table("kept", remote.endpoint, listen=one, **keys)
        first = kept + table("moved", remote.endpoint, listen=two, **keys)
        with (
            Egress(config=first) as proxy,
            baseline(proxy),
            Peer.to(one) as inside,
            Peer.to(two) as moved,
        ):
            for peer in (inside, moved):
                assert answers(peer.handshake())
            before = len(remote.accepted)
            reload(proxy, kept + table("moved", other.endpoint, listen=three, **keys))
            assert not is_served(two)
            assert is_served(three)
            assert other.accepted, "new clients go to the new remote"
            assert len(remote.accepted) == before
            assert answers(inside)
            assert answers(moved), "and those that are inside stay where they are"
            reload(proxy, kept)
            moved.recv_until_closed()
            moved.close()
            assert not is_served(three)
            assert answers(inside)
            reload(proxy, first)


def test_a_wrong_egress_changes_nothing(remote: Remote) -> None:
    listen = f"tcp://127.0.0.1:{free_port()}"
    right = table("far", remote.endpoint, listen=listen, server_keys=[key_of(remote)])
    with Egress(config=right) as proxy:
        for wrong in (
            right.replace(remote.endpoint, listen),
            right.replace(key_of(remote), "nowhere.key"),
            right.replace(f'listen = "{listen}"', f'listen = "{listen.replace("127.0.0.1", "0.0.0.0")}"'),
            right + table("far", remote.endpoint),
        ):
            reload(proxy, wrong, "failure")
            assert is_served(listen)
        told = [line["detail"] for line in proxy.log if line["event"] == "configuration not taken"]
        assert any("on which this egress itself listens" in detail for detail in told)
        assert any("nowhere.key can not be read" in detail for detail in told)
        assert any("allow_remote_clients = true" in detail for detail in told)


def test_a_service_and_an_egress_change_places(remote: Remote) -> None:
    """Both directions in one process, on one port after another."""
    listen = f"tcp://127.0.0.1:{free_port()}"
    far = table("one", remote.endpoint, listen=listen, server_keys=[key_of(remote)])
    near = far.replace("[[egress]]", "[[service]]").split("remote = ")[0]
    near += f'listen = "{listen}"\nbackend = "tcp://127.0.0.1:{free_port()}"\nsecret_keys = ["server.key_secret"]\n'
    near += '[service.clients]\nallow = "any"\n'
    with Egress(config=far) as proxy:
        for config, served in ((near, False), (far, True), (near, False), (far, True)):
            reload(proxy, config)
            if served:
                assert is_served(listen)
            with connect(listen) as sock:
                sock.settimeout(0.1 if served else None)
                greets = not served and sock.recv(1) == b"\xff"
            assert greets != served, "an ingress speaks first, an egress does not"


@pytest.mark.parametrize("of", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_who_waits_for_a_remote_that_is_down_gets_to_the_one_that_takes_its_place(remote: Remote, of: int) -> None:
    listen, down = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    config = table("far", down, listen=listen, server_keys=[key_of(remote)])
    limits = "[egress.limits]\nhandshake_seconds = 60\n"
    with Egress(config=config + limits, process={"workers": of}) as proxy:
        for _ in range(of * 4):  # until each process knows that it is down
            assert not is_served(listen)
        with Peer.to(listen) as waits:
            reload(proxy, config.replace(down, remote.endpoint) + limits)
            assert answers(waits.handshake())


# --- its keys


@pytest.mark.parametrize("of", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_keys_are_rotated_while_sessions_stand(of: int) -> None:
    with (
        Remote(Keys.new(), echo) as remote,
        Egress(remote.endpoint, process={"workers": of}, egress={"listen": f"tcp://127.0.0.1:{free_port()}"}) as proxy,
    ):
        remote.keys = proxy.server

        def client_key() -> bytes:
            """Who the egress is for a new client."""
            assert is_served(proxy.public)
            return remote.accepted[-1].client  # type: ignore[attr-defined, no-any-return]

        with client_of(proxy) as inside:
            assert answers(inside.handshake())
            assert client_key() == proxy.keys.public
            new = replace(proxy, "alice", ".key_secret")
            wait_until(lambda: all(client_key() == new.public for _ in range(4 * of)), "we are another")
            remote.keys = replace(proxy, "server")
            wait_until(lambda: all(is_served(proxy.public) for _ in range(4 * of)), "the remote is another")
            assert answers(inside)
            assert proxy.metric("curveproxy_reloads_total", result="failure") == 0
        told = [line for line in proxy.log if line["event"] == "egress keys changed"]
        assert {line["public_key"] for line in told} == {z85.encode(new.public).decode()}
        for keys in (new, proxy.keys):
            assert z85.encode(keys.secret).decode() not in proxy.stderr


def test_a_server_key_that_was_wrong_is_put_right_without_a_restart() -> None:
    with Remote(Keys.new(), echo) as remote, Egress(remote.endpoint) as proxy:
        assert not is_served(proxy.public)
        assert proxy.failures().keys() <= {"welcome_closed", "connect_refused", "welcome_timeout"}
        right = z85.encode(remote.keys.public).decode()
        text = (proxy.directory / "server.key").read_text()
        wrong = z85.encode(proxy.server.public).decode()
        (proxy.directory / "server.key").write_text(text.replace(wrong, right))
        wait_until(lambda: is_served(proxy.public), "it gets in")


# --- its socket


def test_the_socket_has_its_mode_and_a_reload_changes_it(remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "far.sock"

    def config(mode: str) -> str:
        return table("far", remote.endpoint, listen=f"ipc://{path}", server_keys=[key_of(remote)], socket_mode=mode)

    for of in (1, 2):
        with Egress(config=config("0600"), process={"workers": of}) as proxy, Peer.to(f"ipc://{path}") as inside:
            assert answers(inside.handshake())
            assert mode(path) == 0o600
            inode = path.stat().st_ino
            reload(proxy, config("0660"))
            assert mode(path) == 0o660
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                other = table("other", remote.endpoint, listen=f"tcp://127.0.0.1:{port}")
                reload(proxy, config("0666") + other, "failure")
            assert mode(path) == 0o660, "all of it is taken, or nothing"
            assert path.stat().st_ino == inode
            assert answers(inside)
            assert is_served(f"ipc://{path}")
        assert not path.exists()


@pytest.fixture
def public_place() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def knock(path: Path, uid: int) -> str:
    """What becomes of a process of that user that connects and greets."""
    code = f"""
import socket
with socket.socket(socket.AF_UNIX) as sock:
    try:
        sock.connect({str(path)!r})
        sock.sendall({zmtp.greeting()!r})
        print("answered" if sock.recv(1) else "closed")
    except OSError as error:
        print(type(error).__name__)
"""
    python = [shutil.which("python3", path="/usr/bin:/bin") or sys.executable, "-c", code]
    done = subprocess.run(
        python, user=uid, group=uid, extra_groups=[], capture_output=True, text=True, check=True, timeout=60, cwd="/"
    )
    return done.stdout.strip()


@pytest.mark.deep
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("of", [1, 2])
def test_who_may_connect_is_whom_mode_and_allow_uids_let_in(remote: Remote, public_place: Path, of: int) -> None:
    path = public_place / "far.sock"

    def config(**given: object) -> str:
        keys = {"server_keys": [key_of(remote)]}
        return table("far", remote.endpoint, listen=f"ipc://{path}", **keys, **given)

    with Egress(config=config(), process={"workers": of}) as proxy:

        def refused() -> int:
            return int(proxy.metric(HANDSHAKES, service="far", outcome="client_unknown"))

        assert (knock(path, 0), knock(path, NOBODY)) == ("answered", "PermissionError")
        reload(proxy, config(socket_mode="0666"))
        assert (knock(path, 0), knock(path, NOBODY)) == ("answered", "answered")
        assert refused() == 0
        reload(proxy, config(socket_mode="0666", allow_uids=[0]))
        assert knock(path, 0) == "answered"
        assert knock(path, NOBODY) in CLOSED
        wait_until(lambda: refused() == 1, "it is counted")
        reload(proxy, config(socket_mode="0666", allow_uids=[NOBODY]))
        assert knock(path, NOBODY) == "answered"
        assert knock(path, 0) in CLOSED, "root is a user like others"
        wait_until(lambda: refused() == 2, "it is counted")
        told = [line for line in proxy.log if line.get("outcome") == "client_unknown"]
        assert [line["detail"] for line in told] == [f"uid {NOBODY}", "uid 0"]
        reload(proxy, config(socket_mode="0666", allow_uids=[0, NOBODY]))
        with Peer.to(f"ipc://{path}") as inside:
            assert answers(inside.handshake())
            reload(proxy, config(socket_mode="0666", allow_uids=[NOBODY]))
            inside.recv_until_closed()
        proxy.wait_metric("curveproxy_sessions_closed_total", 1, service="far", reason="revoked")


# --- how it is started


def test_it_runs_by_options_and_says_who_it_is(remote: Remote, tmp_path: Path) -> None:
    path, admin = tmp_path / "far.sock", free_port()
    assert curveproxy("keygen", "alice", directory=tmp_path).returncode == 0
    options = ["--listen", "ipc://far.sock", "--remote", f"tcp://127.0.0.1:{free_port()}", "--remote", remote.endpoint]
    options += ["--server-key", key_of(remote), "--secret-key", "alice.key_secret", "--admin", f"127.0.0.1:{admin}"]
    pipe = subprocess.PIPE
    arguments = [*command(), "run", *options, "--name", "orders"]
    with subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        public = process.stdout.readline().strip()
        wait_until(lambda: curveproxy("health", str(health(tmp_path, admin))).returncode == 0, "ready", START_SECONDS)
        assert (mode(path), is_served(f"ipc://{path}")) == (0o600, True)
        assert z85.encode(remote.accepted[-1].client).decode() == public  # type: ignore[attr-defined]
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "service=orders" in stderr
    assert not path.exists()


def health(place: Path, port: int) -> Path:
    """A configuration that says where the admin page is, and nothing else."""
    (file := place / "admin.toml").write_text(f'[admin]\nlisten = "127.0.0.1:{port}"\n')
    return file


@pytest.mark.systemd
@pytest.mark.parametrize("of", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_a_socket_of_a_service_manager_gets_the_mode_and_is_left_where_it_was(
    remote: Remote, tmp_path: Path, of: int
) -> None:
    path = tmp_path / "far.sock"
    config = table("far", remote.endpoint, listen=f"ipc://{path}", server_keys=[key_of(remote)])
    launcher = ["systemd-socket-activate", f"--listen={path}"]
    proxy = Egress(config=config, process={"workers": of}, launcher=launcher)

    def first() -> bool:
        """A client of one who does not listen yet, and so starts it."""
        wait_until(path.exists, "systemd has made it", START_SECONDS)
        with Peer.to(f"ipc://{path}", timeout=START_SECONDS) as peer:
            return answers(peer.handshake())

    with ThreadPoolExecutor() as threads:
        served = threads.submit(first)
        with proxy:
            assert served.result()
            assert mode(path) == 0o600
            reload(proxy, config + 'socket_mode = "0660"\n')
            assert mode(path) == 0o660
            assert is_served(f"ipc://{path}")
    assert path.exists()


def test_workers_share_its_limits_and_another_takes_the_place_of_one_that_is_gone(
    remote: Remote, tmp_path: Path
) -> None:
    path = tmp_path / "far.sock"
    config = table("far", remote.endpoint, listen=f"ipc://{path}", server_keys=[key_of(remote)])
    with Egress(config=config + "[egress.limits]\nmax_sessions = 7\n", process={"workers": 2}) as proxy:
        assert proxy.metric("curveproxy_sessions_limit", service="far") == 7
        assert proxy.metric("curveproxy_service_info", service="far", direction="egress") == 1
        first, second = workers(proxy)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: first not in (now := workers(proxy)) and len(now) == 2, "another is there")
        assert all(is_served(f"ipc://{path}") for _ in range(8))
        os.kill(second, signal.SIGKILL)
        wait_until(lambda: is_served(f"ipc://{path}"), "the socket is kept by who supervises")
        assert mode(path) == 0o600
