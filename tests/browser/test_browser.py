"""The status page in headless Chromium: what it shows, how wide it is, and that its script does what it should."""

import http.server
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs
import pytest
from support.client import RawClient
from support.process import free_port
from support.service import RawService, echo

from curveproxy.app import page
from curveproxy.app.status import Query
from system.test_page import sidecar

pytestmark = pytest.mark.browser

PHONE, DESKTOP = 375, 1400
PNG = b"\x89PNG\r\n"


def chromium(url: str, *options: str) -> str:
    """What it writes of a page."""
    with tempfile.TemporaryDirectory() as profile:
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        run = subprocess.run(
            [*browser, f"--user-data-dir={profile}", *options, url], capture_output=True, text=True, timeout=120, check=True
        )
    return run.stdout


def dom(url: str, width: int = DESKTOP, milliseconds: int = 500) -> str:
    """The page as it is after so long of its own time."""
    return chromium(url, "--dump-dom", f"--window-size={width},1000", f"--virtual-time-budget={milliseconds}")


MEASURE = """<!doctype html><body><iframe src="{url}" width="{width}" height="3000"></iframe><script>
onload = () => {{ const page = frames[0].document.documentElement; document.title = page.scrollWidth; }};
</script>"""


@contextmanager
def served(answer: "list[str] | str", status: int = 200) -> Iterator[str]:
    """A server that gives these one after the other, the last one for ever; its URL. No text is an error."""
    left = [answer] if isinstance(answer, str) else list(answer)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(200 if text else 500)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", page.POLICY)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def crowded() -> Iterator[str]:
    """The page of a proxy with trouble and 5,000 sessions."""
    with RawService(echo) as behind, ExitStack() as stack:
        admission = {"handshakes_per_second_per_source": 100_000, "max_half_open_per_source": 10_000, "max_sessions": 5500}
        proxy = stack.enter_context(sidecar(behind.endpoint, admin={"allow_actions": True}, **admission))
        names = [f"a client with quite a long name, number {number}" for number in range(4)]
        keys = [proxy.new_client(name) for name in names]
        proxy.wait_listed(4, "orders")
        for number in range(5000):
            stack.enter_context(RawClient(proxy.public, proxy.server.public, keys[number % 4])).handshake()
        with suppress(OSError), RawClient(proxy.public, proxy.server.public) as client:
            client.handshake()
        yield f"{proxy.admin}/"
