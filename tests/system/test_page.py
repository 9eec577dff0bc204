"""The status page, its JSON, what may be done on it and by whom, and ``top``."""

import http.client
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import termios
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from support.client import RawClient, answers
from support.peer import Refused
from support.process import Sidecar, command, environment, free_port, toml, wait_until
from support.service import RawService, echo

from curveproxy.reasons import BackendFailure, Outcome

NASTY = "<b onclick=x>&amp;"


@contextmanager
def sidecar(backend: str, *, admin: Mapping[str, object] | None = None, **tables: object) -> Iterator[Sidecar]:
    """A proxy with these settings of its admin endpoint."""
    settings = {"listen": f"127.0.0.1:{free_port()}", **(admin or {})}
    own = {"name": "orders", "listen": "tcp://127.0.0.1:0", "backend": backend, "secret_keys": ["server.key_secret"]}
    config = toml("[[service]]", own) + toml("[service.clients]", {"directory": "clients"})
    config += toml("[service.admission]", tables) + toml("[admin]", settings)
    proxy = Sidecar(config)
    proxy.admin = f"http://{settings['listen']}".replace("0.0.0.0", "127.0.0.1")
    with proxy:
        yield proxy


@pytest.fixture
def service() -> Iterator[RawService]:
    with RawService(echo) as behind:
        yield behind


def status(proxy: Sidecar, query: str = "") -> dict[str, Any]:
    code, text = proxy.get(f"/api/status{query}")
    assert code == 200, text
    found: dict[str, Any] = json.loads(text)
    return found


def ask(
    proxy: Sidecar, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, str, http.client.HTTPMessage]:
    """A request with these headers, in which _ stands for -."""
    connection = http.client.HTTPConnection(proxy.admin.removeprefix("http://"), timeout=10)
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, told)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


# --- what is seen


def test_sessions_refusals_and_figures_are_those_of_the_metrics_and_the_log(service: RawService) -> None:
    with sidecar(service.endpoint, max_sessions=4) as proxy:
        alice, bob = proxy.new_client("alice"), proxy.new_client(NASTY)
        proxy.wait_listed(2, "orders")
        with suppress(Refused), RawClient(proxy.public, proxy.server.public) as stranger:
            stranger.handshake()
        with (
            RawClient(proxy.public, proxy.server.public, alice) as first,
            RawClient(proxy.public, proxy.server.public, alice) as second,
            RawClient(proxy.public, proxy.server.public, bob, socket_type="REQ") as third,
        ):
            for client, count in ((first, 1), (second, 5), (third, 2)):
                client.handshake()
                for _ in range(count):
                    client.send([b"12345678"])
                    assert client.recv() == [b"12345678"]
            found = status(proxy, "?sort=messages")
            [orders] = found["services"]
            assert (orders["sessions"], orders["client_keys"]) == ({"value": 3, "limit": 4}, 2)
            assert (orders["messages_in"], orders["octets_out"], orders["backend_up"]) == (8, 64, True)
            assert (orders["refused"], orders["admitted"]) == (1, 3)
            rows = [
                (each["client"], each["messages_in"], each["octets_in"], each["zmtp"]) for each in found["sessions"]
            ]
            assert rows == [("alice", 5, 40, "3.0"), (NASTY, 2, 16, "3.0"), ("alice", 1, 8, "3.0")]
            [line] = [line for line in proxy.log if line["event"] == "client refused"]
            [trouble] = found["troubles"]
            assert (trouble["word"], trouble["hint"]) == (line["outcome"], line["hint"])
            assert trouble["what"].endswith(line["peer"])
            for query, shown in (("?filter=ALICE", 2), ("?filter=onclick", 1), ("?service=none", 0)):
                assert status(proxy, query)["matching"] == shown
            assert len(status(proxy, "?sessions=1")["sessions"]) == 1
            html = proxy.get("/")[1]
            assert NASTY not in html
            assert html.count("&lt;b onclick=x&gt;&amp;amp;") == 1
            assert line["hint"] in html


