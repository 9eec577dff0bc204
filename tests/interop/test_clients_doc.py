"""docs/clients.md says what clients see and type; both are tried here as they stand there."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zmq
from interop.node.peer import Node, installed
from support.certificates import OTHER_SEED, authority_text, issued
from support.curve import Keys
from support.libzmq import Libzmq
from support.process import Sidecar, certificate, free_port, toml, wait_until
from zmq.utils.monitor import recv_monitor_message

TEXT = (Path(__file__).parent.parent.parent / "docs" / "clients.md").read_text()

# What every attempt shows, and so tells nothing; the rest is in the page's tables.
EVERY_ATTEMPT = {"CONNECT_DELAYED", "CONNECTED", "connect:delay", "connect"}
AGAIN = {"CONNECT_RETRIED", "connect:retry"}
ADMITTED = {"HANDSHAKE_SUCCEEDED", "handshake"}
LONGEST_PAUSE = 1.0  # seconds; whoever comes again does it after 0.2 at most

WHOLE = {"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000}


class Row(NamedTuple):
    """A row of a table: what happened, the proxy's word for it, what each library shows of it."""

    what: str
    word: str
    shown: dict[str, list[str]]
    again: bool


def rows(title: str) -> dict[str, Row]:
    """What happened -> the row, of the table that begins so."""
    _, _, table = TEXT.partition(f"| {title} |")
    found = {}
    for line in table.partition("\n\n")[0].splitlines()[2:]:
        what, word, libzmq, node, again = (cell.strip() for cell in line.strip("|").split("|"))
        shown = {"pyzmq": re.findall("`(.+?)`", libzmq), "node": re.findall("`(.+?)`", node)}
        assert again in ("yes", "never")
        found[what] = Row(what, word.strip("`"), shown, again == "yes")
    return found


REFUSALS, ENDINGS = rows("the client"), rows("its end")


# --- clients of either library, and what they see


class Client:
    """A client, and the events of its socket. close: what ends it."""

    def __init__(self, seen: Callable[[], list[str]], close: Callable[[], object]) -> None:
        self.seen, self.close = seen, close

    def events(self) -> list[str]:
        """What tells something, or begins another attempt."""
        return [event for event in self.seen() if event not in EVERY_ATTEMPT]

    def telling(self, admitted: bool) -> list[str]:
        """Without new attempts. admitted: without the first, which succeeded."""
        return [event for event in self.events() if event not in AGAIN][int(admitted) :]


Connect = Callable[..., Client]


def with_pyzmq(libzmq: Libzmq) -> Connect:
    """Makes clients of pyzmq."""

    def connect(endpoint: str, server: bytes | None, keys: Keys, *, kind: str = "DEALER", identity: str = "") -> Client:
        sock = libzmq.socket(zmq.SocketType[kind], linger=0)
        if identity:
            sock.identity = identity.encode()
        if server:
            sock.curve_serverkey, sock.curve_publickey, sock.curve_secretkey = server, keys.public, keys.secret
        monitor = sock.get_monitor_socket()
        events: list[str] = []

        def seen() -> list[str]:
            while monitor.poll(0):
                event = recv_monitor_message(monitor)
                refused = event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH
                events.append(f"{zmq.Event(event['event']).name} {event['value'] if refused else ''}".strip())
            return events

        def close() -> None:
            sock.disable_monitor()
            monitor.close(linger=0)
            sock.close()

        sock.connect(endpoint)
        return Client(seen, close)

    return connect


def with_node(node: Node) -> Connect:
    """Makes clients of Node.js."""
    kinds = {"DEALER": "Dealer", "SUB": "Subscriber"}

    def connect(endpoint: str, server: bytes | None, keys: Keys, *, kind: str = "DEALER", identity: str = "") -> Client:
        named = {"routingId": identity} if identity else {}
        sock = node.connect(kinds[kind], endpoint, server=server, keys=keys, **named)
        return Client(
            lambda: [name if status is None else f"{name} {status}" for name, status in sock.events()],
            lambda: sock.call("close"),
        )

    return connect


by_library = pytest.mark.parametrize("library", ["pyzmq", pytest.param("node", marks=pytest.mark.node)])


@pytest.fixture(scope="module")
def zeromq() -> Iterator[Libzmq]:
    with Libzmq() as libzmq:
        yield libzmq


@pytest.fixture(scope="module")
def connects(zeromq: Libzmq) -> Iterator[Callable[[str], Connect]]:
    """Library -> what makes its clients; Node.js is started when it is asked for."""
    made = {"pyzmq": with_pyzmq(zeromq)}
    nodes: list[Node] = []

    def connect(library: str) -> Connect:
        if library not in made:
            nodes.append(Node(installed()).__enter__())
            made[library] = with_node(nodes[0])
        return made[library]

    yield connect
    for node in nodes:
        node.__exit__(None)


# --- a proxy with a service for each kind of refusal


