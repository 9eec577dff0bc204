"""``curveproxy probe``: every cause produced for real, against curveproxy, libzmq and bare sockets."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import zmq
from support import zmtp
from support.cases import deep, some_deep
from support.client import RawClient, RawServer, answers
from support.curve import Keys
from support.door import Door
from support.libzmq import Libzmq
from support.peer import Peer, Refused
from support.process import Sidecar, certificate, command, curveproxy, environment, free_port, wait_until
from support.service import RawService, closes_at_once, echo, silent
from support.zmtp import COMMAND
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from curveproxy.reasons import ClientFailure, Outcome

SERVER, CLIENT = Keys.new(), Keys.new()
PROBE = {"Socket-Type": b"DEALER", "X-Curveproxy-Probe": b""}


def key(keys: Keys) -> str:
    """A public key as it is written."""
    return z85.encode(keys.public).decode()


def key_file(directory: Path, keys: Keys, name: str = "client") -> str:
    """A .key_secret file of these keys."""
    public, secret = (z85.encode(half).decode() for half in (keys.public, keys.secret))
    path = directory / f"{name}.key_secret"
    path.write_text(f'metadata\ncurve\n    public-key = "{public}"\n    secret-key = "{secret}"\n')
    return str(path)


def probe(endpoint: str, *options: str, server: Keys = SERVER) -> dict[str, Any]:
    """What a probe found out, as JSON; its exit status and its words for a person say the same."""
    done = curveproxy("probe", endpoint, "--server-key", key(server), "--json", *options)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return checked(json.loads(done.stdout), done.returncode)


def checked(found: dict[str, Any], status: int) -> dict[str, Any]:
    """The same, after a look at what holds of all of them."""
    assert status == (0 if found["ok"] else 1)
    assert all(step["seconds"] >= 0 for step in found["steps"])
    if not found["ok"]:
        failure = found["failure"]
        names = (*ClientFailure, *Outcome)
        causes = {reason.cause: reason.remedy for reason in names if reason == failure["reason"]}
        assert failure["remedy"] in causes.values()
        assert failure["cause"].startswith(tuple(causes))
        assert failure["step"] not in [step["step"] for step in found["steps"]]
    return found


def why(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Step, reason and detail of its failure."""
    return found["failure"]["step"], found["failure"]["reason"], found["failure"]["detail"]


@contextmanager
def server(*steps: str, **options: Any) -> Iterator[str]:
    """A CURVE server that takes these steps of a handshake and closes; its endpoint."""

    def behave(peer: Peer) -> None:
        side = RawServer(peer.sock, SERVER, **options)
        for step in steps:
            getattr(side, step)()

    with RawService(behave) as service:
        yield service.endpoint


@contextmanager
def saying(octets: bytes) -> Iterator[str]:
    """Whoever says this, whatever he hears, and closes once he has heard something; its endpoint."""

    def behave(peer: Peer) -> None:
        peer.send_raw(octets)
        peer.sock.recv(1000)

    with RawService(behave) as service:
        yield service.endpoint


# --- a client that is let in


def test_who_is_let_in_sees_each_step_and_what_ready_says(door: Door, tmp_path: Path) -> None:
    secret = key_file(tmp_path, door.keys)
    relayed = door.proxy.metric("curveproxy_messages_total")
    with door.expecting(admitted=1):
        found = probe(door.proxy.public, "--secret-key", secret, server=door.proxy.server)
    assert [step["step"] for step in found["steps"]] == ["resolve", "connect", "greeting", "welcome", "ready"]
    assert found["properties"]["Socket-Type"] == "ROUTER"
    assert (found["failure"], found["client_key"]) == (None, key(door.keys))
    wait_until(lambda: not door.proxy.metric("curveproxy_sessions"), "it has left")
    lines = [line for line in door.proxy.log if line.get("probe")]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("session opened", "debug"),
        ("session closed", "debug"),
    ]
    told = door.service.accepted[-1]
    wait_until(lambda: told.theirs, "the service has read what it is told")
    assert not [name for name in told.theirs if name.lower().startswith("x-curveproxy")]
    assert door.proxy.metric("curveproxy_messages_total") == relayed


