"""The server's side of the CURVE handshake: our two sides agree, whichever twin takes the turns."""

from types import ModuleType

import pytest
from support.handshake import (
    CLIENT,
    OTHER_SERVER,
    PROPERTIES,
    SERVER,
    Server,
    client,
    curve_of,
    fault_of,
    hello_and_initiate,
)

from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.errors import Fault


@pytest.mark.parametrize("step", [1, 7, 10_000], ids=["octet by octet", "by sevens", "in one piece"])
def test_both_sides_agree(twin: ModuleType, step: int) -> None:
    server, peer = Server(OTHER_SERVER, SERVER, twin=twin), client()

    def feed(octets: bytes) -> bytes:
        pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
        return b"".join(peer.receive_untrusted(piece) for piece in pieces)

    assert peer.start()[12:17] == b"CURVE"
    initiate = feed(server.welcome(feed(curve_server.GREETING)))
    feed(server.ready(initiate))
    assert peer.done
    assert peer.negotiated.metadata == {"Socket-Type": b"ROUTER"}
    assert server.server is SERVER
    assert server.initiate.client == CLIENT.public
    assert server.initiate.properties == PROPERTIES
    assert server.initiate.shared == curve_of(peer).key
    assert server.initiate.nonce == 2
    assert not server.initiate.little_endian
    assert (curve_of(peer).seal_nonce, curve_of(peer).open_nonce) == (2, 1)


def test_what_is_said_is_read_when_the_box_is_opened() -> None:
    opened = CLIENT.public, 2, False, bytes(32)
    assert curve_server.Initiate.read_untrusted(*opened, b"\1a\0\0\0\1b").properties == {"a": b"b"}
    assert fault_of(lambda: curve_server.Initiate.read_untrusted(*opened, b"\x05abc")) == Fault.METADATA


def test_no_secret_shows_in_a_repr() -> None:
    server = Server()
    _, initiate = hello_and_initiate(server)
    server.ready(initiate)
    shown = repr((SERVER, server.initiate))
    for secret in (SERVER.secret, server.initiate.shared):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
