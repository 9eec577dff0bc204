"""Clients that are on the list and mean ill: each can end its own session, and nothing else.

``on_invalid`` is "disconnect", the default: what came before a flaw is delivered, nothing after it.
"""

import select
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import zmq
from support import zmtp
from support.baseline import baseline
from support.client import RawClient, answers, send_endlessly
from support.curve import INNER_COMMAND, INNER_MORE
from support.libzmq import Libzmq, Socket
from support.peer import Peer
from support.process import Sidecar, toml, wait_until
from support.service import RawService, echo
from support.zmtp import COMMAND, MORE

from system.endings import ending

KIB, MIB = 1 << 10, 1 << 20
MANY = 10

# Service -> its max_message_bytes: within a buffer, in a thread, the default.
LIMITS = {"tiny": 20_000, "large": 2 * MIB, "default": 64 * MIB}


def takes(peer: Peer) -> None:
    """Keep what comes, and answer nothing but a PING."""
    peer.handshake()
    while True:
        peer.advance()


@pytest.fixture(scope="module")
def taker() -> Iterator[RawService]:
    with RawService(takes) as service:
        yield service


@pytest.fixture(scope="module")
def publishers() -> Iterator[dict[str, tuple[Socket, str]]]:
    """The two that heed subscriptions, of real libzmq, with their endpoints."""
    with Libzmq() as z:
        yield {"PUB": z.bind(zmq.PUB), "XPUB": z.bind(zmq.XPUB)}


@pytest.fixture(scope="module")
def proxy(taker: RawService, publishers: dict[str, tuple[Socket, str]]) -> Iterator[Sidecar]:
    """One before the taker, once with each limit, before an echo, and before the publishers. It is warm."""
    with RawService(echo) as echoes:
        backends = {name: (taker.endpoint, limit) for name, limit in LIMITS.items()}
        backends["echo"] = echoes.endpoint, LIMITS["default"]
        backends |= {name: (endpoint, LIMITS["default"]) for name, (_, endpoint) in publishers.items()}
        config = ""
        for name, (endpoint, limit) in backends.items():
            service = {"name": name, "listen": "tcp://127.0.0.1:0", "backend": endpoint}
            config += toml("[[service]]", {**service, "secret_keys": ["server.key_secret"]})
            config += toml("[service.clients]", {"allow": "any"})
            config += toml("[service.admission]", {"handshakes_per_second_per_source": 100_000})
            config += toml("[service.messages]", {"max_message_bytes": limit})
        # glibc would keep up to 64 MiB for the next large message: here all that stays is the proxy's own.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MALLOC_MMAP_THRESHOLD_", str(128 * KIB))
            patch.setenv("MALLOC_TRIM_THRESHOLD_", str(128 * KIB))
            with Sidecar(config) as proxy:
                assert is_served(proxy)
                proxy.wait_metric("curveproxy_sessions", 0)
                yield proxy


def client_of(proxy: Sidecar, service: str, socket_type: str = "DEALER") -> RawClient:
    """Somebody who has connected."""
    return RawClient(proxy.endpoints[service], proxy.server.public, socket_type=socket_type)


def is_served(proxy: Sidecar) -> bool:
    """Whether an honest client gets in and has its answer."""
    with client_of(proxy, "echo") as client:
        return answers(client.handshake())


def arrived(taker: RawService) -> list[list[bytes]]:
    """The messages that its last client sent, once that has gone."""
    peer = taker.accepted[-1]
    wait_until(lambda: peer.sock.fileno() < 0, "its connection has ended")
    return list(peer.messages)


def is_ended(proxy: Sidecar, service: str, make: Callable[[RawClient], bytes], socket_type: str = "DEALER") -> bool:
    """Whether what is made for a session ends it, with good messages before and behind it."""
    with client_of(proxy, service, socket_type) as client:
        client.handshake()
        client.send_raw(client.seal(b"good") + make(client) + client.seal(b"late"))
        return client.recv_until_closed().octets == b""


def sealed(data: bytes, **options: Any) -> Callable[[RawClient], bytes]:
    """Makes one frame for a session, with the options of ``CurvePeer.seal``."""
    return lambda client: client.seal(data, **options)