def test_what_a_person_reads(door: Door, tmp_path: Path) -> None:
    secret = key_file(tmp_path, door.keys)
    done = curveproxy("probe", door.proxy.public, "--server-key", door.proxy.server_key, "--secret-key", secret)
    assert (done.returncode, done.stderr) == (0, "")
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words[:6] == ["resolve", "connect", "greeting", "welcome", "ready", "Socket-Type:"]
    assert done.stdout.endswith("it is let in\n")
    assert "\x1b" not in done.stdout
    done = curveproxy("probe", door.proxy.public, "--server-key", door.proxy.server_key)
    assert done.returncode == 1
    assert f"cause    {ClientFailure.REFUSED.cause}" in done.stdout
    assert f"remedy   {ClientFailure.REFUSED.remedy}\n" in done.stdout


def test_a_probe_leaves_its_clients_session_alone() -> None:
    """Also where the certificate says whose identity that is."""
    with RawService(echo) as service, Sidecar(backend=service.endpoint) as proxy, ExitStack() as stack:
        keys = proxy.new_client("desk", {"identity": "desk-7"})
        proxy.wait_listed(1)
        client = stack.enter_context(RawClient(proxy.public, proxy.server.public, keys)).handshake()
        with RawClient(proxy.public, proxy.server.public, keys, properties=PROBE) as other:
            other.handshake()
        assert answers(client)
        told = [peer.theirs.get("Identity", b"") for peer in service.accepted]
        assert told == [b"desk-7", b""]


def test_a_libzmq_server_lets_it_in(libzmq: Libzmq) -> None:
    _, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
    assert probe(endpoint)["properties"] == {"Socket-Type": "ROUTER", "Identity": ""}


def test_over_ipc_and_by_name(libzmq: Libzmq, tmp_path: Path) -> None:
    for place in (f"ipc://{tmp_path}/s", "ipc://@curveproxy-probe-test"):
        _, endpoint = libzmq.bind(zmq.ROUTER, place, server=SERVER)
        assert probe(endpoint)["ok"]
    _, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
    assert probe(endpoint.replace("127.0.0.1", "localhost"))["ok"]


def test_what_a_server_says_of_itself_is_no_command_to_the_terminal() -> None:
    said = {"Socket-Type": b"ROUTER", "X-Evil": b"\x1b[2J", "X-Own": "é".encode()}
    with server("handshake", "hold", properties=said) as endpoint:
        done = curveproxy("probe", endpoint, "--server-key", key(SERVER))
    assert "X-Evil: 1b5b324a\n" in done.stdout
    assert "X-Own: é\n" in done.stdout


# --- before a key is used


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
def test_the_name_does_not_resolve(host: str) -> None:
    step, reason, detail = why(probe(f"tcp://{host}:5556"))
    assert (step, reason) == ("resolve", "resolve")
    assert detail


@pytest.mark.parametrize("endpoint", ["tcp", "ipc:///no/such/socket"])
def test_nobody_listens(endpoint: str) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}" if endpoint == "tcp" else endpoint
    assert why(probe(endpoint)) == ("connect", "connect_refused", "")


def test_the_address_can_not_be_reached() -> None:
    assert why(probe("tcp://255.255.255.255:5556"))[:2] == ("connect", "connect")


@pytest.mark.parametrize(
    ("octets", "reason", "detail"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not_zmtp", "it looks like HTTP"),
        deep(b"\x15\x03\x01\x00\x02\x02\x46", "not_zmtp", "it looks like TLS"),
        deep(b"SSH-2.0-OpenSSH_9.2\r\n", "not_zmtp", "it looks like SSH"),
        deep(b"220 mail ESMTP\r\n", "not_zmtp", ""),
        deep(b"\x01\x00", "zmtp_version", "ZMTP 1.0"),
        (zmtp.greeting(version=(1, 5))[:12], "zmtp_version", "ZMTP 2.0"),
        (zmtp.greeting(b"NULL"), "mechanism", "it offers NULL"),
        deep(zmtp.greeting(b"GSSAPI"), "mechanism", ""),
        (b"", "greeting_closed", ""),
        deep(b"HTT", "greeting_closed", ""),
        deep(zmtp.greeting()[:20], "greeting_closed", ""),
    ],
)
def test_who_is_no_curve_server(octets: bytes, reason: str, detail: str) -> None:
    with saying(octets) as endpoint:
        assert why(probe(endpoint)) == ("greeting", reason, detail)


def test_who_closes_at_once() -> None:
    with RawService(closes_at_once) as service:
        assert why(probe(service.endpoint)) == ("greeting", "greeting_closed", "")


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN"])
def test_a_libzmq_service_without_curve(libzmq: Libzmq, mechanism: str) -> None:
    """It leaves without a word when it sees our mechanism; asked again, it tells its own."""
    options: dict[str, Any] = {"plain_server": True} if mechanism == "PLAIN" else {}
    _, endpoint = libzmq.bind(zmq.ROUTER, **options)
    assert why(probe(endpoint)) == ("greeting", "mechanism", f"it offers {mechanism}")


