"""The configuration: what is right is taken as written, what is wrong is told all at once."""

import os
import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curveproxy.app.config.certificates import write_key_pair
from curveproxy.app.config.load import Clients, Config, ConfigError, load, structure, tree_of
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.wire import z85
from curveproxy.wire.curve.box import KeyPair

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "config").glob("*.toml"))
KEY = z85.encode(KeyPair.generate().public)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a server's key and an empty list of clients."""
    write_key_pair(tmp_path / "keys" / "server.key_secret", KeyPair.generate())
    (tmp_path / "clients").mkdir()
    return tmp_path


def complaints(place: Path, text: str) -> list[str]:
    (place / "curveproxy.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(place / "curveproxy.toml")
    return caught.value.complaints


SERVICE = """
[[service]]
name = "orders"
listen = "tcp://*:5556"
backend = "tcp://127.0.0.1:5555"
secret_keys = ["keys/server.key_secret"]
"""
CLIENTS = """
[service.clients]
directory = "clients"
"""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_loads(place: Path, example: Path) -> None:
    (place / example.name).write_text(example.read_text())
    config = load(place / example.name)
    assert config.service[0].listen.port == 5556
    assert config.service[0].clients.directory == place / "clients"
    assert len(config.service[0].secret_keys) == 1


def test_the_full_example_shows_every_setting_with_its_default(place: Path) -> None:
    shown = tomllib.loads((ROOT / "config" / "full.toml").read_text())

    def left_out(cls: Any, table: dict[str, Any]) -> set[str]:
        names = {attribute.name for attribute in attrs.fields(cls)}
        return names - table.keys()

    minimal, full = place / "minimal.toml", place / "full.toml"
    minimal.write_text((ROOT / "config" / "minimal.toml").read_text().replace("tcp://*", "tcp://0.0.0.0"))
    full.write_text((ROOT / "config" / "full.toml").read_text())
    assert load(full) == load(minimal)
    assert not left_out(Config, shown)
    service = load(full).service[0]
    for cls, table in [
        (type(service), shown["service"][0]),
        (type(service.clients), shown["service"][0]["clients"]),
        (type(service.admission), shown["service"][0]["admission"]),
        (type(service.messages), shown["service"][0]["messages"]),
        (type(load(full).log), shown["log"]),
        (type(load(full).process), shown["process"]),
        (type(load(full).admin), shown["admin"]),
    ]:
        assert not left_out(cls, table)


def test_what_is_wrong_in_the_defaults_is_told_once(place: Path) -> None:
    other = SERVICE.replace("orders", "prices").replace("5556", "5557")
    assert complaints(place, SERVICE + other + "[defaults.clients]\nallow = 'all'\ndirectory = 'clients'\nx = 1") == [
        "defaults.clients.allow: must be in ['listed', 'any'] (got 'all')",
        f"defaults.clients.x: no such setting: there are {', '.join(a.name for a in attrs.fields(Clients))}",
    ]


def test_a_service_has_the_defaults_where_it_says_nothing_else(place: Path) -> None:
    defaults = """
[defaults.clients]
allow = "any"
refusal = "close"
[defaults.admission]
max_sessions = 7
[defaults.messages]
on_invalid = "drop"
"""
    other = SERVICE.replace("orders", "prices").replace("5556", "5557")
    own = "[service.clients]\nallow = 'listed'\ndirectory = 'clients'\n[service.admission]\nmax_half_open = 9\n"
    (place / "c.toml").write_text(defaults + SERVICE + other + own)
    config = load(place / "c.toml")
    orders, prices = config.service
    assert (orders.clients.allow, orders.clients.refusal, orders.clients.directory) == ("any", "close", None)
    assert (prices.clients.allow, prices.clients.refusal, prices.clients.directory) == (
        "listed",
        "close",
        place / "clients",
    )
    assert (orders.admission.max_sessions, orders.messages.on_invalid) == (7, "drop")
    assert (prices.admission.max_sessions, prices.admission.max_half_open) == (7, 9)
    # As a worker is told it, to whom "listed", which a service has by itself, is not said.
    assert structure(tree_of(config), place).service == config.service


def test_paths_are_relative_to_the_file(place: Path) -> None:
    (place / "c.toml").write_text(SERVICE + CLIENTS)
    service = load(place / "c.toml").service[0]
    assert [key.file for key in service.secret_keys] == [place / "keys" / "server.key_secret"]
    assert "secret=" not in repr(service)
    assert service.backend == Endpoint("tcp", "127.0.0.1", 5555)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "service: there is none"),
        ("x = ", "not TOML: invalid value (at end of document)"),
        (SERVICE + CLIENTS + "[servce]", "servce: no such setting: did you mean service"),
        (SERVICE.replace("[[service]]", "[service]"), "a list is wanted, not a table: there may be several, each"),
        (SERVICE + CLIENTS.replace("[service.clients]", "[[service.clients]]"), "not a list: write it once, in single"),
        (SERVICE + CLIENTS + "max_sessions = 3", "max_sessions: no such setting: it belongs into [service.admission]"),
        (SERVICE + "max_buffered_bytes = 3\n" + CLIENTS, "no such setting: it belongs into [process]"),
        (SERVICE + CLIENTS + "[process]\nlisten = 'x'", "such setting: it belongs into [admin] or [[service]]"),
        (SERVICE + "[defaults.clients]\nallow = 'all'", "defaults.clients.allow: must be in ['listed'"),
        (SERVICE + "[defaults.clients]\nalow = 'any'", "defaults.clients.alow: no such setting: did you mean allow"),
        (SERVICE + CLIENTS + "[defaults]\nlisten = 'x'", "defaults.listen: no such setting: it belongs into [admin]"),
        (SERVICE + CLIENTS + "[defaults]\nclients = 1", "defaults.clients: a table is wanted, not a whole number"),
        (SERVICE, 'service "orders": clients: nobody is listed: add directory'),
        (SERVICE + "[service.clients]\ndirectory = 'nowhere'", "nowhere is not a directory"),
        (SERVICE + "[service.clients]\nkeys = ['abc']", "clients.keys[0]: of 3 letters, a key has 40"),
        (SERVICE + f"[service.clients]\nkeys = ['{KEY[:35]}']", "clients.keys[0]: of 35 letters, a key has 40"),
        (SERVICE + "[service.clients]\nallow = 'all'", "clients.allow: must be in ['listed'"),
        (SERVICE + "[service.clients]\nrefusal = 'drop'", "clients.refusal: must be in"),
        ("forward_identity = 1\n" + SERVICE + CLIENTS, "forward_identity: no such setting"),
        (SERVICE + "forward_identity = 1\n" + CLIENTS, "forward_identity: true or false is wanted, not a whole number"),
        (SERVICE + "forward_identity = 'false'\n" + CLIENTS, "true or false is wanted, not a string"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = 3.9", "a whole number is wanted, not a number"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = 1e3", "or an exponent: write 1000"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = true", "a whole number is wanted, not a truth"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_half_open = 0", "admission.max_half_open: must be >= 1"),
        (SERVICE + CLIENTS + "[service.admission]\nhandshake_seconds = 61", "handshake_seconds: must be <= 60"),
        (SERVICE + CLIENTS + "[service.admission]\nmax_sesions = 1", "did you mean max_sessions"),
        (SERVICE + CLIENTS + "messages_per_second_per_client = -1", "messages_per_second_per_client: must be >= 0"),
        (SERVICE + CLIENTS + "idle_seconds = nan", "clients.idle_seconds: must be >= 0"),
        (SERVICE + CLIENTS + "[service.messages]\non_invalid = 'maybe'", "on_invalid: must be in ['disconnect"),
        (SERVICE + CLIENTS + "[process]\nworkers = 257", "process.workers: must be <= 256"),
        (
            SERVICE.replace("tcp://*:5556", "tcp://*:0") + CLIENTS + "[process]\nworkers = 2",
            "listen: tcp://*:0 would be another port for each worker: name the port",
        ),
        (SERVICE + CLIENTS + "[process]\ndrain_seconds = nan", "process.drain_seconds: must be >= 0"),
        (SERVICE + CLIENTS + "[log]\nlevel = 'loud'", "log.level: must be in ['debug', 'info', 'warning', 'error']"),
        (SERVICE + CLIENTS + "[admin]\nlisten = '9464'", "admin.listen: '9464' has no port"),
        (
            SERVICE + CLIENTS + "[process]\nmax_buffered_bytes = 134_217_728",
            "takes a little more than twice as many, and max_buffered_bytes = 134_217_728 is all there is: raise",
        ),
        (
            SERVICE + CLIENTS + "[process]\nworkers = 16",
            "leaves each of 16 workers 67_108_864: raise that above 2_147_483_648, or lower this below 33_554_432",
        ),
        (SERVICE.replace('name = "orders"', "") + CLIENTS, "service[0].name: it is missing"),
        (SERVICE.replace('"orders"', "3") + CLIENTS, "service[0].name: a string is wanted"),
        (SERVICE.replace('"orders"', '""') + CLIENTS, "name: it is empty"),
        (SERVICE.replace("tcp://*:5556", "tcp://*") + CLIENTS, "listen: 'tcp://*' has no port"),
        (SERVICE.replace("tcp://*:5556", "tcp://a..b:1") + CLIENTS, "listen: 'tcp://a..b:1' has no host name"),
        (SERVICE.replace("127.0.0.1:5555", "*:5555") + CLIENTS, "can not be dialled"),
        (SERVICE.replace("127.0.0.1:5555", "*:*") + CLIENTS, "can not be dialled"),
        (SERVICE.replace("127.0.0.1:5555", "0.0.0.0:5555") + CLIENTS, "not where it is reached: write tcp://127.0.0.1:5555"),
        (SERVICE.replace("127.0.0.1:5555", "[::]:5555") + CLIENTS, "not where it is reached: write tcp://127.0.0.1:5555"),
        (SERVICE.replace("127.0.0.1:5555", "10.0.0.1:5555") + CLIENTS, "allow_remote_backend = true"),
        (SERVICE.replace("*:5556", "127.0.0.1:5555") + CLIENTS, "backend: it is the endpoint on which the proxy"),
        (SERVICE.replace("127.0.0.1:5555", "[::1]:5556") + CLIENTS, "backend: it is the endpoint on which the proxy"),
        (SERVICE.replace("127.0.0.1:5555", "localhost:5556") + CLIENTS, "backend: it is the endpoint on which the"),
        (SERVICE.replace(".key_secret", ".key") + CLIENTS, "secret_keys[0]: "),
        (SERVICE.replace(".key_secret", ".key") + CLIENTS, "holds a public key only"),
        (SERVICE.replace("server.key_secret", "a\\u0000b") + CLIENTS, "can not be read: embedded null byte"),
        (SERVICE + f"[service.clients]\ndirectory = '{'x' * 300}'", "can not be listed: file name too long"),
        (SERVICE.replace("server.key_secret", "missing") + CLIENTS, "missing can not be read: no such file"),
        (SERVICE.replace('secret_keys = ["keys/server.key_secret"]', "") + CLIENTS, "secret_keys: it is missing"),
        (SERVICE.replace('["keys/server.key_secret"]', "[]") + CLIENTS, 'make one by "curveproxy keygen server"'),
        (SERVICE.replace('["keys/server.key_secret"]', '"x"') + CLIENTS, "secret_keys: a list is wanted, not a string"),
        (SERVICE + CLIENTS + SERVICE.replace("5556", "1") + CLIENTS, 'service "orders": there are 2 of that name'),
        (SERVICE + CLIENTS + SERVICE.replace("orders", "b") + CLIENTS, '"b": secret_keys: "orders" on the same'),
        (SERVICE + CLIENTS + SERVICE.replace("orders", "b").replace("*", "127.0.0.1") + CLIENTS, '"b": listen: tcp://127.0'),
        (SERVICE.replace("5556", "9464") + CLIENTS, "listen: tcp://*:9464 is taken: the admin page listens on tcp://127"),
        ("service = 3", "service: a list is wanted, not a whole number"),
        ("service = [3]", "service[0]: a table is wanted, not a whole number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_a_hint(place: Path, text: str, complaint: str) -> None:
    told = complaints(place, text)
    assert len(told) == 1, told
    assert complaint in told[0]


def test_all_complaints_come_at_once(place: Path) -> None:
    """Of types, of bounds, of files, and of what does not go together, in one run."""
    first = SERVICE.replace("server.key_secret", "none").replace("5555", "5556") + "foo = 1\nbar = 2\n"
    first += "[service.admission]\nmax_half_open = 'x'\nhandshake_seconds = 99\n"
    second = SERVICE.replace("orders", "b").replace("127.0.0.1", "10.0.0.1") + "forward_identity = 1\n"
    second += "[service.clients]\nkeys = ['x', 'y']\n"
    third = SERVICE.replace("orders", "c").replace('["keys', '["keys/none", "keys').replace("*:5556", "*:1")
    told = complaints(place, "[process]\nworkers = -2\n[log]\nlevel = 'x'\n" + first + second + third)
    expected = [
        "log.level: must be in",
        "process.workers: must be >= 0",
        'service "orders": foo: no such setting',
        'service "orders": bar: no such setting',
        'service "orders": secret_keys[0]: ',
        'service "orders": clients: nobody is listed',
        'service "orders": backend: it is the endpoint on which the proxy itself listens',
        'service "orders": admission.max_half_open: a whole number is wanted',
        'service "orders": admission.handshake_seconds: must be <= 60',
        'service "b": forward_identity: true or false',
        'service "b": clients.keys[0]: ',
        'service "b": clients.keys[1]: ',
        'service "b": backend: tcp://10.0.0.1:5555 is another machine',
        'service "c": secret_keys[0]: ',
        'service "c": clients: nobody is listed',
    ]
    assert [start for start in expected if not any(complaint.startswith(start) for complaint in told)] == []
    assert len(told) == len(expected)


def test_what_is_wrong_by_itself_is_not_told_twice(place: Path) -> None:
    broken = SERVICE + "[service.clients]\ndirectory = 'nowhere'\n"
    assert len(complaints(place, broken)) == 1
    assert len(complaints(place, SERVICE + "clients = 3\n")) == 1
    assert len(complaints(place, SERVICE.replace("tcp://127.0.0.1:5555", "10.0.0.1") + CLIENTS)) == 1


def test_a_backend_by_its_name_may_have_the_port_of_the_proxy(place: Path) -> None:
    """As in a network of containers; a name is judged when it is dialled."""
    (place / "c.toml").write_text(SERVICE.replace("127.0.0.1:5555", "orders:5556") + CLIENTS)
    assert load(place / "c.toml").service[0].backend.host == "orders"


def test_what_is_no_regular_file_is_not_opened(place: Path) -> None:
    """A terminal or a pipe would hold up whoever reads it, for good and at each listing again."""
    os.mkfifo(place / "pipe")
    ours, theirs = os.openpty()
    for path in (str(place / "pipe"), os.ttyname(theirs), "/dev/zero"):
        with pytest.raises(ConfigError, match="can not be read: it is no regular file"):
            load(Path(path))
        (place / "c.toml").write_text(SERVICE.replace("keys/server.key_secret", path) + CLIENTS)
        with pytest.raises(ConfigError, match=r"secret_keys\[0\]: .* can not be read: "):
            load(place / "c.toml")
    for descriptor in (ours, theirs):
        os.close(descriptor)


def test_a_byte_order_mark_is_passed_over_and_another_encoding_is_named(place: Path) -> None:
    (place / "c.toml").write_text(SERVICE + CLIENTS, encoding="utf-8-sig")
    assert load(place / "c.toml").service
    (place / "c.toml").write_text(f"{SERVICE}{CLIENTS}# caf\u00e9\n", encoding="latin-1")
    line = len((SERVICE + CLIENTS).splitlines()) + 1
    with pytest.raises(ConfigError, match=f"line {line} is not UTF-8, as TOML must be"):
        load(place / "c.toml")


def test_a_whole_number_of_seconds_is_a_number(place: Path) -> None:
    (place / "c.toml").write_text(SERVICE + CLIENTS + "[service.admission]\nhandshake_seconds = 5")
    assert load(place / "c.toml").service[0].admission.handshake_seconds == 5.0


def test_a_file_that_is_not_there_or_not_text(place: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(place / "missing.toml")
    (place / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(place / "binary.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [("x = " + "[" * 5000, "nested too deeply"), ("x = " + "1" * 5000, "not TOML"), ("x = 2026-13-01", "not TOML")],
    ids=["deep", "long", "date"],
)
def test_a_file_that_python_can_not_read_gets_a_sentence(place: Path, text: str, words: str) -> None:
    assert words in complaints(place, text)[0]


lines = st.sampled_from(
    ["[service]", "[[service]]", "[service.clients]", "[log]", 'name = "a"', "listen = 3", "keys = [", "]", '"""', "'"]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lines | st.text(max_size=8), max_size=8).map("\n".join))
def test_no_text_gives_anything_but_complaints(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "c.toml")
    assert all(caught.value.complaints)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
words = st.sampled_from(["service", "admin", "log", "process", "name", "listen", "clients", "keys", "admission", "x"])
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(words, trees, max_size=4))
def test_no_tree_gives_anything_but_complaints(tree: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        structure(tree, Path())
    assert all(isinstance(complaint, str) and complaint for complaint in caught.value.complaints)
