"""One ceiling on what all sessions hold together: who holds most waits, nothing is lost, and nobody else waits.

Public and private side are Unix sockets, whose buffers in the kernel are small: what is slow is soon held by the proxy.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path

import pytest
from support.client import RawClient, answers
from support.curve import Keys
from support.peer import Peer
from support.process import Sidecar, wait_until
from support.service import RawService, echo

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


def test_five_hundred_slow_readers_stay_under_the_ceiling_and_get_everything(tmp_path: Path) -> None:
    ceiling = 16 * MIB
    with (
        proxied(tmp_path, sends_some_to_slow_ones, ceiling) as proxy,
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
        proxied(tmp_path, echo, ceiling, on_invalid=policy, max_message_bytes=2 * size) as proxy,
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


@pytest.mark.deep
def test_who_stands_still_in_the_middle_of_a_message_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    size, ceiling = 8 * MIB, 4 * MIB
    with (
        proxied(tmp_path, echo, ceiling) as proxy,
        client_of(proxy).handshake() as still,
        client_of(proxy).handshake() as other,
    ):
        still.send_raw(still.seal(bytes(size))[: size * 3 // 4])
        wait_until(lambda: proxy.metric(HELD) > ceiling, "it has gone over the ceiling")
        other.send([bytes(size)])
        assert other.recv() == [bytes(size)]
        still.close()
        wait_until(lambda: not proxy.metric(HELD), "nothing is held any more")


def test_the_ceiling_is_what_the_file_says_now(tmp_path: Path) -> None:
    with proxied(tmp_path, echo, 24 * MIB) as proxy:
        proxy.config.write_text(proxy.config.read_text().replace(str(24 * MIB), "0"))
        proxy.signal(signal.SIGHUP)
        proxy.wait_metric(CEILING, inf)
