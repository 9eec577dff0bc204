"""One ceiling on what all sessions hold together: who holds most waits, and ends where it keeps others waiting.

Public and private side are Unix sockets, whose buffers in the kernel are small: what is slow is soon held by the proxy.
"""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from pathlib import Path

import pytest
from support.client import RawClient, answers
from support.curve import Keys
from support.peer import Peer
from support.process import Sidecar, wait_until
from support.service import RawService, echo

from curveproxy.proxy.net.memory import LOOK_SECONDS, WINDOW_SECONDS
from system.endings import ending

KIB, MIB = 1 << 10, 1 << 20
HELD, CEILING = "curveproxy_buffered_bytes", "curveproxy_buffered_bytes_limit"

READERS, COUNT, SIZE = 500, 12, 64 * KIB
PATIENCE = 60.0


def numbered(number: int) -> list[bytes]:
    return [b"%d" % number + bytes(SIZE)]


def sends_some_to_slow_ones(peer: Peer) -> None:
    """So many messages to who calls itself slow, and to all others what they say."""
    peer.handshake()
    if peer.theirs["Identity"].startswith(b"slow"):
        for number in range(COUNT):
            peer.send(numbered(number))
    while True:
        peer.send(peer.recv())


def client_of(proxy: Sidecar, name: str = "") -> RawClient:
    return RawClient(proxy.public, proxy.server.public, Keys.new(), identity=name.encode(), timeout=PATIENCE)


@contextmanager
def proxied(directory: Path, behaviour: Callable[[Peer], None], ceiling: int, **messages: object) -> Iterator[Sidecar]:
    with (
        RawService(behaviour, endpoint=f"ipc://{directory}/back", timeout=PATIENCE) as service,
        Sidecar(
            backend=service.endpoint,
            listen=f"ipc://{directory}/front",
            clients={"allow": "any"},
            messages=messages,
            process={"max_buffered_bytes": ceiling},
        ) as proxy,
    ):
        assert proxy.metric(CEILING) == ceiling
        yield proxy


@contextmanager
def at_most(proxy: Sidecar, ceiling: int) -> Iterator[None]:
    """What is held meanwhile comes near the ceiling that is meant, and not over this one."""
    seen, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(proxy.metric(HELD))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
    assert proxy.metric(CEILING) / 2 < max(seen) <= ceiling


@pytest.mark.deep
def test_five_hundred_slow_readers_stay_under_the_ceiling_and_get_everything(tmp_path: Path) -> None:
    ceiling = 16 * MIB
    with (
        proxied(tmp_path, sends_some_to_slow_ones, ceiling, max_message_bytes=MIB) as proxy,
        client_of(proxy) as honest,
        ExitStack() as stack,
    ):
        assert answers(honest.handshake())
        before = proxy.rss()
        with ending(proxy, {"client_closed": READERS + 1}):
            with at_most(proxy, ceiling):
                readers = [
                    stack.enter_context(client_of(proxy, f"slow{number}").handshake()) for number in range(READERS)
                ]
                for _ in range(200):
                    assert answers(honest)
                # Their sessions, and what an allocator keeps: a third of what they would hold without a ceiling.
                assert proxy.rss() - before < ceiling + 32 * MIB
            for reader in readers:
                for number in range(COUNT):
                    assert reader.recv() == numbered(number)
            wait_until(lambda: not proxy.metric(HELD), "nothing is held any more")
            for client in (honest, *readers):
                assert answers(client)
                client.close()


def in_one_frame(client: RawClient, size: int) -> bytes:
    return client.seal(bytes(size))


def in_parts(client: RawClient, size: int) -> bytes:
    """Parts of 64 KiB, all of which the proxy keeps until the last one has come: it drops what is invalid."""
    count = size // SIZE
    return b"".join(client.seal(bytes(SIZE), more=number < count) for number in range(1, count + 1))


@pytest.mark.parametrize(("policy", "seal"), [("disconnect", in_one_frame), ("drop", in_parts)])
def test_large_messages_that_come_side_by_side_do_not_wait_for_each_other_for_ever(
    tmp_path: Path, policy: str, seal: Callable[[RawClient, int], bytes]
) -> None:
    size, ceiling, count = 8 * MIB, 24 * MIB, 10
    with (
        proxied(tmp_path, echo, ceiling, on_invalid=policy, max_message_bytes=size + SIZE) as proxy,
        client_of(proxy) as honest,
        ExitStack() as stack,
    ):
        assert answers(honest.handshake())
        clients = [stack.enter_context(client_of(proxy).handshake()) for _ in range(count)]
        sealed = [(client, seal(client, size)) for client in clients]

        def comes_back(one: tuple[RawClient, bytes]) -> bool:
            client, octets = one
            client.send_raw(octets)
            return sum(map(len, client.recv())) == size

        with at_most(proxy, ceiling + 2 * size), ThreadPoolExecutor(count) as pool:
            found = pool.map(comes_back, sealed)
            for _ in range(50):
                assert answers(honest)
            assert all(found)
        wait_until(lambda: not proxy.metric(HELD), "nothing is held any more")
        assert not proxy.metric("curveproxy_sessions_closed_total", reason="memory")


