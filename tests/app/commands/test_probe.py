"""A probe against a server in a thread. Against real peers: tests/system/test_probe.py."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from support import zmtp
from support.certificates import answer, authority_text, issued
from support.process import certificate as key_files

from curveproxy.app.commands import probe as probe_module
from curveproxy.app.commands.probe import probe
from curveproxy.app.commands.probe_sides import ProbeOptions
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.reasons import Outcome
from curveproxy.wire import sodium, spec, z85
from curveproxy.wire.codec.select import answer_hello_untrusted, open_initiate_untrusted
from curveproxy.wire.codec.suites import Suite, available_suites
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.offer import Terms

SERVER, COOKIE_KEY = KeyPair.from_secret(bytes(range(32))), bytes(32)
Answer = Callable[[curve_server.Initiate], bytes]
Serve = Callable[[socket.socket], None]


def received(sock: socket.socket, mark: Callable[[bytes], tuple[int, int, int]]) -> bytes:
    """The body of the client's next command."""
    seen = b""
    while (place := mark(seen))[0] > len(seen):
        seen += sock.recv(place[0] - len(seen))
    _, begin, end = place
    return seen[begin:end]


def shake_hands(sock: socket.socket, answer: Answer) -> None:
    """The server's side, up to its answer to INITIATE."""
    sock.sendall(curve_server.GREETING)
    sock.recv(spec.GREETING_SIZE, socket.MSG_WAITALL)
    body, chance = received(sock, curve_server.hello_mark_untrusted), sodium.randombytes(32)
    _, nonce, welcome = answer_hello_untrusted(body, (SERVER,), COOKIE_KEY, b"", KeyPair.generate(), chance)
    sock.sendall(welcome)
    body = received(sock, lambda seen: curve_server.initiate_mark_untrusted(seen, 4096))
    opened = open_initiate_untrusted(body, SERVER.public, (COOKIE_KEY,), b"", nonce)
    sock.sendall(answer(curve_server.Initiate.read_untrusted(*opened)))


@contextmanager
def serving(serve: Serve, directory: Path, *then: Serve) -> Iterator[Endpoint]:
    """One connection is served in a thread, and others in turn. then: how those are."""
    path = directory / "s"
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        listening.listen()

        def run() -> None:
            for each in (serve, *then):
                sock, _ = listening.accept()
                with sock:
                    each(sock)

        thread = threading.Thread(target=run)
        thread.start()
        yield Endpoint("ipc", str(path))
        thread.join()


def found(endpoint: Endpoint, capsys: pytest.CaptureFixture[str], server_key: bytes = SERVER.public) -> dict[str, Any]:
    """What the probe reports, as JSON."""
    options = ProbeOptions(endpoint, "REQ", z85.encode(server_key))
    ok = probe(options, as_json=True)
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["ok"] is ok
    return report


def ready(initiate: curve_server.Initiate) -> bytes:
    return curve_server.ready(initiate.shared, {"Socket-Type": b"REP", "X-Note": b"\xff"})


def test_who_is_let_in_hears_what_the_service_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda sock: shake_hands(sock, ready), tmp_path) as endpoint:
        report = found(endpoint, capsys)
    assert [step["step"] for step in report["steps"]] == ["resolve", "connect", "greeting", "welcome", "ready"]
    assert report["properties"] == {"Socket-Type": "REP", "X-Note": "ff"}
    assert report["records"] == "none"


@pytest.mark.parametrize("suite", available_suites())
def test_records_are_offered_and_the_suite_that_was_agreed_on_is_told(
    suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def agrees(initiate: curve_server.Initiate) -> bytes:
        agreed = initiate.agree(Terms([suite]))
        frame, _ = curve_server.conclude(initiate, SERVER.public, agreed, {"Socket-Type": b"REP"})
        return frame

    with serving(lambda sock: shake_hands(sock, agrees), tmp_path) as endpoint:
        report = found(endpoint, capsys)
    assert (report["properties"], report["records"]) == ({"Socket-Type": "REP"}, suite.word)


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (lambda _: curve_server.error("400"), "refused", "400"),
        (lambda _: curve_server.error("sessions_limit"), "sessions_limit", ""),
        (lambda _: curve_server.error("records"), "records", ""),
        (lambda _: curve_server.error("whatever"), "refused", ""),
        (lambda _: b"", "ready_closed", ""),
        (lambda initiate: zmtp.damaged(curve_server.ready(initiate.shared, {})), "ready", "a box that does not open"),
        (
            lambda initiate: curve_server.ready(initiate.shared, {"Socket-Type": b"PUB"}),
            "socket_type",
            "client REQ, service PUB",
        ),
    ],
    ids=["400", "a word of ours", "records", "another word", "closed", "damaged", "another type"],
)
def test_the_answer_to_initiate_has_its_reason(
    answer: Answer, reason: str, detail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda sock: shake_hands(sock, answer), tmp_path) as endpoint:
        failure = found(endpoint, capsys)["failure"]
    assert (failure["step"], failure["reason"], failure["detail"]) == ("ready", reason, detail)


# --- certificates


def says(*texts: bytes) -> Serve:
    """Answers the question for certificates, and closes."""

    def serve(sock: socket.socket) -> None:
        asked = sock.recv(spec.GREETING_SIZE, socket.MSG_WAITALL)
        assert asked == zmtp.greeting(b"CURVE-CERTIFICATE")
        sock.sendall(answer(*texts))

    return serve


