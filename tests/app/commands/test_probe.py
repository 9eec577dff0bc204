"""A probe against a server in a thread. Against real peers: tests/system/test_probe.py."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import zmtp

from curveproxy.app.commands.probe import probe
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire import sodium, spec, z85
from curveproxy.wire.codec.suites import Suite, available_suites
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.offer import Terms

SERVER, COOKIE_KEY = KeyPair.from_secret(bytes(range(32))), bytes(32)
Answer = Callable[[curve_server.Initiate], bytes]


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
    hello = curve_server.read_hello_untrusted(received(sock, curve_server.hello_mark_untrusted), [SERVER])
    nonces = sodium.randombytes(16), sodium.randombytes(16)
    sock.sendall(curve_server.welcome(hello, KeyPair.generate(), COOKIE_KEY, *nonces))
    body = received(sock, lambda seen: curve_server.initiate_mark_untrusted(seen, 4096))
    sock.sendall(answer(curve_server.read_initiate_untrusted(body, SERVER, [COOKIE_KEY], hello.nonce)))


@contextmanager
def serving(serve: Callable[[socket.socket], None], directory: Path) -> Iterator[Endpoint]:
    """One connection is served in a thread."""
    path = directory / "s"
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        listening.listen()

        def run() -> None:
            sock, _ = listening.accept()
            with sock:
                serve(sock)

        thread = threading.Thread(target=run)
        thread.start()
        yield Endpoint("ipc", str(path))
        thread.join()


def found(endpoint: Endpoint, capsys: pytest.CaptureFixture[str], server_key: bytes = SERVER.public) -> dict[str, Any]:
    """What the probe reports, as JSON."""
    ok = probe(endpoint, z85.encode(server_key), None, "REQ", as_json=True)
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


def test_a_server_of_another_protocol_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda sock: sock.sendall(b"SSH-2.0-OpenSSH"), tmp_path) as endpoint:
        failure = found(endpoint, capsys)["failure"]
    assert (failure["step"], failure["reason"], failure["detail"]) == ("greeting", "not_zmtp", "it looks like SSH")


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failure = found(Endpoint("ipc", str(tmp_path / "s")), capsys)["failure"]
    assert (failure["step"], failure["reason"]) == ("connect", "connect_refused")


@pytest.mark.parametrize("key", ["x" * 39, "nobody.key"])
def test_a_key_that_can_not_be_used_is_a_finding(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not probe(Endpoint("tcp", "127.0.0.1", 1), key, None, "REQ", as_json=False)
    assert "the server key" in capsys.readouterr().out
