"""The configuration: what is right is taken as written, what is wrong is told all at once."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.configuration import CLIENTS, SERVICE, complaints

from curveproxy.app.config.load import ConfigError, load, structure, tree_of
from curveproxy.app.config.schema import ClientsConfig
from curveproxy.proxy.net.endpoint import Endpoint

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "config").glob("*.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_loads(place: Path, example: Path) -> None:
    (place / example.name).write_text(example.read_text())
    config = load(place / example.name)
    assert config.both
    for service in config.service:
        assert service.listen.port == 5556
        assert service.clients.directory == place / "clients"
        assert len(service.secret_keys) == 1
    for egress in config.egress:
        assert egress.has_path
        assert egress.secret_key is not None
        assert egress.secret_key.file == place / "keys" / "alice.key_secret"
        assert len(egress.server_keys) + len(egress.authorities) == 1


def test_what_is_wrong_in_the_defaults_is_told_once(place: Path) -> None:
    other = SERVICE.replace("orders", "prices").replace("5556", "5557")
    assert complaints(place, SERVICE + other + "[defaults.clients]\nallow = 'all'\ndirectory = 'clients'\nx = 1") == [
        "defaults.clients.allow: must be in ['listed', 'any'] (got 'all')",
        f"defaults.clients.x: no such setting: there are {', '.join(a.name for a in attrs.fields(ClientsConfig))}",
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
        ("x = ", "not TOML: invalid value (at end of document)"),
        (SERVICE.replace(".key_secret", ".key") + CLIENTS, "secret_keys[0]: "),
        (SERVICE.replace(".key_secret", ".key") + CLIENTS, "holds a public key only"),
        (SERVICE.replace("server.key_secret", "a\\u0000b") + CLIENTS, "can not be read: embedded null byte"),
        (SERVICE.replace("server.key_secret", "missing") + CLIENTS, "missing can not be read: no such file"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_named(place: Path, text: str, complaint: str) -> None:
    found = complaints(place, text)
    assert len(found) == 1, found
    assert complaint in found[0]


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


def test_a_byte_order_mark_is_passed_over_and_another_encoding_is_named(place: Path) -> None:
    (place / "c.toml").write_text(SERVICE + CLIENTS, encoding="utf-8-sig")
    assert load(place / "c.toml").service
    (place / "c.toml").write_text(f"{SERVICE}{CLIENTS}# caf\u00e9\n", encoding="latin-1")
    line = len((SERVICE + CLIENTS).splitlines()) + 1
    with pytest.raises(ConfigError, match=f"line {line} is not UTF-8, as TOML must be"):
        load(place / "c.toml")


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
names = (
    "service egress admin log process defaults name listen remote server_keys clients keys admission limits messages x "
    "authorities file names revoked certificates certificate server_name server_certificate"
)
words = st.sampled_from(names.split())
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(words, trees, max_size=4))
def test_no_tree_gives_anything_but_complaints(tree: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        structure(tree, Path())
    assert all(isinstance(complaint, str) and complaint for complaint in caught.value.complaints)
