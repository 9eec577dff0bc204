"""What one end of a session is known to speak."""

import socket
from contextlib import closing

import pytest

from curveproxy.proxy.established import Established
from curveproxy.proxy.relay.peer import Capabilities, Peer
from curveproxy.wire.security import Plain, Version
from curveproxy.wire.zmtp.frame import Dialect


def test_it_is_what_its_handshake_says() -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        peer = Peer(Established(ours, {"Socket-Type": b"REQ"}, Version(Dialect.V3, 1), Plain()))
        assert (peer.socket, peer.socket_type, peer.minor, peer.dialect) == (ours, b"REQ", 1, Dialect.V3)


@pytest.mark.parametrize(("minor", "properties", "known"), [(0, {}, 0), (0, {"X-Curveproxy-Ping": b""}, 1), (1, {}, 1)])
def test_a_proxy_answers_a_ping_whatever_it_announces(minor: int, properties: dict[str, bytes], known: int) -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        assert Peer(Established(ours, properties, Version(Dialect.V3, minor), Plain())).minor == known


def test_what_it_learns_stays() -> None:
    side = Capabilities(1, b"REQ")
    side.learn(knows_ping=True, answers_ping=False)
    side.learn(knows_ping=False, answers_ping=True)
    assert side.knows_ping
    assert side.answers_ping


@pytest.mark.parametrize(
    ("dialect", "kind", "never"),
    [(Dialect.V1, b"SUB", True), (Dialect.V1, b"PUB", False), (Dialect.V2, b"SUB", False)],
)
def test_only_a_subscriber_before_zmtp_2_never_subscribes(dialect: Dialect, kind: bytes, never: bool) -> None:
    assert Capabilities(0, kind, dialect).never_subscribes is never