def test_the_service_behind_the_proxy(door: Door) -> None:
    assert why(probe(door.service.endpoint)) == ("greeting", "mechanism", "it offers NULL")


# --- the keys


def test_another_client_at_the_other_end(libzmq: Libzmq) -> None:
    keys = Keys.new()
    options: dict[str, Any] = {
        "curve_serverkey": SERVER.public,
        "curve_publickey": keys.public,
        "curve_secretkey": keys.secret,
    }
    _, endpoint = libzmq.bind(zmq.DEALER, **options)
    assert why(probe(endpoint)) == ("welcome", "role", "")


def test_another_server_key(libzmq: Libzmq, door: Door) -> None:
    _, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
    assert why(probe(endpoint, server=Keys.new())) == ("welcome", "welcome_closed", "")
    with door.expecting(hello_box=1):
        assert why(probe(door.proxy.public, server=Keys.new())) == ("welcome", "welcome_closed", "")


def test_a_key_that_is_not_on_the_list(libzmq: Libzmq, door: Door) -> None:
    with door.expecting(client_unknown=1):
        assert why(probe(door.proxy.public, server=door.proxy.server)) == ("ready", "refused", "400")
    authenticator = ThreadAuthenticator(libzmq.context)
    authenticator.start()
    try:
        authenticator.configure_curve(location=str(door.proxy.clients))
        _, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
        assert why(probe(endpoint)) == ("ready", "refused", "400")
    finally:
        authenticator.stop()


def test_a_proxy_that_only_closes() -> None:
    with Sidecar(backend="tcp://127.0.0.1:1", clients={"refusal": "close"}) as proxy:
        assert why(probe(proxy.public, server=proxy.server)) == ("ready", "ready_closed", "")


SECRET = z85.encode(CLIENT.secret).decode()
BAD_KEYS = {  # --server-key, --secret-key, words of the complaint
    "of another length": (key(SERVER)[:-1], "client.key_secret", "of 39 letters"),
    "in a file, of another length": ("short.key", "client.key_secret", "of 35 letters"),
    "a file that is none": ("none.key", "client.key_secret", "holds no public key"),
    "no file": ("missing.key", "client.key_secret", "is no file"),
    "a public file where the secret belongs": (key(SERVER), "alice.key", "name its .key_secret"),
    "no secret file": (key(SERVER), "missing.key_secret", "no such file"),
    "a secret instead of a file": (key(SERVER), SECRET, "no such file"),
    "the client's own": (key(CLIENT), "client.key_secret", "the client's own public key"),
    "the client's secret": (SECRET, "client.key_secret", "the client's secret key"),
    "swapped": (key(SERVER), "swapped.key_secret", "its halves are swapped"),
}


QUICK = {"in a file, of another length", "no secret file", "the client's secret", "swapped"}


@pytest.mark.parametrize("name", some_deep(BAD_KEYS, QUICK))
def test_a_key_that_can_not_be_used(name: str, tmp_path: Path) -> None:
    server_key, secret_key, words = BAD_KEYS[name]
    key_file(tmp_path, CLIENT)
    certificate(tmp_path, "alice")
    swapped = Keys(CLIENT.secret, CLIENT.public)
    key_file(tmp_path, swapped, "swapped")
    (tmp_path / "short.key").write_text(f'curve\n    public-key = "{key(SERVER)[:-5]}"\n')
    (tmp_path / "none.key").write_text("this is no certificate\n")
    options = ("probe", "tcp://127.0.0.1:1", "--server-key", server_key, "--secret-key", secret_key)
    for form in ((), ("--json",)):
        done = curveproxy(*options, *form, directory=tmp_path)
        assert words in done.stdout
        assert SECRET not in done.stdout + done.stderr
        assert (done.returncode, done.stderr) == (1, "")
    step, reason, _ = why(checked(json.loads(done.stdout), done.returncode))
    assert (step, reason) == ("keys", "keys")


def test_a_file_whose_path_looks_like_a_key_is_a_file(door: Door, tmp_path: Path) -> None:
    name = "demo/curveproxy-42/server.key".rjust(40, "k")
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(Path(door.proxy.directory, "server.key").read_text())
    secret = key_file(tmp_path, door.keys)
    done = curveproxy(
        "probe", door.proxy.public, "--server-key", name, "--secret-key", secret, "--json", directory=tmp_path
    )
    assert json.loads(done.stdout)["ok"], done.stdout