# --- many and much


def test_ten_thousand_tiny_frames_in_one_piece_arrive_in_order(proxy: Sidecar) -> None:
    with baseline(proxy), ending(proxy, {"client_closed": 1}), client_of(proxy, "echo") as client:
        client.handshake()
        client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(10_000)))
        for number in range(10_000):
            assert client.recv() == [b"%d" % number]


# Sizes of the parts before the last one.
BEFORE = {"none": [], "many small ones": [0] * 100 + [255] * 20 + [256] * 10, "one of half the limit": [MIB]}


@pytest.mark.parametrize(
    ("service", "before"),
    [
        ("tiny", "none"),
        ("tiny", "many small ones"),
        ("large", "none"),
        ("large", "one of half the limit"),
    ],
)
def test_a_message_may_weigh_its_limit_headers_and_all_and_no_octet_more(
    proxy: Sidecar, taker: RawService, service: str, before: str
) -> None:
    sizes = BEFORE[before]
    last = LIMITS[service] - sum(size + (2 if size <= 255 else 9) for size in sizes) - 9
    parts = [bytes(size) for size in sizes]

    def message(client: RawClient, end: bytes) -> bytes:
        return b"".join(client.seal(part, more=True) for part in parts) + client.seal(end)

    with baseline(proxy):
        with ending(proxy, {"client_closed": 1}):
            with client_of(proxy, service) as client:
                client.handshake()
                client.send_raw(message(client, bytes(last)))
                client.send([b"behind it"])
            assert arrived(taker) == [[*parts, bytes(last)], [b"behind it"]]
        with ending(proxy, {"invalid_message": 1}, {"too_large": 1}):
            assert is_ended(proxy, service, lambda client: message(client, bytes(last + 1)))
            assert arrived(taker) == [[b"good"]]


def test_a_message_of_endless_parts_ends_its_session(proxy: Sidecar, taker: RawService) -> None:
    count = LIMITS["tiny"] // 2 + 1
    with baseline(proxy), ending(proxy, {"invalid_message": 1}, {"too_large": 1}):
        assert is_ended(proxy, "tiny", lambda client: b"".join(client.seal(b"", more=True) for _ in range(count)))
    assert arrived(taker) == [[b"good"]]


@pytest.mark.parametrize("service", LIMITS)
def test_a_claim_beyond_measure_ends_its_session_before_an_octet_of_it_has_come(
    proxy: Sidecar, taker: RawService, service: str
) -> None:
    claims = [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1]
    with baseline(proxy), ending(proxy, {"invalid_message": len(claims)}, {"framing": len(claims)}):
        for claim in claims:
            with client_of(proxy, service) as client:
                client.handshake()
                client.send_raw(client.seal(b"good") + zmtp.frame(b"", size=claim))
                client.recv_until_closed()
            assert arrived(taker) == [[b"good"]]


@pytest.mark.parametrize("claim", [MIB, 64 * MIB])
def test_what_a_hundred_claim_and_do_not_send_costs_a_little_whatever_the_claim(proxy: Sidecar, claim: int) -> None:
    header, first_room = zmtp.frame(b"", size=claim), 64 * KIB
    with (
        baseline(proxy, memory=100 * first_room),  # small enough for malloc to keep it under whatever came later
        ending(proxy, {"client_closed": 101}),
        client_of(proxy, "echo") as honest,
        ExitStack() as stack,
    ):
        honest.handshake()
        before = proxy.rss()
        clients = [stack.enter_context(client_of(proxy, "default").handshake()) for _ in range(100)]
        for octet in header + b"\x07MESSAGE":  # a slow drip, each octet read before the next one comes
            for client in clients:
                client.send_raw(bytes([octet]))
            assert answers(honest)
        assert proxy.metric("curveproxy_sessions") == 101
        assert proxy.rss() - before < 100 * (first_room + 36 * KIB)