def by_authority(endpoint: Endpoint, directory: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the probe reports that knows the server by an authority."""
    (file := directory / "plant-1.authority").write_text(authority_text("plant-1"))
    ok = probe(ProbeOptions(endpoint, "REQ", authority=[file], server_name="orders"), as_json=True)
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["ok"] is ok
    return report


def test_who_knows_an_authority_asks_for_the_key_before_it_greets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = issued(SERVER.public, "server-1", kind="server", names="orders", valid_until="2099-01-02T03:04:05Z")
    with serving(says(text), tmp_path, lambda sock: shake_hands(sock, ready)) as endpoint:
        report = by_authority(endpoint, tmp_path, capsys)
    assert report["ok"]
    steps = {step["step"]: step["detail"] for step in report["steps"]}
    assert list(steps) == ["resolve", "connect", "certificate", "greeting", "welcome", "ready"]
    assert steps["certificate"] == "server-1, until 2099-01-02, signed by plant-1"


def greets(mechanism: bytes) -> Serve:
    """Says what it speaks, and closes."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(zmtp.greeting(mechanism, as_server=1))
        sock.recv(spec.GREETING_SIZE, socket.MSG_WAITALL)

    return serve


NAMELESS = issued(SERVER.public, kind="server", names="prices")


@pytest.mark.parametrize(
    ("serve", "reason", "detail"),
    [
        (says(), "certificate_none", "it has none"),
        (says(NAMELESS), "certificate_name", "they are of other servers"),
        (says(b"garbage"), "certificate", "malformed: its last line has no end"),
        (lambda sock: sock.sendall(answer()[:-1]), "certificate_none", "it closes when it is asked"),
        (lambda sock: None, "certificate_none", "it closes when it is asked"),
        (greets(b"CURVE"), "certificate_none", "it closes when it is asked"),
        (greets(b"NULL"), "mechanism", "it offers NULL"),
        (lambda sock: sock.sendall(b"HTTP/1.1 400"), "not_zmtp", "it looks like HTTP"),
    ],
    ids=["none", "of others", "garbage", "half an answer", "closed", "CURVE", "NULL", "HTTP"],
)
def test_without_a_certificate_that_is_believed_nobody_is_greeted(
    serve: Serve, reason: str, detail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(serve, tmp_path) as endpoint:
        failure = by_authority(endpoint, tmp_path, capsys)["failure"]
    assert (failure["step"], failure["reason"], failure["detail"]) == ("certificate", reason, detail)


def test_a_server_that_is_silent_at_the_question_has_no_certificates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_module, "SECONDS", 0.2)
    with serving(lambda sock: drained(sock), tmp_path) as endpoint:
        failure = by_authority(endpoint, tmp_path, capsys)["failure"]
    assert failure["reason"] == "certificate_none"
    assert failure["detail"] == "it is silent when it is asked"


def drained(sock: socket.socket) -> None:
    while sock.recv(1000):
        pass


def test_a_certificate_is_presented_to_the_server_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = key_files(tmp_path, "desk-7")
    (file := tmp_path / "desk-7.cert").write_bytes(issued(keys.public))
    told: list[dict[str, bytes]] = []

    def noting(initiate: curve_server.Initiate) -> bytes:
        told.append(initiate.properties)
        return ready(initiate)

    with serving(lambda sock: shake_hands(sock, noting), tmp_path) as endpoint:
        options = ProbeOptions(endpoint, "REQ", z85.encode(SERVER.public), secret_key=tmp_path / "desk-7.key_secret")
        assert probe(evolve(options, certificate=file), as_json=True)
    capsys.readouterr()
    assert told[0]["X-Curveproxy-Certificate"] == file.read_bytes()
    assert "X-Curveproxy-Records" in told[0], "records are offered all the same"


@pytest.mark.parametrize(
    ("outcome", "detail"), [("certificate", "it stands in the log there"), ("certificate_expired", "")]
)
def test_a_proxy_tells_what_it_finds_of_the_certificate(
    outcome: str, detail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda sock: shake_hands(sock, lambda _: curve_server.error(outcome)), tmp_path) as endpoint:
        failure = found(endpoint, capsys)["failure"]
    assert (failure["step"], failure["reason"], failure["detail"]) == ("ready", outcome, detail)
    assert failure["cause"].startswith(Outcome(outcome).cause)


# --- where there is no handshake


def test_a_server_of_another_protocol_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda sock: sock.sendall(b"SSH-2.0-OpenSSH"), tmp_path) as endpoint:
        failure = found(endpoint, capsys)["failure"]
    assert (failure["step"], failure["reason"], failure["detail"]) == ("greeting", "not_zmtp", "it looks like SSH")


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failure = found(Endpoint("ipc", str(tmp_path / "s")), capsys)["failure"]
    assert (failure["step"], failure["reason"]) == ("connect", "connect_refused")


@pytest.mark.parametrize("key", ["x" * 39, "nobody.key"])
def test_a_key_that_can_not_be_used_is_a_finding(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not probe(ProbeOptions(Endpoint("tcp", "127.0.0.1", 1), "REQ", key), as_json=False)
    assert "the server key" in capsys.readouterr().out