def never_finishes(client: RawClient, octets: bytes, over: threading.Event) -> None:
    """All but the end of a frame, and then an octet now and then."""
    with suppress(OSError):
        client.sock.sendall(octets[:-1000])  # as far as it is read
        for at in range(len(octets) - 1000, len(octets)):
            if over.wait(0.5):
                return
            client.sock.send(octets[at : at + 1])


@pytest.mark.parametrize("keys", [1, pytest.param(10, marks=pytest.mark.deep)])
@pytest.mark.deep
def test_who_does_not_finish_keeps_nobody_else_waiting_for_memory(tmp_path: Path, keys: int) -> None:
    """One key is held to its share. Several can fill all there is, until those that move too little are ended."""
    size, ceiling, count = 8 * MIB, 64 * MIB, 10
    pairs, over = [Keys.new() for _ in range(keys)], threading.Event()
    with (
        proxied(tmp_path, echo, ceiling, max_message_bytes=size) as proxy,
        ThreadPoolExecutor(count) as pool,
        ExitStack() as stack,
    ):

        def enter(pair: Keys) -> RawClient:
            client = RawClient(proxy.public, proxy.server.public, pair, timeout=PATIENCE)
            return stack.enter_context(client).handshake()

        others = [enter(Keys.new()) for _ in range(3)]
        holding = [enter(pairs[number % keys]) for number in range(count)]
        for client in holding:
            pool.submit(never_finishes, client, client.seal(bytes(size - 100)), over)
        ended = {"reason": "memory"}
        try:
            wait_until(lambda: proxy.metric("curveproxy_buffered_waiting") > 0, "some wait for memory")
            for _ in range(3):
                for other, octets in zip(others, (100_000, MIB, size - 100), strict=True):
                    other.send([bytes(octets)])
                    assert sum(map(len, other.recv())) == octets
            wait_until(lambda: proxy.metric("curveproxy_sessions_closed_total", **ended) > 0, "one has been ended")
        finally:
            over.set()
            for client in holding:
                with suppress(OSError):
                    client.sock.shutdown(socket.SHUT_RDWR)
        for other in others:
            assert answers(other)
        told = [line for line in proxy.log if line["event"] == "memory is short"]
        assert len(told) == 1
        assert told[0]["waiting"] > 0
        lines = [line for line in proxy.log if line.get("reason") == "memory"]
        assert len(lines) == proxy.metric("curveproxy_sessions_closed_total", **ended)
        assert all("max_buffered_bytes" in line["hint"] for line in (*told, *lines))
        troubles = [trouble["word"] for trouble in json.loads(proxy.get("/api/status")[1])["troubles"]]
        assert troubles == ["memory"]
        wait_until(lambda: not proxy.metric(HELD), "nothing is held any more")


@pytest.mark.deep
def test_who_holds_most_of_the_memory_stays_while_nobody_waits_for_it(tmp_path: Path) -> None:
    """A message that is not finished, for longer than it takes to judge a session."""
    size, ceiling = 8 * MIB, 12 * MIB
    with (
        proxied(tmp_path, echo, ceiling, max_message_bytes=size) as proxy,
        client_of(proxy).handshake() as uploading,
        client_of(proxy).handshake() as other,
    ):
        octets = uploading.seal(bytes(size - 100))
        uploading.send_raw(octets[:-10])
        wait_until(lambda: proxy.metric(HELD) > ceiling / 2, "memory is short")
        until = time.monotonic() + WINDOW_SECONDS + 2 * LOOK_SECONDS
        while time.monotonic() < until:
            assert answers(other)
            time.sleep(0.1)
        uploading.send_raw(octets[-10:])
        assert sum(map(len, uploading.recv())) == size - 100
        assert not proxy.metric("curveproxy_sessions_closed_total", reason="memory")


def test_the_ceiling_is_what_the_file_says_now(tmp_path: Path) -> None:
    with proxied(tmp_path, echo, 24 * MIB, max_message_bytes=MIB) as proxy:
        proxy.config.write_text(proxy.config.read_text().replace(str(24 * MIB), "0"))
        proxy.signal(signal.SIGHUP)
        proxy.wait_metric(CEILING, inf)
