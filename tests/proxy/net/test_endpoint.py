"""Endpoints as text, and which addresses are local."""

import pytest

from curveproxy.proxy.net.endpoint import Endpoint, is_local


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp://127.0.0.1:5555", Endpoint("tcp", "127.0.0.1", 5555)),
        ("tcp://*:0", Endpoint("tcp", "*", 0)),
        ("tcp://[::1]:80", Endpoint("tcp", "::1", 80)),
        ("tcp://some.host:65535", Endpoint("tcp", "some.host", 65535)),
        ("ipc:///run/x.sock", Endpoint("ipc", "/run/x.sock")),
        ("ipc://@name", Endpoint("ipc", "@name")),
    ],
)
def test_what_is_read_is_written_again(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    assert str(endpoint) == text


def test_a_star_is_any_port_as_in_libzmq() -> None:
    assert Endpoint.parse("tcp://*:*") == Endpoint("tcp", "*", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:1",
        "udp://1.2.3.4:5",
        "tcp://",
        "tcp://host",
        "tcp://:5",
        "tcp://h:65536",
        "tcp://h:-1",
        "tcp://h:x",
        "tcp://::1:5",
        "ipc://",
        "ipc://@",
        "ipc:///" + "x" * 107,
    ],
)
def test_what_is_none_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|between|at most"):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::", False),
        ("0.0.0.0", False),
        ("fe80::1%lo", False),
    ],
)
def test_only_loopback_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local
