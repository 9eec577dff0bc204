"""Frames that are wrong after the handshake end their session at once; what came before them is delivered."""

from collections.abc import Callable, Iterator

import pytest
from support import zmtp
from support.client import RawClient
from support.curve import INNER_COMMAND
from support.peer import Peer
from support.process import Sidecar
from support.service import RawService
from support.zmtp import COMMAND, MORE

LIMIT = 100_000
TAKEN: list[list[bytes]] = []


def takes(peer: Peer) -> None:
    """Remember every message."""
    peer.handshake()
    while True:
        TAKEN.append(peer.recv())


@pytest.fixture(scope="module")
def proxy() -> Iterator[Sidecar]:
    clients, messages = {"allow": "any"}, {"max_message_bytes": LIMIT}
    with (
        RawService(takes) as service,
        Sidecar(backend=service.endpoint, clients=clients, messages=messages) as proxy,
    ):
        yield proxy


def damaged(client: RawClient, at: int) -> bytes:
    """A frame with one octet wrong."""
    frame = bytearray(client.seal(b"forged"))
    frame[at] ^= 1
    return bytes(frame)


def too_many_parts(client: RawClient) -> bytes:
    """A message whose parts are small and together too much."""
    return b"".join(client.seal(b"x" * 10_000, more=True) for _ in range(11))


WRONG: dict[str, tuple[Callable[[RawClient], bytes], str]] = {
    "a reserved flag": (lambda client: client.seal(b"forged", outer=8), "framing"),
    "COMMAND and MORE": (lambda client: client.seal(b"forged", outer=COMMAND | MORE), "framing"),
    "a size of 2^63": (lambda client: b"\x02" + (1 << 63).to_bytes(8, "big") + b"\x07MESSAGE", "framing"),
    "a plain frame": (lambda client: zmtp.frame(b"forged" * 10), "not_message"),
    "a plain command": (lambda client: zmtp.frame(zmtp.error(b"x" * 40), COMMAND), "not_message"),
    "INITIATE again": (lambda client: initiate_of(client), "not_message"),
    "a plain PING": (lambda client: zmtp.frame(zmtp.ping(b"x" * 16), COMMAND), "too_short"),
    "too short": (lambda client: zmtp.frame(b"\x07MESSAGE" + bytes(24)), "too_short"),
    "outer MORE": (lambda client: client.seal(b"forged", outer=MORE), "outer_more"),
    "a nonce again": (lambda client: client.seal(b"forged", nonce=client.last), "nonce"),
    "an old nonce": (lambda client: client.seal(b"forged", nonce=1), "nonce"),
    "a nonce left out": (lambda client: client.seal(b"forged", nonce=client.last + 2), "gap"),
    "a nonce damaged": (lambda client: damaged(client, 17), "box"),
    "a tag damaged": (lambda client: damaged(client, 18), "box"),
    "a box damaged": (lambda client: damaged(client, -1), "box"),
    "PING too short": (lambda client: client.seal(b"\x04PING\x00", command=True), "command"),
    "PING too long": (lambda client: client.seal(zmtp.ping(b"x" * 17), command=True), "command"),
    "a command without a name": (lambda client: client.seal(b"", flags=INNER_COMMAND), "command"),
    "a command larger than any": (lambda client: client.seal(b"\x01X" + bytes(90_000), command=True), "command"),
    "one behind a gap": (
        lambda client: client.seal(b"\x01X" + bytes(90_000), command=True, nonce=client.last + 2),
        "gap",
    ),
    "a large frame": (lambda client: client.seal(b"x" * (LIMIT + 1)), "too_large"),
    "a claim of 2^40": (lambda client: b"\x02" + (1 << 40).to_bytes(8, "big") + b"\x07MESSAGE", "framing"),
    "a claim of 16 times the limit": (lambda client: b"\x02" + (16 * LIMIT).to_bytes(8, "big") + b"\x07", "too_large"),
    "many parts": (too_many_parts, "too_large"),
}


def initiate_of(client: RawClient) -> bytes:
    """The frame of INITIATE that this client has sent, the last thing before its messages."""
    sent = bytes(client.sent)
    return sent[sent.index(b"\x08INITIATE") - 9 :]


@pytest.mark.parametrize(("make", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_frame(proxy: Sidecar, make: Callable[[RawClient], bytes], reason: str) -> None:
    counted = proxy.metric("curveproxy_invalid_messages_total", reason=reason)
    every = proxy.metric("curveproxy_invalid_messages_total")
    closed = proxy.metric("curveproxy_sessions_closed_total", reason="invalid_message")
    with RawClient(proxy.public, proxy.server.public, socket_type="DEALER") as client:
        client.handshake()
        again = make(client) if reason == "not_message" else b""
        TAKEN.clear()
        good = client.seal(b"good") + client.seal(b"", more=True) + client.seal(b"good")
        client.send_raw(good + (again or make(client)) + client.seal(b"late"))
        client.recv_until_closed()
    proxy.wait_metric("curveproxy_sessions", 0)
    assert proxy.metric("curveproxy_invalid_messages_total", reason=reason) == counted + 1
    assert proxy.metric("curveproxy_invalid_messages_total") == every + 1
    assert proxy.metric("curveproxy_sessions_closed_total", reason="invalid_message") == closed + 1
    assert TAKEN == [[b"good"], [b"", b"good"]]