def test_a_frame_that_comes_octet_by_octet_arrives(proxy: Sidecar) -> None:
    with baseline(proxy), ending(proxy, {"client_closed": 1}), client_of(proxy, "echo") as client:
        client.handshake()
        for octet in client.seal(b"drip", more=True) + client.seal(b"drop" * 100):
            client.send_raw(bytes([octet]))
        assert client.recv() == [b"drip", b"drop" * 100]


def test_a_reset_in_the_middle_of_a_large_frame_leaves_nothing(proxy: Sidecar, taker: RawService) -> None:
    half = zmtp.frame(b"\x07MESSAGE" + bytes(16 * MIB), size=32 * MIB)
    with baseline(proxy), ending(proxy, {"client_reset": MANY}):
        for _ in range(MANY):
            client = client_of(proxy, "default").handshake()
            client.send_raw(half)
            proxy.metrics()  # now the session is no longer young, which must not matter
            client.reset()
            assert arrived(taker) == []


# --- those who do not read, and those who half leave


@pytest.mark.parametrize("size", [64 * KIB, 2 * MIB])
def test_who_sends_and_never_reads_is_held_up_and_costs_little(proxy: Sidecar, size: int) -> None:
    with baseline(proxy), ending(proxy, {"client_reset": 2, "client_closed": 1}), client_of(proxy, "echo") as honest:
        assert answers(honest.handshake())
        before = proxy.rss()
        clients = [client_of(proxy, "echo").handshake() for _ in range(2)]
        for client in clients:
            with pytest.raises(TimeoutError):
                send_endlessly(client, [bytes(size)])
        # Each way holds what it owes, and what of the next frames was read with it; and buffers for large frames stay.
        assert proxy.rss() - before < len(clients) * 2 * (size + 512 * KIB) + 6 * MIB
        assert answers(honest)
        for client in clients:
            client.reset()


def test_who_says_that_it_will_send_no_more_gets_every_answer_that_is_owed(proxy: Sidecar) -> None:
    with baseline(proxy), ending(proxy, {"client_closed": 1}), client_of(proxy, "echo") as client:
        client.handshake()
        for number in range(100):
            client.send([b"%d" % number, bytes(10_000)])
        client.finish()
        for number in range(100):
            assert client.recv() == [b"%d" % number, bytes(10_000)]
        assert client.recv_until_closed() == (b"", False)


def test_who_says_so_gets_the_answer_of_a_service_that_takes_its_time() -> None:
    def think(peer: Peer) -> None:
        peer.handshake()
        question = peer.recv()
        time.sleep(1)
        peer.send(question)

    with (
        RawService(think) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}) as proxy,
        ending(proxy, {"client_closed": 1}),
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake().send([b"question"])
        time.sleep(0.3)  # it has arrived, and nothing comes back yet
        client.finish()
        assert client.recv() == [b"question"]
        assert client.recv_until_closed() == (b"", False)


def test_who_says_so_in_the_middle_of_a_message_gets_the_answers_to_those_before(proxy: Sidecar) -> None:
    with baseline(proxy), ending(proxy, {"client_closed": 1}), client_of(proxy, "echo") as client:
        client.handshake()
        client.send([b"before"])
        client.send_raw(client.seal(b"first", more=True) + client.seal(b"second")[:20])
        client.finish()
        assert client.recv() == [b"before"]
        assert client.recv_until_closed() == (b"", False)


# --- frames and nonces


def test_an_outer_flag_that_does_not_belong_there_ends_the_session(proxy: Sidecar, taker: RawService) -> None:
    wrong = [MORE, MORE | COMMAND, *(bit | also for bit in (8, 16, 32, 64, 128) for also in (0, MORE, COMMAND))]
    flaws = {"outer_more": 2, "framing": 2 * (len(wrong) - 1)}
    with baseline(proxy), ending(proxy, {"invalid_message": 2 * len(wrong)}, flaws):
        for flags in wrong:
            for data in (b"short", bytes(300)):
                assert is_ended(proxy, "tiny", sealed(data, outer=flags)), flags
                assert arrived(taker) == [[b"good"]], flags


MAX_NONCE = (1 << 64) - 1