def test_what_is_wrong_is_told_first_with_its_remedy() -> None:
    with sidecar(f"tcp://127.0.0.1:{free_port()}", max_sessions=1) as proxy:
        words = [trouble["word"] for trouble in status(proxy)["troubles"]]
        assert words == [Outcome.CLIENT_UNKNOWN], "nobody is listed"
        alice = proxy.new_client("alice")
        proxy.wait_listed(1, "orders")
        with suppress(EOFError), RawClient(proxy.public, proxy.server.public, alice) as client:
            client.handshake()
        troubles = status(proxy)["troubles"]
        down, refused = troubles
        assert (down["word"], down["hint"], down["is_bad"]) == ("refused", BackendFailure.REFUSED.hint, True)
        assert (refused["word"], refused["is_bad"]) == (Outcome.BACKEND_UNAVAILABLE, False)
        assert "tcp://127.0.0.1" in down["what"]
        html = proxy.get("/")[1]
        assert re.findall(r'<span class="pill bad">([^<]*)', html) == ["down: refused", "down"], "not by colour alone"
        assert "down: refused" in top(str(proxy.config)).stdout


def test_the_page_names_its_host(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        host = socket.gethostname()
        html = proxy.get("/")[1]
        assert f"curveproxy on {host}</title>" in html
        assert f"<span>on {host}</span>" in html
        assert status(proxy)["host"] == host


def test_a_limit_that_is_near_is_told(service: RawService) -> None:
    with sidecar(service.endpoint, max_sessions=5) as proxy:
        alice = proxy.new_client("alice")
        proxy.wait_listed(1, "orders")
        clients = [RawClient(proxy.public, proxy.server.public, alice) for _ in range(5)]
        for client in clients[:4]:
            client.handshake()
        [near] = status(proxy)["troubles"]
        assert (near["what"], near["is_bad"]) == ("4 of 5 sessions: nearly full", False)
        clients[4].handshake()
        [full] = status(proxy)["troubles"]
        assert (full["what"], full["is_bad"]) == ("5 of 5 sessions: full", True)
        for client in clients:
            client.close()


def test_nothing_of_a_stranger_is_shown(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        with suppress(Refused, EOFError), RawClient(proxy.public, proxy.server.public, identity=b"evil") as client:
            client.handshake()
        with suppress(OSError), RawClient(proxy.public, proxy.server.public) as client:
            client.send_raw(b"GET /evil HTTP/1.1\r\n" + b"evil" * 20)
        proxy.wait_metric("curveproxy_handshakes_total", 1, outcome="not_zmtp")
        assert "evil" not in proxy.get("/")[1]
        assert "evil" not in proxy.get("/api/status")[1]


NONSENSE = ("sessions=1001", "sessions=-1", "sessions=many", "sessions=", f"sessions={'9' * 5000}", "sort=price")


def test_a_query_that_makes_no_sense_is_refused_in_one_line(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        for path, query in itertools.product(("/", "/api/status"), NONSENSE):
            code, text = proxy.get(f"{path}?{query}")
            assert code == 400, query
            assert re.fullmatch(r"(sessions is a whole number from 0 to 1000|sort is one of age, .*)\n", text), query


ODD = {
    f"GET /sessions/{'9' * 5000}/end": 405,
    f"POST /sessions/{'9' * 5000}/end": 403,
    "POST /sessions/%D9%A3/end": 403,
    "GET /sessions/": 404,
    "GET /%ff%00/../..//": 404,
    "GET /?filter=%ff%00%0a&service=%c0": 200,
    f"GET /api/status?filter={'x' * 10_000}": 200,
    "TRACE /": 405,
    "OPTIONS *": 404,
    "GET http://evil.example/api/status": 404,
}
ODD_HEADERS = {
    ("GET", "/metrics", "Accept: application/openmetrics-text;version=1.x"): 400,
    ("GET", "/metrics", f"Accept: text/plain;version={'9' * 5000}"): 400,
    ("GET", "/metrics", "Accept: text/plain;version=;escaping=\xff,;=;,"): 200,
    ("POST", "/sessions/1/end", "Origin: http://["): 403,
    ("POST", "/sessions/1/end", "Origin: \xff"): 403,
    ("POST", "/sessions/1/end", "Content-Type: \xff;boundary=["): 403,
    ("GET", "/", "Content-Length: 99999999999999999999"): 200,
    ("GET", "/", "Cookie: \xff=;;=["): 200,
    ("GET", "/", "Range: bytes=-x"): 200,
    ("GET", "/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: !"): None,
    ("GET", "/", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"): None,
}


def raw(proxy: Sidecar, request: str, host: str = "localhost") -> int | None:
    """The status that a request gets: its lines without the Host, as octets of Latin-1; None for no answer in HTTP."""
    where, port = proxy.admin.removeprefix("http://").split(":")
    head, _, rest = request.partition("\r\n")
    lines = [f"{head} HTTP/1.1", f"Host: {host}", *filter(None, [rest])]
    with socket.create_connection((where, int(port)), 10) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer = sock.makefile("rb").readline()
    found = re.match(rb"HTTP/1.1 ([0-9]+)", answer)
    return int(found[1]) if found else None


def test_an_odd_request_is_the_fault_of_who_makes_it(service: RawService) -> None:
    """Never 500, no unexpected error and no traceback: the last two the proxy is held to at its end."""
    with sidecar(service.endpoint, admin={"allow_actions": True, "public_page": True}) as proxy:
        for request, status in ODD.items():
            assert raw(proxy, request) == status, request[:60]
        for (method, path, header), expected in ODD_HEADERS.items():
            found = raw(proxy, f"{method} {path}\r\n{header}")
            assert found == expected or (expected is None and found != 500), header[:60]
        for host in ("[", "]", "[::1", "a b", "localhost:99999999", "\xff", "@", "%00", ""):
            assert raw(proxy, "GET /", host) in (200, 400), host
            assert raw(proxy, f"POST /sessions/1/end\r\nOrigin: http://{host}\r\nContent-Length: 0", host) in (400, 403)
        where, port = proxy.admin.removeprefix("http://").split(":")
        with socket.create_connection((where, int(port)), 10) as sock:  # a form of which nothing comes
            sock.sendall(b"POST /sessions/1/end HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 9\r\n\r\n")
        assert proxy.metric("curveproxy_unexpected_errors_total") == 0


# --- to whom


HOSTS = {
    "127.0.0.1": 200,
    "localhost": 200,
    "LOCALHOST:9464": 200,
    "[::1]:1": 200,
    "evil.example": 403,
    "127.0.0.1.evil.example": 403,
    "localhost.evil.example:9464": 403,
    "[::1": 403,
    "evil@localhost": 403,
    "localhost@evil": 403,
    "localhost/evil": 403,
    "": 403,
}


@pytest.mark.parametrize("public", [False, True])
def test_a_host_that_is_no_name_of_this_machine_is_shown_nothing(service: RawService, public: bool) -> None:
    with sidecar(service.endpoint, admin={"public_page": public}) as proxy:
        for host, code in HOSTS.items():
            for path in ("/", "/api/status"):
                assert ask(proxy, "GET", path, Host=host)[0] == (200 if public else code), host
            assert ask(proxy, "GET", "/metrics", Host=host)[0] == 200


def own_address() -> str:
    """One of this machine's that is not loopback: whoever comes from there is as good as another machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(sock.getsockname()[0])


@pytest.mark.parametrize("public", [False, True])
def test_another_machine_is_shown_nothing(service: RawService, public: bool) -> None:
    own, listen = own_address(), f"0.0.0.0:{free_port()}"
    with sidecar(service.endpoint, admin={"listen": listen, "public_page": public, "allow_actions": True}) as proxy:
        assert ask(proxy, "GET", "/")[0] == 200
        proxy.admin = proxy.admin.replace("127.0.0.1", own)
        assert [ask(proxy, "GET", path)[0] for path in ("/metrics", "/healthz", "/readyz")] == [200] * 3
        for host in (own, "localhost"):
            assert [ask(proxy, "GET", path, Host=host)[0] for path in ("/", "/api/status")] == [
                200 if public else 403
            ] * 2
        code, text, _ = ask(proxy, "POST", "/sessions/1/end", Origin=proxy.admin)
        assert code == 403
        assert ("loopback only" in text) is not public


def test_a_browser_is_told_to_load_nothing_from_elsewhere(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        _, html, headers = ask(proxy, "GET", "/")
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert set(re.findall(r'(?:src|href|action)="([^"?]*)', html)) <= {"/", "data:,"}
        assert "token" not in html, "nothing can be done here"
        _, _, headers = ask(proxy, "GET", "/api/status")
        assert headers["Cache-Control"] == "no-store"


# --- what can be done


@pytest.fixture
def actor(service: RawService) -> Iterator[tuple[Sidecar, RawClient, str, int]]:
    """A proxy on which something can be done, a client, the page's token and the number of the client's session."""
    with sidecar(service.endpoint, admin={"allow_actions": True}) as proxy:
        alice = proxy.new_client("alice")
        proxy.wait_listed(1, "orders")
        with RawClient(proxy.public, proxy.server.public, alice) as client:
            client.handshake()
            [token] = set(re.findall(r'name="token" value="([^"]+)"', proxy.get("/")[1]))
            [session] = status(proxy)["sessions"]
            yield proxy, client, token, session["id"]


def form(**fields: str) -> str:
    return urllib.parse.urlencode(fields)


def test_a_session_is_ended_by_its_button(actor: tuple[Sidecar, RawClient, str, int]) -> None:
    proxy, client, token, number = actor
    path = f"/sessions/{number}/end?sort=newest"
    code, _, headers = ask(proxy, "POST", path, form(token=token), Origin=proxy.admin)
    assert (code, headers["Location"]) == (303, "/?sort=newest")
    client.recv_until_closed()
    client.close()
    proxy.wait_metric("curveproxy_sessions_closed_total", 1, reason="drained")
    [line] = [line for line in proxy.log if "status page" in line["event"]]
    assert (line["client"], line["level"]) == ("alice", "warning")
    assert ask(proxy, "POST", path, form(token=token), Origin=proxy.admin)[0] == 404


def test_whoever_is_not_the_page_ends_nothing(actor: tuple[Sidecar, RawClient, str, int]) -> None:
    proxy, client, token, number = actor
    path, right, own = f"/sessions/{number}/end", form(token=token), proxy.admin
    for body, headers, expected in (
        (right, {}, 403),
        (right, {"Origin": "http://evil.example"}, 403),
        (right, {"Origin": "null"}, 403),
        (right, {"Origin": "http://evil.example", "Host": "evil.example"}, 403),
        (form(token="guessed"), {"Origin": own}, 403),
        (form(token=""), {"Origin": own}, 403),
        ("", {"Origin": own}, 403),
        ("x" * 5000, {"Origin": own}, 413),
    ):
        assert ask(proxy, "POST", path, body, **headers)[0] == expected, (body[:20], headers)
    assert ask(proxy, "GET", path)[0] == 405
    assert ask(proxy, "POST", "/sessions/999/end", right, Origin=own)[0] == 404
    for word in ("x", "9" * 5000, "%D9%A3", "-1"):
        assert ask(proxy, "POST", f"/sessions/{word}/end", right, Origin=own)[0] == 404
    assert answers(client)


def test_nothing_can_be_done_where_nobody_allowed_it(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        code, text, _ = ask(proxy, "POST", "/sessions/1/end", form(token=""), Origin=proxy.admin)
        assert code == 403
        assert "allow_actions" in text


# --- top


def top(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {**environment(), **variables}
    return subprocess.run(
        [*command(), "top", *arguments], capture_output=True, text=True, timeout=30, check=False, env=env
    )


def test_top_shows_the_same_in_a_terminal(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        alice = proxy.new_client("alice")
        proxy.wait_listed(1, "orders")
        with suppress(Refused), RawClient(proxy.public, proxy.server.public) as stranger:
            stranger.handshake()
        with RawClient(proxy.public, proxy.server.public, alice) as client:
            client.handshake()
            for arguments in (("--admin", proxy.admin.removeprefix("http://")), (str(proxy.config), "--once")):
                shown = top(*arguments)
                assert (shown.returncode, shown.stderr) == (0, "")
                assert re.search(r"^orders +ingress +up +1/", shown.stdout, re.MULTILINE)
                assert re.search(r"^alice +orders +127\.0\.0\.1:\d+ .* DEALER", shown.stdout, re.MULTILINE)
                assert Outcome.CLIENT_UNKNOWN.hint in " ".join(shown.stdout.split())


def test_top_shows_whole_figures_or_none_where_there_is_little_room(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        shown = {columns: top(str(proxy.config), COLUMNS=str(columns)).stdout for columns in (40, 80, 200)}
    heads = {columns: re.findall(r"^service .*", text, re.MULTILINE)[0].split() for columns, text in shown.items()}
    for columns, text in shown.items():
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= columns
        assert heads[columns] == heads[200][: len(heads[columns])], "the first ones stay"
    assert 2 < len(heads[40]) < len(heads[80]) < len(heads[200])


@pytest.mark.deep
def test_top_says_why_there_is_nothing_to_show(service: RawService) -> None:
    shown = top("--admin", f"127.0.0.1:{free_port()}")
    assert shown.returncode == 1
    assert "nobody answers" in shown.stderr
    assert top("--admin", "nonsense").returncode == 2
    shown = top("--admin", service.endpoint.removeprefix("tcp://"))
    assert shown.returncode == 1
    assert "Traceback" not in shown.stderr


ESC = "\x1b]0;evil\x07\x9b2J\u202e\n"


class Liar(BaseHTTPRequestHandler):
    """Whoever has the port may answer as curveproxy does, and better. tree: what it says."""

    tree: ClassVar[Any] = {}

    def do_GET(self) -> None:
        self.send_response(200, "\x1b[2J\x9b")
        self.end_headers()
        self.wfile.write(json.dumps(self.tree).encode())

    def log_message(self, *_: object) -> None:
        pass


def tainted(tree: Any) -> Any:
    """The same with ESC in each of its strings."""
    if isinstance(tree, dict):
        return {name: tainted(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [tainted(value) for value in tree]
    return f"{tree}{ESC}" if isinstance(tree, str) else tree


@pytest.mark.deep
def test_top_shows_nothing_that_a_terminal_obeys(service: RawService) -> None:
    with sidecar(f"tcp://127.0.0.1:{free_port()}") as proxy:
        alice = proxy.new_client("alice")
        proxy.wait_listed(1, "orders")
        with suppress(EOFError), RawClient(proxy.public, proxy.server.public, alice) as client:
            client.handshake()
        found = status(proxy)
    found["sessions"] = [
        {"id": 1, "service": "a", "client": "b", "peer": "c", "seconds": 1, "socket_type": "d", "zmtp": "e"}
        | dict.fromkeys(["messages_in", "messages_out", "octets_in", "octets_out"], 1)
    ]
    with HTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for tree, code in ((tainted(found), 0), (ESC, 1), ({}, 1)):
            Liar.tree = tree
            shown = top("--admin", f"127.0.0.1:{server.server_port}", COLUMNS="5000")
            assert (shown.returncode, "evil" in shown.stdout) == (code, code == 0)
            assert all(line.isprintable() for line in (shown.stdout + shown.stderr).split("\n"))
        server.shutdown()


def without_colours(octets: bytes | bytearray) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-z]", "", octets.decode(errors="replace"))


class Terminal:
    """A terminal in which ``top`` runs. seen: all that it has been sent; size in columns and lines."""

    def __init__(self, address: str, *, columns: int = 120, lines: int = 30) -> None:
        self.ours, self.theirs = os.openpty()
        self.before, self.seen = termios.tcgetattr(self.theirs), bytearray()
        self.process = subprocess.Popen(
            # Whoever runs the tests in the background has made them deaf to SIGINT.
            ["env", "--default-signal=INT", *command(), "top", "--admin", address],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=subprocess.PIPE,
            env={**environment(), "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines)},
        )

    def __enter__(self) -> "Terminal":
        wait_until(lambda: self.screens >= 1, "a screen")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            os.close(self.ours)
            os.close(self.theirs)

    def read(self) -> None:
        while select.select([self.ours], [], [], 0)[0]:
            self.seen.extend(os.read(self.ours, 65536))

    @property
    def screens(self) -> int:
        """How many of them have begun: the cursor goes home before each, and at the beginning."""
        self.read()
        return self.seen.count(b"\x1b[H") - 1

    @property
    def screen(self) -> str:
        """The last one, as far as it has come."""
        self.read()
        return without_colours(self.seen.rpartition(b"\x1b[H")[2])

    def press(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def ended(self) -> int:
        """Its status, once it has ended by itself; the terminal is then as it was before."""
        wait_until(lambda: self.screens and self.process.poll() is not None, "its end")
        self.read()
        assert self.process.stderr is not None
        assert self.process.stderr.read() == b""
        assert termios.tcgetattr(self.theirs) == self.before
        assert self.seen.count(b"\x1b[?1049h") == self.seen.count(b"\x1b[?1049l") == 1, "the screen before is back"
        assert self.seen.rindex(b"\x1b[?25l") < self.seen.rindex(b"\x1b[?25h"), "with its cursor"
        return self.process.returncode


def test_top_draws_nothing_that_a_stranger_chose(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy:
        found = status(proxy)
    with HTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Liar.tree = tainted(found)
        with Terminal(f"127.0.0.1:{server.server_port}", columns=500) as terminal:
            wait_until(lambda: terminal.screens >= 2, "a whole one, and the next")
            text = without_colours(terminal.seen.split(b"\x1b[H")[-2])
            assert "evil" in text
            assert all(line.isprintable() for line in text.splitlines())
        server.shutdown()


@pytest.mark.deep
def test_top_goes_on_until_it_is_interrupted(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy, Terminal(proxy.admin.removeprefix("http://")) as terminal:
        wait_until(lambda: terminal.screens >= 3, "three screens")
        proxy.stop()
        wait_until(lambda: "nobody answers" in terminal.screen, "it tells that the proxy has gone")
        proxy.start()
        wait_until(lambda: "messages/s" in terminal.screen, "it goes on with the next one")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 0


@pytest.mark.parametrize("keys", [b"q", b"x\x1b[Zq", signal.SIGTERM])
def test_top_leaves_the_terminal_as_it_was(service: RawService, keys: bytes | signal.Signals) -> None:
    with sidecar(service.endpoint) as proxy, Terminal(proxy.admin.removeprefix("http://")) as terminal:
        assert termios.tcgetattr(terminal.theirs) != terminal.before, "keys come at once, and are not shown"
        if isinstance(keys, bytes):
            terminal.press(keys)
        else:
            terminal.process.send_signal(keys)
        assert terminal.ended() == (0 if isinstance(keys, bytes) else 128 + signal.SIGTERM)


@pytest.mark.deep
def test_top_scrolls(service: RawService) -> None:
    with sidecar(service.endpoint) as proxy, ExitStack() as stack:
        alice = proxy.new_client("alice")
        proxy.wait_listed(1, "orders")
        for _ in range(60):
            stack.enter_context(RawClient(proxy.public, proxy.server.public, alice)).handshake()
        sessions = [each["peer"] for each in status(proxy)["sessions"]]
        terminal = stack.enter_context(Terminal(proxy.admin.removeprefix("http://"), lines=12))

        def first(place: int | None, keys: bytes) -> None:
            """After these keys it is the first one that can be seen, and the others of a screen follow."""
            terminal.press(keys)
            expected = list(range(3)) if place is None else list(range(place, min(place + 12, 60)))

            def is_shown() -> bool:  # of one look at the screen, which may have come in part
                screen = terminal.screen
                peers = re.findall(r"^alice +orders +(\S+) ", screen, re.MULTILINE)
                assert len(screen.splitlines()) <= 12
                return [sessions.index(peer) for peer in peers] == expected and (
                    ("messages/s" in screen) == (place is None)
                )

            wait_until(is_shown, f"{expected} after {keys!r}")

        first(None, b"")
        first(3, b"\x1b[6~")
        first(4, b"\x1b[B")
        first(5, b"\x1bOB")
        first(7, b"jj")
        first(6, b"k")
        first(5, b"\x1b[A")
        first(29, b"\x1b[6~\x1b[6~")
        first(48, b"\x1b[F")
        first(47, b"k")
        first(35, b"\x1b[5~")
        first(None, b"\x1b[H")
        first(48, b"\x1b[4~")
        first(None, b"\x1b[1~")
        terminal.press(b"q")
        assert terminal.ended() == 0