class Host(NamedTuple):
    """The proxy, the keys of its clients by name, and the service behind it."""

    proxy: Sidecar
    keys: dict[str, Keys]

    def reasons(self, word: str) -> float:
        """How often the proxy has said so, of handshakes or sessions."""
        samples = self.proxy.metrics().items()
        return sum(value for (_, labels), value in samples if {("outcome", word), ("reason", word)} & labels)

    def sign(self, name: str, **how: Any) -> None:
        """Put a certificate of a client's key, which is new the first time, among the keys of the service for those."""
        keys = self.keys.setdefault(name, Keys.new())
        (beside := self.proxy.directory / "signed" / ".new").write_bytes(issued(keys.public, "desk-7", **how))
        beside.rename(beside.with_name(f"{name}.cert"))


@pytest.fixture(scope="module")
def host(zeromq: Libzmq) -> Iterator[Host]:
    _, backend = zeromq.bind(zmq.ROUTER)
    nobody = f"tcp://127.0.0.1:{free_port()}"
    config = ""
    for name, clients, admission, behind in (
        ("error", {}, WHOLE, backend),
        ("close", {"refusal": "close"}, WHOLE, backend),
        ("one each", {"max_sessions_per_client": 1}, WHOLE, backend),
        ("one", {}, WHOLE | {"max_sessions": 1}, backend),
        ("seldom", {}, {"handshakes_per_second_per_source": 1}, backend),
        ("down", {}, WHOLE | {"handshake_seconds": 0.5}, nobody),
    ):
        own = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": behind, "secret_keys": ["server.key_secret"]}
        config += toml("[[service]]", own) + toml("[service.clients]", {"directory": "clients", **clients})
        config += toml("[service.admission]", admission)
    # Certificates lie among the keys here, for not every library can present one.
    own = {"name": "signed", "listen": "tcp://127.0.0.1:0", "backend": backend, "secret_keys": ["server.key_secret"]}
    config += toml("[[service]]", own)
    config += toml("[service.clients]", {"directory": "signed", "authorities": [{"file": "plant-1.authority"}]})
    config += toml("[service.admission]", WHOLE)
    proxy = Sidecar(config)
    (proxy.directory / "plant-1.authority").write_text(authority_text("plant-1"))
    (proxy.directory / "signed").mkdir()
    keys = {name: proxy.new_client(name) for name in ("alice", "bob", "gone-pyzmq", "gone-node")}
    keys["desk"] = proxy.new_client("desk", {"identity": "desk-7"})
    host = Host(proxy, keys)
    for name in ("ends-pyzmq", "ends-node"):
        host.sign(name)
    host.sign("late", since=-7200, seconds=-3600)
    host.sign("another's", seed=OTHER_SEED)
    with proxy:
        yield host


# What is wrong -> service, the client's keys, and how it comes. before: it has one before it, with these keys.
SCENARIOS: dict[str, dict[str, Any]] = {
    "has another server's key": {"server": Keys.new().public},
    "has no CURVE": {"server": None},
    "is not listed": {"keys": "nobody"},
    'is not listed, `refusal = "close"`': {"keys": "nobody", "service": "close"},
    "has a socket type that does not fit": {"kind": "SUB"},
    'has such a type, `refusal = "close"`': {"kind": "SUB", "service": "close"},
    "has another identity than its key is bound to": {"keys": "desk", "identity": "desk-8"},
    "has a certificate that is not believed": {"service": "signed", "keys": "another's"},
    "has a certificate that has ended": {"service": "signed", "keys": "late"},
    "has the identity of another key's live client": {"identity": "taken", "before": "bob"},
    "comes while the service is down": {"service": "down"},
    "is one more than `max_sessions_per_client`": {"service": "one each", "before": "alice"},
    "is one more than `max_sessions`": {"service": "one", "before": "bob"},
    "connects too often": {"service": "seldom", "before": "bob"},
}


def test_the_table_has_every_refusal_that_is_tried() -> None:
    assert list(REFUSALS) == list(SCENARIOS)
    assert list(ENDINGS) == [
        "the key is taken off the list",
        "its certificate ends",
        "the proxy stops",
        "the service stops",
        "the same key comes with the same identity",
    ]


def shows(client: Client, row: Row, library: str, *, admitted: bool = False) -> None:
    """The client sees what the row says, and comes again or does not."""
    wanted = row.shown[library]
    wait_until(lambda: len(client.telling(admitted)) >= len(wanted), f"{row.what}: {wanted}")
    assert client.telling(admitted)[: len(wanted)] == wanted
    if row.again:
        wait_until(lambda: AGAIN & set(client.events()), "it comes again")
    else:
        before = client.events()
        time.sleep(LONGEST_PAUSE)
        assert client.events() == before