def test_a_nonce_that_is_not_the_next_one_ends_the_session(proxy: Sidecar, taker: RawService) -> None:
    nonces = {
        0: "nonce",
        1: "nonce",
        2: "nonce",
        3: "nonce",
        5: "gap",
        1 << 32: "gap",
        1 << 63: "gap",
        MAX_NONCE: "gap",
    }
    flaws = Counter(nonces.values())
    with baseline(proxy), ending(proxy, {"invalid_message": len(nonces)}, flaws):
        for nonce in nonces:

            def jump(client: RawClient, nonce: int = nonce) -> bytes:
                assert client.last == 3  # HELLO, INITIATE, and a good message
                return client.seal(b"jump", nonce=nonce) + client.seal(b"behind", nonce=nonce + 1 & MAX_NONCE)

            assert is_ended(proxy, "tiny", jump)
            assert arrived(taker) == [[b"good"]]


def test_behind_the_last_nonce_there_is_none(proxy: Sidecar, taker: RawService) -> None:
    with baseline(proxy), ending(proxy, {"invalid_message": 2}, {"nonce": 2}):
        for following in (0, MAX_NONCE):
            with client_of(proxy, "tiny") as client:
                client.greeting()
                client.hello(nonce=MAX_NONCE - 2)
                client.welcome()
                client.initiate(nonce=MAX_NONCE - 1)
                client.ready()
                client.send_raw(client.seal(b"last", nonce=MAX_NONCE) + client.seal(b"behind", nonce=following))
                client.recv_until_closed()
            assert arrived(taker) == [[b"last"]]


# --- commands


@pytest.mark.parametrize("minor", [0, 1])
def test_a_ping_is_lawful_with_a_context_of_0_to_16_octets(
    proxy: Sidecar, taker: RawService, monkeypatch: pytest.MonkeyPatch, minor: int
) -> None:
    monkeypatch.setattr(taker, "minor", minor)
    wrong = [0, 1, *range(19, 41)]
    lawful = [bytes([0, 10]) + bytes(range(size)) for size in range(17)]
    with baseline(proxy), ending(proxy, {"client_closed": 1, "invalid_message": len(wrong)}, {"command": len(wrong)}):
        with client_of(proxy, "tiny") as client:
            client.handshake()
            for data in lawful:
                assert client.ping(data[2:], ttl=10) == data[2:]
        arrived(taker)
        assert list(taker.accepted[-1].commands) == [(b"PING", data) for data in lawful if minor]
        for size in wrong:
            assert is_ended(proxy, "tiny", sealed(b"\4PING" + bytes(size), command=True))
            assert arrived(taker) == [[b"good"]]
            assert not taker.accepted[-1].commands


MALFORMED = {
    "nothing": b"",
    "a name of 0 octets": b"\0",
    "a name of 0 octets, with data": b"\0PING",
    "a name beyond the end": b"\5PING",
    "a name of 255, cut": b"\xff" + b"N" * 254,
    "a name and no octet of it": b"\4",
}


def test_a_malformed_command_ends_its_session(proxy: Sidecar, taker: RawService) -> None:
    with baseline(proxy), ending(proxy, {"invalid_message": len(MALFORMED)}, {"command": len(MALFORMED)}):
        for name, body in MALFORMED.items():
            assert is_ended(proxy, "tiny", sealed(body, command=True)), name
            assert arrived(taker) == [[b"good"]], name


UNKNOWN = [
    b"FOO",
    b"ping",
    b"PIN",
    b"PINGS",
    b"PONG",
    b"ERROR",
    b"READY",
    b"HELLO",
    b"WELCOME",
    b"INITIATE",
    b"MESSAGE",
    b"\0",
    b"N" * 255,
    bytes(range(128, 256)),
]


def test_an_unknown_command_is_left_out_wherever_it_comes(proxy: Sidecar, taker: RawService) -> None:
    with baseline(proxy), ending(proxy, {"client_closed": 1}, {"command": 3 * len(UNKNOWN)}):
        with client_of(proxy, "tiny") as client:
            client.handshake()
            for name in UNKNOWN:
                client.send_raw(client.seal(b"first", more=True))
                for data in (b"", b"\3400", b"x" * 1000):
                    client.send_command(name, data)
                client.send_raw(client.seal(name))
        assert arrived(taker) == [[b"first", name] for name in UNKNOWN]
        assert not taker.accepted[-1].commands