def test_a_wrong_command_line_ends_with_2() -> None:
    for arguments in (
        ["tcp://127.0.0.1:1"],
        ["somewhere", "--server-key", key(SERVER)],
        ["tcp://127.0.0.1:1", "--server-key", key(SERVER), "--socket-type", "STREAM"],
    ):
        done = curveproxy("probe", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("curveproxy: ")


# --- behind the vouch


def test_a_socket_type_that_does_not_fit(libzmq: Libzmq, door: Door, tmp_path: Path) -> None:
    """libzmq closes without a word, for this as for other reasons; a lenient server tells its own."""
    options = ("--socket-type", "SUB")
    secret = key_file(tmp_path, door.keys)
    found = probe(door.proxy.public, "--secret-key", secret, *options, server=door.proxy.server)
    assert why(found) == ("ready", "socket_type", "")
    assert found["failure"]["cause"] == Outcome.SOCKET_TYPE.cause
    _, endpoint = libzmq.bind(zmq.ROUTER, server=SERVER)
    assert why(probe(endpoint, *options)) == ("ready", "ready_closed", "")
    with server("handshake", "hold") as endpoint:
        assert why(probe(endpoint, *options)) == ("ready", "socket_type", "client SUB, service ROUTER")


@pytest.mark.parametrize(
    ("steps", "step", "reason"),
    [
        (["greeting"], "welcome", "welcome_closed"),
        (["greeting", "hello"], "welcome", "welcome_closed"),
        (["greeting", "hello", "welcome"], "ready", "ready_closed"),
        (["greeting", "hello", "welcome", "initiate"], "ready", "ready_closed"),
    ],
)
def test_who_closes_at_a_stage(steps: list[str], step: str, reason: str) -> None:
    with server(*steps) as endpoint:
        assert why(probe(endpoint)) == (step, reason, "")


def test_a_server_that_is_broken() -> None:
    broken = {
        b"\x04\x05\x04PING": ("welcome", "command"),
        zmtp.frame(zmtp.command(b"WELCOME", bytes(160)), COMMAND): ("welcome", "welcome"),
    }
    for octets, (step, reason) in broken.items():
        with saying(zmtp.greeting(b"CURVE", as_server=1) + octets) as endpoint:
            assert why(probe(endpoint))[:2] == (step, reason)
    with server("greeting", "hello", "welcome", "initiate", "welcome") as endpoint:
        assert why(probe(endpoint))[:2] == ("ready", "command")
    with server("handshake", "hold", properties={"": b"no name"}) as endpoint:
        assert why(probe(endpoint))[:2] == ("ready", "ready")


def test_an_error_that_answers_hello_is_about_the_server_key() -> None:
    """As JeroMQ says it, where others close."""
    error = zmtp.frame(zmtp.error(b""), COMMAND)
    with saying(zmtp.greeting(b"CURVE", as_server=1) + error) as endpoint:
        assert why(probe(endpoint)) == ("welcome", "welcome_closed", "it said ERROR")


@pytest.mark.deep
def test_who_closes_late_has_not_closed_for_the_key() -> None:
    """As a proxy whose service is down, at the end of handshake_seconds."""

    def behave(peer: Peer) -> None:
        side = RawServer(peer.sock, SERVER)
        side.greeting()
        side.hello()
        time.sleep(4)

    with RawService(behave) as service:
        assert why(probe(service.endpoint)) == ("welcome", "welcome_timeout", "")


@pytest.mark.deep
def test_silence_at_each_stage_ends_after_ten_seconds() -> None:
    """All at once, for each takes that long; a listener whose queue is full never answers a connection."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        silences = {
            "connect": f"tcp://127.0.0.1:{full.getsockname()[1]}",
            "greeting": stack.enter_context(RawService(silent)).endpoint,
            "welcome": stack.enter_context(server("greeting", "hold")),
            "ready": stack.enter_context(server("greeting", "hello", "welcome", "hold")),
        }
        probes = {
            stage: subprocess.Popen(
                [*command(), "probe", endpoint, "--server-key", key(SERVER), "--json"],
                env=environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
            for stage, endpoint in silences.items()
        }
        for stage, process in probes.items():
            told, _ = process.communicate(timeout=60)
            found = checked(json.loads(told), process.returncode)
            assert why(found) == (stage, f"{stage}_timeout", "")
            assert sum(step["seconds"] for step in (*found["steps"], found["failure"])) > 9


# --- what the proxy answers to a probe


def refusal(proxy: Sidecar, keys: Keys, properties: Mapping[str, bytes] = PROBE) -> str:
    """What is told instead of READY; nothing when it is only closed."""
    with RawClient(proxy.public, proxy.server.public, keys, properties=properties) as client:
        try:
            client.handshake()
        except Refused as error:
            return bytes(error.args[0]).decode()
        except (EOFError, ConnectionResetError):
            return ""
    raise AssertionError("it was let in")


def test_an_authorised_probe_is_told_the_outcome_and_nobody_else(tmp_path: Path) -> None:
    with Sidecar(backend="tcp://127.0.0.1:1") as proxy:
        keys = proxy.new_client("alice")
        proxy.wait_listed(1)
        assert refusal(proxy, keys) == "backend_unavailable"
        assert refusal(proxy, keys, {"Socket-Type": b"DEALER"}) == ""
        assert refusal(proxy, Keys.new()) == "400"
        secret = key_file(tmp_path, keys)
        found = probe(proxy.public, "--secret-key", secret, server=proxy.server)
        assert why(found) == ("ready", "backend_unavailable", "")
        assert found["failure"]["cause"] == Outcome.BACKEND_UNAVAILABLE.cause


def test_a_full_house_is_told_apart_from_a_service_that_is_down(tmp_path: Path) -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint, admission={"max_sessions": 1}) as proxy:
        keys = proxy.new_client("alice")
        proxy.wait_listed(1)
        with RawClient(proxy.public, proxy.server.public, keys) as client:
            client.handshake()
            assert refusal(proxy, keys, {"Socket-Type": b"DEALER"}) == ""
            found = probe(proxy.public, "--secret-key", key_file(tmp_path, keys), server=proxy.server)
            assert why(found) == ("ready", "sessions_limit", "")


def test_what_a_certificate_binds_is_told_by_name() -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint, clients={"refusal": "close"}) as proxy:
        keys = proxy.new_client("alice", {"identity": "desk-7", "socket-types": "REQ"})
        proxy.wait_listed(1)
        assert refusal(proxy, keys) == "socket_type"
        assert refusal(proxy, keys, PROBE | {"Socket-Type": b"REQ", "Identity": b"other"}) == "metadata"
        assert refusal(proxy, keys, {"Socket-Type": b"DEALER"}) == ""
        assert refusal(proxy, Keys.new()) == ""


def test_a_proxy_that_leaves_says_so() -> None:
    """To whoever waits for the service at that moment."""
    with RawService(silent) as service, Sidecar(backend=service.endpoint, process={"drain_seconds": 5}) as proxy:
        keys = proxy.new_client("alice")
        proxy.wait_listed(1)
        with RawClient(proxy.public, proxy.server.public, keys, properties=PROBE) as client:
            client.greeting()
            client.hello()
            client.welcome()
            client.initiate()
            wait_until(lambda: service.accepted, "its service is dialled")
            proxy.signal()
            with pytest.raises(Refused, match="shutdown"):
                client.ready()


def test_a_probe_that_stays_is_no_session_to_work_with() -> None:
    """Nothing is relayed for it, either way, and it ends; its client's limit on sessions holds for it."""

    def talks(peer: Peer) -> None:
        peer.handshake()
        peer.send([b"to whoever is there"])
        peer.recv()
        heard.set()

    heard = Event()
    with RawService(talks) as service, Sidecar(backend=service.endpoint) as proxy:
        keys = proxy.new_client("desk", {"identity": "desk-7", "max-sessions": "1"})
        proxy.wait_listed(1)
        with RawClient(proxy.public, proxy.server.public, keys, properties=PROBE) as client:
            client.handshake()
            with suppress(OSError):
                client.send([b"work"])
            assert client.recv_until_closed().octets == b""
        proxy.wait_metric("curveproxy_sessions_closed_total", 1, reason="probe")
        wait_until(lambda: not any(thread.is_alive() for thread in service.threads[1:]), "the service sees its end")
        assert not heard.is_set()
        with RawClient(proxy.public, proxy.server.public, keys) as client:
            assert client.handshake().recv() == [b"to whoever is there"]
            for properties in (PROBE, PROBE | {"Identity": b"desk-7"}):
                assert refusal(proxy, keys, properties) == "client_sessions_limit"
            with suppress(OSError):
                client.send([b"work"])
            wait_until(heard.is_set, "its own session works")
