"""The status page in headless Chromium: what it shows, how wide it is, and that its script does what it should."""

import http.server
import re
import struct
import subprocess
import tempfile
import threading
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs
import pytest
from support.client import RawClient
from support.peer import Refused
from support.service import RawService, echo
from system.test_page import sidecar

from curveproxy.app.admin import page
from curveproxy.app.observe.overview import merged
from curveproxy.app.observe.status import Query

pytestmark = pytest.mark.browser

PHONE, DESKTOP = 375, 1400
PNG = b"\x89PNG\r\n"


def chromium(url: str, *options: str) -> str:
    """What it writes of a page."""
    with tempfile.TemporaryDirectory() as profile:
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        run = subprocess.run(
            [*browser, f"--user-data-dir={profile}", *options, url],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    return run.stdout


def dom(url: str, milliseconds: int = 500) -> str:
    """The page as it is after so long of its own time."""
    return chromium(url, "--dump-dom", f"--virtual-time-budget={milliseconds}")


# In a frame, for no window is as narrow as a phone. The title becomes how wide the page would be, and may be.
FRAME = "<!doctype html><title></title><iframe width={width} height=1000 src=/page></iframe>"
MEASURE = """<script>
const page = document.documentElement;
onload = () => { parent.document.title = page.scrollWidth + " " + page.clientWidth; };
</script>"""


@contextmanager
def served(*answers: str, policy: str = page.POLICY) -> Iterator[str]:
    """A server that gives these one after the other, the last one for ever; its URL. No text is an error."""
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(200 if text else 500)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def crowded() -> Iterator[str]:
    """The page of a proxy with trouble and 5,000 sessions."""
    with RawService(echo) as behind, ExitStack() as stack:
        admission = {
            "handshakes_per_second_per_source": 100_000,
            "max_half_open_per_source": 10_000,
            "max_sessions": 5500,
        }
        proxy = stack.enter_context(sidecar(behind.endpoint, admin={"allow_actions": True}, **admission))
        names = [f"a client with quite a long name, number {number}" for number in range(4)]
        keys = [proxy.new_client(name) for name in names]
        proxy.wait_listed(4, "orders")
        for number in range(5000):
            stack.enter_context(RawClient(proxy.public, proxy.server.public, keys[number % 4])).handshake()
        with suppress(Refused), RawClient(proxy.public, proxy.server.public) as client:
            client.handshake()
        yield f"{proxy.admin}/"


def widths(html: str, width: int) -> list[int]:
    """How wide a page would be where there is this much room, and how much room there is."""
    with served(FRAME.format(width=width), html + MEASURE, policy="") as url:
        [title] = re.findall(r"<title>(.*?)</title>", dom(url))
    return [int(word) for word in title.split()]


@pytest.mark.parametrize("width", [PHONE, 800, DESKTOP])
def test_nothing_is_wider_than_the_window(crowded: str, width: int) -> None:
    with urllib.request.urlopen(crowded) as answer:
        html = answer.read().decode()
    wanted, room = widths(html, width)
    assert wanted <= room <= width
    wide = html.replace("<main>", "<main><div style='width: 2000px'>x</div>")
    assert widths(wide, width)[0] >= 2000, "it would be seen"


def test_five_thousand_sessions_are_a_small_page(crowded: str) -> None:
    shown = dom(crowded)
    assert "100 of 5,000 shown" in shown
    assert len(re.findall("<button[^>]*>end", shown)) == 100
    assert len(shown) < 200_000
    found = dom(f"{crowded}?filter=number+3&sessions=7&sort=newest")
    assert "7 of 1,250 shown" in found
    assert "number 2" not in found.partition('id="sessions"')[2]


@pytest.mark.parametrize(("width", "dark"), [(PHONE, False), (DESKTOP, False), (DESKTOP, True)])
def test_it_can_be_looked_at(crowded: str, tmp_path: Path, width: int, dark: bool) -> None:
    """A picture is as wide as asked for, in the colours that were asked for, and more than an empty page."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    picture = tmp_path / "page.png"
    chromium(crowded, f"--screenshot={picture}", f"--window-size={width},1600", "--hide-scrollbars", *scheme)
    octets = picture.read_bytes()
    assert octets.startswith(PNG)
    assert struct.unpack(">II", octets[16:24]) == (width, 1600)
    assert len(octets) > 20_000
    assert corner(octets) == (b"\x1a\x1f\x26" if dark else b"\xff\xff\xff"), "--card, in page.css"


def corner(picture: bytes) -> bytes:
    """Red, green and blue of a PNG's first pixel: whatever the row's filter, there is nothing to filter it by."""
    data, at = b"", 8
    while at < len(picture):  # chunks: length[4] type[4] data crc[4]
        length = int.from_bytes(picture[at : at + 4], "big")
        data += picture[at + 8 : at + 8 + length] if picture[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    return zlib.decompress(data)[1:4]


def test_the_script_takes_in_what_moves_and_says_when_nobody_answers() -> None:
    first, second = (render(seconds) for seconds in (60.0, 120.0))
    with served(first, second) as url:
        assert "up 1 min<" in dom(url, milliseconds=1000)
    with served(first, second) as url:
        moved = dom(url, milliseconds=3000)
        assert "up 2 min<" in moved
        assert 'id="stale" hidden' in moved
    with served(first, second, "") as url:
        stale = dom(url, milliseconds=5000)
        assert "up 2 min<" in stale, "the last that was seen stays"
        assert 'id="stale" hidden' not in stale
    with served(first, second, "", second) as url:
        assert 'id="stale" hidden' in dom(url, milliseconds=7000), "and it answers again"


def render(seconds: float) -> str:
    """An empty page, of a process of this age."""
    return page.render(attrs.evolve(merged([], Query()), seconds=seconds), Query(), "")