def test_the_inner_flags_that_mean_nothing_are_not_looked_at(proxy: Sidecar, taker: RawService) -> None:
    with baseline(proxy), ending(proxy, {"client_closed": 1}):
        with client_of(proxy, "tiny") as client:
            client.handshake()
            for flags in range(0, 256, 4):
                message = client.seal(b"first", flags=flags | INNER_MORE) + client.seal(b"last", flags=flags)
                for more in (0, INNER_MORE):
                    ping = client.seal(zmtp.ping(b"context"), flags=flags | INNER_COMMAND | more)
                    client.send_raw(message + ping)
                    message = b""
                    assert client.recv_command() == (b"PONG", b"context")
        assert arrived(taker) == [[b"first", b"last"]] * 64


# A service's type -> the type of a client that fits it.
TYPES = {
    "REQ": "REP", "REP": "REQ", "DEALER": "ROUTER", "ROUTER": "DEALER", "PUSH": "PULL", "PULL": "PUSH", "PUB": "SUB",
    "XPUB": "XSUB", "SUB": "PUB", "XSUB": "XPUB", "PAIR": "PAIR", "CLIENT": "SERVER", "SERVER": "CLIENT",
    "RADIO": "DISH", "DISH": "RADIO", "GATHER": "SCATTER", "SCATTER": "GATHER", "PEER": "PEER", "CHANNEL": "CHANNEL",
}  # fmt: skip


def test_only_those_services_are_told_of_subscriptions_and_groups_that_know_them(
    proxy: Sidecar, taker: RawService, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [(b"SUBSCRIBE", b"topic"), (b"CANCEL", b"topic"), (b"JOIN", b"group"), (b"LEAVE", b"group")]
    with baseline(proxy), ending(proxy, {"client_closed": len(TYPES)}, {"command": 4 * len(TYPES) - 3 * 2}):
        for service, fitting in TYPES.items():
            monkeypatch.setattr(taker, "socket_type", service)
            with client_of(proxy, "tiny", fitting) as client:
                client.handshake()
                for name, data in commands:
                    client.send_command(name, data)
            publishes = service in ("PUB", "XPUB")
            assert arrived(taker) == ([[b"\1topic"], [b"\0topic"]] if publishes else []), service
            assert list(taker.accepted[-1].commands) == (commands[2:] if service == "RADIO" else []), service


FORMS: dict[str, Callable[[RawClient, bytes], bytes]] = {
    "a message": lambda client, topic: client.seal(b"\1" + topic),
    "a command": lambda client, topic: client.seal(zmtp.command(b"SUBSCRIBE", topic), command=True),
}


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
def test_a_subscription_has_4095_octets_at_the_most(
    proxy: Sidecar, publishers: dict[str, tuple[Socket, str]], kind: str
) -> None:
    service, _ = publishers[kind]
    topic = b"t" * 4095
    with baseline(proxy), ending(proxy, {"client_closed": 2, "invalid_message": 4}, {"too_large": 4}):
        for form in ("a message", "a command"):
            with client_of(proxy, kind, "SUB") as client:
                client.handshake()
                client.send_raw(FORMS[form](client, topic))

                def is_published(client: RawClient = client) -> bool:
                    service.send(topic)
                    return bool(select.select([client.sock], [], [], 0.02)[0])

                wait_until(is_published, form)
                assert client.recv() == [topic]
                client.finish()
                client.recv_until_closed()
            if kind == "XPUB":  # it tells of a topic only when nobody else has it, so the next one waits for this
                assert [service.recv(), service.recv()] == [b"\1" + topic, b"\0" + topic]
        for size in (4096, 5000):
            for make in FORMS.values():
                with client_of(proxy, kind, "SUB") as client:
                    client.handshake()
                    client.send_raw(make(client, b"t" * size))
                    assert client.recv_until_closed().octets == b""
    assert kind == "PUB" or not service.poll(0)
