"""Endpoints as text, and which addresses are local."""

import pytest

from curveproxy.proxy.net.endpoint import Endpoint, Network, is_local


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


def test_an_endpoint_knows_its_address_without_transport_and_as_the_kernel_takes_it() -> None:
    assert Endpoint.parse("tcp://[::1]:80").address == "[::1]:80"
    assert Endpoint.parse("ipc:///run/x.sock").address == "/run/x.sock"
    assert Endpoint.parse("ipc:///run/x.sock").unix_address == "/run/x.sock"
    assert Endpoint.parse("ipc://@name").unix_address == "\0name"


@pytest.mark.parametrize(
    ("text", "is_fixed"), [("tcp://*:0", False), ("tcp://*:*", False), ("tcp://*:1", True), ("ipc://@name", True)]
)
def test_port_0_is_another_place_each_time(text: str, is_fixed: bool) -> None:
    assert Endpoint.parse(text).is_fixed is is_fixed


@pytest.mark.parametrize(
    ("network", "address", "is_in"),
    [
        ("10.1.0.0/16", "10.1.255.1", True),
        ("10.1.0.0/16", "10.2.0.1", False),
        ("10.1.0.0/16", "::ffff:10.1.0.1", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("2001:db8::/32", "10.1.0.1", False),
    ],
)
def test_an_address_is_in_a_network_also_as_a_dual_socket_writes_it(network: str, address: str, is_in: bool) -> None:
    found = Network.parse(network)
    assert (address in found) is is_in
    assert Network.parse(str(found)) == found


@pytest.mark.parametrize("text", ["", "10.1.0.0/33", "10.1.0.1/16", "some.host"])
def test_what_is_no_network_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ValueError, match="is no network: write"):
        Network.parse(text)
