"""The harness around the real process, tried on a program that is not curveproxy: it must notice what goes wrong."""

import os
import signal
import sys
from pathlib import Path

import pytest

from support import process
from support.process import Sidecar

# It listens where the configuration says, answers /readyz and /metrics, and leaves on SIGTERM.
STAND_IN = """
import http.server, json, pathlib, signal, sys, tomllib
config = tomllib.loads(pathlib.Path(sys.argv[2]).read_text())
service, = config["service"]
print("starting, in words", file=sys.stderr)
line = {"event": "listening", "service": service["name"], "endpoint": "tcp://127.0.0.1:5"}
print(json.dumps(line), file=sys.stderr)
mode = service.get("mode", "")
if mode == "ends":
    sys.exit("no such file")
if mode == "traceback":
    print("Traceback (most recent call last):", file=sys.stderr)
sys.stderr.flush()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
METRICS = f'''
# TYPE curveproxy_unexpected_errors counter
curveproxy_unexpected_errors_total {int(mode == "error")}
# TYPE curveproxy_handshakes counter
curveproxy_handshakes_total{{service="default",outcome="admitted"}} 2
curveproxy_handshakes_total{{service="default",outcome="vouch"}} 3
'''
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = METRICS.encode()
        self.send_response(200 if self.path in ("/readyz", "/metrics") else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
host, port = config["admin"]["listen"].split(":")
http.server.HTTPServer((host, int(port)), Page).serve_forever()
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(process, "command", lambda: [sys.executable, str(program)])


def test_what_the_harness_reads() -> None:
    with Sidecar(backend="tcp://127.0.0.1:1") as proxy:
        assert proxy.public == proxy.endpoints["default"] == "tcp://127.0.0.1:5"
        assert [line["event"] for line in proxy.log] == ["listening"]
        assert proxy.metric("curveproxy_handshakes_total") == 5
        proxy.wait_metric("curveproxy_handshakes_total", 3, outcome="vouch")
        assert proxy.get("/nothing")[0] == 404
        assert len(proxy.server_key) == 40
        assert proxy.fds() >= 3
        assert proxy.rss() >= proxy.pss() > 0
        keys = proxy.new_client("alice")
        assert len(keys.public) == len(keys.secret) == 32
        assert os.listdir(proxy.clients) == ["alice.key"]
        assert proxy.stop() == 0
    assert not proxy.directory.exists()


def test_an_early_end_is_told_with_what_was_written() -> None:
    proxy = Sidecar(backend="", service={"mode": "ends"})
    with pytest.raises(RuntimeError, match="no such file"):
        proxy.__enter__()
    assert not proxy.directory.exists()


@pytest.mark.parametrize("mode", ["error", "traceback"])
def test_a_process_that_was_not_clean_fails_its_test_unless_told_otherwise(mode: str) -> None:
    def run(*, clean: bool) -> None:
        with Sidecar(backend="", service={"mode": mode}, clean=clean):
            pass

    with pytest.raises(AssertionError):
        run(clean=True)
    run(clean=False)


def test_a_process_that_was_killed_has_an_exit_status() -> None:
    with Sidecar('[[service]]\nname = "a"\n') as proxy:
        proxy.signal(signal.SIGKILL)
        assert proxy.wait() == -signal.SIGKILL
