"""``on_invalid = "drop"`` on the running process: what is wrong is counted and left out, and the session goes on."""

from collections.abc import Callable, Iterator

import pytest
from support import zmtp
from support.cases import deep
from support.client import RawClient
from support.curve import INNER_COMMAND
from support.process import Sidecar
from support.service import RawService, echo, never_reads
from support.zmtp import MORE

LIMIT = 3_000_000
MIB = 1 << 20


@pytest.fixture(scope="module")
def proxy() -> Iterator[Sidecar]:
    messages = {"max_message_bytes": LIMIT, "on_invalid": "drop", "max_invalid_per_minute": 50}
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, messages=messages) as proxy,
    ):
        yield proxy


def damaged(client: RawClient, body: bytes, *, more: bool = False) -> bytes:
    frame = bytearray(client.seal(body, more=more))
    frame[-1] ^= 1
    return bytes(frame)


def torn(client: RawClient) -> bytes:
    """A message whose middle part is damaged: its other parts, and nothing else, go with it."""
    return client.seal(b"a", more=True) + damaged(client, b"b", more=True) + client.seal(b"c")


def lost(client: RawClient) -> bytes:
    """A frame is taken out; what follows it is beside the damage."""
    client.next_nonce()
    return client.seal(b"beside")


def in_parts(client: RawClient) -> bytes:
    """Parts that fit one by one, and not together."""
    return b"".join(client.seal(bytes(MIB), more=more) for more in (True, True, True, False))


def too_large(client: RawClient) -> bytes:
    """It is never opened: the gap behind it is the same damage."""
    return client.seal(bytes(LIMIT + MIB)) + client.seal(b"beside")


def too_large_and_lost(client: RawClient) -> bytes:
    """The gap is wider than what was dropped here makes it."""
    large = client.seal(bytes(LIMIT + MIB))
    return large + lost(client)


WRONG: dict[str, tuple[Callable[[RawClient], bytes], dict[str, int]]] = {
    "a plain frame": (lambda client: zmtp.frame(b"forged" * 10), {"not_message": 1}),
    "too short": (lambda client: zmtp.frame(b"\x07MESSAGE" + bytes(24)), {"too_short": 1}),
    "outer MORE": (lambda client: client.seal(b"forged", outer=MORE) + client.seal(b"beside"), {"outer_more": 1}),
    "an old nonce": (lambda client: client.seal(b"forged", nonce=1), {"nonce": 1}),
    "a torn message": (torn, {"box": 1}),
    "a lost frame": (lost, {"gap": 1}),
    "a malformed command": (lambda client: client.seal(b"\x04PING", command=True), {"command": 1}),
    "a command without a name": (lambda client: client.seal(b"", flags=INNER_COMMAND), {"command": 1}),
    "a large message in parts": (in_parts, {"too_large": 1}),
    "a large frame": (too_large, {"too_large": 1}),
    "a large frame, and a lost one behind it": (too_large_and_lost, {"too_large": 1, "gap": 1}),
    "a large frame under no key": (lambda client: zmtp.frame(b"\x07MESSAGE" + bytes(LIMIT - MIB), 0), {"box": 1}),
}


@pytest.mark.parametrize(("make", "counted"), WRONG.values(), ids=WRONG)
def test_a_wrong_frame_is_left_out(proxy: Sidecar, make: Callable[[RawClient], bytes], counted: dict[str, int]) -> None:
    before = {reason: proxy.metric("curveproxy_invalid_messages_total", reason=reason) for reason in counted}
    every = proxy.metric("curveproxy_invalid_messages_total")
    with RawClient(proxy.public, proxy.server.public) as client:
        client.handshake()
        client.send_raw(client.seal(b"before"))
        client.send_raw(make(client))
        client.send([b"and", b"after"])
        assert [client.recv(), client.recv()] == [[b"before"], [b"and", b"after"]]
    for reason, times in counted.items():
        assert proxy.metric("curveproxy_invalid_messages_total", reason=reason) == before[reason] + times
    assert proxy.metric("curveproxy_invalid_messages_total") == every + sum(counted.values())
    line = [line for line in proxy.log if line.get("event") == "invalid message"][-1]
    assert line["hint"]


def test_a_message_is_forwarded_only_when_its_last_part_has_come(proxy: Sidecar) -> None:
    with RawClient(proxy.public, proxy.server.public, pongs=False) as client:
        client.handshake()
        parts = [bytes([n]) * 300_000 for n in range(5)]
        for part in parts:
            client.send_raw(client.seal(part, more=True))
        client.send_raw(client.seal(zmtp.ping(b"ctx"), command=True))
        assert client.recv_command() == (b"PONG", b"ctx")  # commands pass in its middle
        client.send_raw(client.seal(b"last"))
        assert client.recv() == [*parts, b"last"]


def test_a_session_that_sends_too_many_ends(proxy: Sidecar) -> None:
    closed = proxy.metric("curveproxy_sessions_closed_total", reason="invalid_message")
    with RawClient(proxy.public, proxy.server.public) as client:
        client.handshake()
        client.send_raw(zmtp.frame(b"") * 50 + client.seal(b"good"))
        assert client.recv() == [b"good"]
        client.send_raw(zmtp.frame(b"") + client.seal(b"late"))
        with pytest.raises((EOFError, ConnectionResetError)):
            client.recv()
    proxy.wait_metric("curveproxy_sessions_closed_total", closed + 1, reason="invalid_message")


@pytest.mark.parametrize(
    ("kind", "warned"), [("REP", True), ("ROUTER", False), deep("XPUB", True), deep("PULL", False)]
)
def test_a_service_that_dropping_does_not_suit_is_warned_of_once(kind: str, warned: bool) -> None:
    fitting = {"REP": "REQ", "XPUB": "SUB", "ROUTER": "DEALER", "PULL": "PUSH"}[kind]
    with (
        RawService(never_reads, socket_type=kind) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, messages={"on_invalid": "drop"}) as proxy,
    ):
        for _ in range(2):
            with RawClient(proxy.public, proxy.server.public, socket_type=fitting) as client:
                client.handshake()
        proxy.wait_metric("curveproxy_handshakes_total", 2, outcome="admitted")
        lines = [line for line in proxy.log if line.get("event") == "dropping does not suit the service"]
        assert [line["service_says"] for line in lines] == ([kind] if warned else [])