@by_library
@pytest.mark.parametrize("what", SCENARIOS)
def test_a_refused_client_sees_what_the_page_says(
    host: Host, connects: Callable[[str], Connect], library: str, what: str
) -> None:
    row, scenario = REFUSALS[what], {"service": "error", "keys": "alice", **SCENARIOS[what]}
    connect, said = connects(library), host.reasons(row.word)
    endpoint, server = host.proxy.endpoints[scenario["service"]], host.proxy.server.public
    how = {name: scenario[name] for name in ("kind", "identity") if name in scenario}
    keys = host.keys.get(scenario["keys"]) or Keys.new()
    clients = []
    if "before" in scenario:
        clients.append(connect(endpoint, server, host.keys[scenario["before"]], **how))
        wait_until(lambda: ADMITTED & set(clients[0].events()), "the one before it is let in")
    clients.append(connect(endpoint, scenario.get("server", server), keys, **how))
    shows(clients[-1], row, library)
    assert host.reasons(row.word) > said
    for client in clients:
        client.close()


def admitted(client: Client) -> bool:
    """Whether its first attempt has succeeded."""
    return bool(ADMITTED & set(client.events()[:1]))


@by_library
def test_a_revoked_client_sees_what_the_page_says(host: Host, connects: Callable[[str], Connect], library: str) -> None:
    name, row = f"gone-{library}", ENDINGS["the key is taken off the list"]
    client = connects(library)(host.proxy.endpoints["error"], host.proxy.server.public, host.keys[name])
    wait_until(lambda: admitted(client), "it is let in")
    said = host.reasons(row.word)
    (host.proxy.clients / f"{name}.key").unlink()
    shows(client, row, library, admitted=True)
    wait_until(lambda: host.reasons(row.word) > said, "its session has ended")
    client.close()


@by_library
def test_a_client_whose_certificate_ends_sees_what_the_page_says(
    host: Host, connects: Callable[[str], Connect], library: str
) -> None:
    name, row = f"ends-{library}", ENDINGS["its certificate ends"]
    client = connects(library)(host.proxy.endpoints["signed"], host.proxy.server.public, host.keys[name])
    wait_until(lambda: admitted(client), "it is let in")
    said = host.reasons(row.word)
    host.sign(name, since=-7200, seconds=-3600)
    shows(client, row, library, admitted=True)
    wait_until(lambda: host.reasons(row.word) > said, "its session has ended")
    client.close()


@by_library
def test_a_client_whose_place_is_taken_sees_what_the_page_says(
    host: Host, connects: Callable[[str], Connect], library: str
) -> None:
    row, said = ENDINGS["the same key comes with the same identity"], host.reasons("replaced")

    def connect() -> Client:
        endpoint, server = host.proxy.endpoints["error"], host.proxy.server.public
        return connects(library)(endpoint, server, host.keys["bob"], identity="twice")

    older = connect()
    wait_until(lambda: admitted(older), "it is let in")
    newer = connect()
    shows(older, row, library, admitted=True)
    assert host.reasons("replaced") > said
    newer.close()
    older.close()


@by_library
@pytest.mark.parametrize("what", ["the proxy stops", "the service stops"])
def test_a_client_sees_what_the_page_says_when(connects: Callable[[str], Connect], library: str, what: str) -> None:
    row = ENDINGS[what]
    with (
        Libzmq() as libzmq,
        Sidecar(
            backend=(bound := libzmq.bind(zmq.ROUTER))[1],
            clients={"allow": "any"},
            admission={"handshake_seconds": 0.5},
            process={"drain_seconds": 0.1},
        ) as proxy,
    ):
        client = connects(library)(proxy.public, proxy.server.public, Keys.new())
        wait_until(lambda: admitted(client), "it is let in")
        proxy.signal() if what == "the proxy stops" else bound[0].close(linger=0)
        shows(client, row, library, admitted=True)
        wait_until(lambda: any(line["event"] == "session closed" for line in proxy.log), "its session has ended")
        assert [line["reason"] for line in proxy.log if line["event"] == "session closed"] == [row.word]
        client.close()


# --- the clients that the page has in full


@pytest.mark.parametrize(
    ("language", "build", "run"),
    [
        pytest.param("c", ["gcc", "-o", "client", "client.c", "-lzmq"], ["./client"], marks=pytest.mark.libzmq),
        pytest.param("js", None, ["node", "client.js"], marks=pytest.mark.node),
    ],
)
def test_a_client_of_the_page_gets_an_answer(language: str, build: list[str] | None, run: list[str]) -> None:
    """It reads its keys from files and speaks with a service through the proxy."""
    code = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert code is not None
    environment = {**os.environ, "NODE_PATH": str(installed())} if language == "js" else None
    with Libzmq() as libzmq:
        service, backend = libzmq.bind(zmq.REP)
        with Sidecar(backend=backend, clients={"directory": "."}) as proxy:
            certificate(proxy.directory, "alice")
            proxy.wait_metric("curveproxy_client_keys", 2)  # the server's own is there too
            (proxy.directory / f"client.{language}").write_text(code[1].replace("tcp://127.0.0.1:5556", proxy.public))
            if build:
                subprocess.run(build, cwd=proxy.directory, check=True, timeout=60)
            with subprocess.Popen(run, cwd=proxy.directory, env=environment, stdout=subprocess.PIPE) as client:
                try:
                    service.send(b"answer to " + service.recv())
                    assert client.stdout is not None
                    assert client.stdout.readline() == b"answer to hello\n"
                finally:
                    client.kill()
