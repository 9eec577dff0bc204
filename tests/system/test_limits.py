"""What clients that are let in may take: sessions, messages and octets a second; and who is idle or dead ends.

A rate is held by not reading: each test demands every message, in order, and that the time was counted.
"""

import select
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import zmq
from support.client import RawClient, answers
from support.curve import Keys
from support.libzmq import Libzmq
from support.peer import SECONDS, Peer
from support.process import Sidecar, wait_until
from support.service import RawService, echo

from system.endings import ending

OUTCOMES, THROTTLED = "curveproxy_handshakes_total", "curveproxy_throttled_seconds_total"


@pytest.fixture(scope="module")
def service() -> Iterator[RawService]:
    with RawService(echo) as service:
        yield service


def limited(service: RawService, **clients: object) -> Sidecar:
    """A proxy with these settings in ``[service.clients]``."""
    return Sidecar(backend=service.endpoint, clients=clients)


def client_of(proxy: Sidecar, keys: Keys, **options: object) -> RawClient:
    return RawClient(proxy.public, proxy.server.public, keys, **options)  # type: ignore[arg-type]


def listed(proxy: Sidecar, *names: str, **metadata: str) -> list[Keys]:
    """New clients, once they are on the list."""
    before = int(proxy.metric("curveproxy_client_keys"))
    keys = [proxy.new_client(name, {word.replace("_", "-"): text for word, text in metadata.items()}) for name in names]
    proxy.wait_listed(before + len(names))
    return keys


def greeted(service: RawService, client: RawClient) -> Peer:
    """Begin a session with a service that the test drives; its end of it."""

    def greet() -> None:
        service.accept().handshake()

    service.start(greet)
    client.handshake()
    service.threads[-1].join(SECONDS)
    return service.accepted[-1]


def echoed(client: RawClient, count: int, size: int) -> float:
    """How long it takes until so many messages, sent at once, have all come back in order."""
    begin = time.monotonic()
    client.send_raw(b"".join(client.seal(b"%d" % number + bytes(size)) for number in range(count)))
    for number in range(count):
        assert client.recv() == [b"%d" % number + bytes(size)]
    return time.monotonic() - begin


# --- sessions


def test_a_client_has_so_many_sessions_and_its_next_may_come_when_one_ends(service: RawService) -> None:
    with limited(service, max_sessions_per_client=2) as proxy:
        (alice,), (bob,) = listed(proxy, "alice"), listed(proxy, "bob", max_sessions="1")
        with client_of(proxy, alice).handshake() as first, client_of(proxy, alice).handshake() as second:
            with client_of(proxy, alice) as third:
                third.begin()
                assert third.recv_until_closed().octets == b"", "it may come again: no ERROR"
            assert proxy.metric(OUTCOMES, outcome="client_sessions_limit") == 1
            line = next(line for line in proxy.log if line.get("outcome") == "client_sessions_limit")
            assert line["detail"] == "at most 2"
            with client_of(proxy, bob).handshake() as other, client_of(proxy, bob) as another:
                another.begin()
                assert another.recv_until_closed().octets == b"", "so says its certificate"
                assert answers(other)
            first.close()
            proxy.wait_metric("curveproxy_sessions", 1)
            with client_of(proxy, alice).handshake() as third:
                assert answers(second)
                assert answers(third)


def test_who_has_more_sessions_than_it_may_from_now_on_loses_the_newest(service: RawService) -> None:
    with limited(service, max_sessions_per_client=3) as proxy:
        (alice,) = listed(proxy, "alice")
        with ExitStack() as stack:
            first, *others = [stack.enter_context(client_of(proxy, alice).handshake()) for _ in range(3)]
            with ending(proxy, {"limit": 2}):
                proxy.config.write_text(proxy.config.read_text().replace("client = 3", "client = 1"))
                proxy.signal(signal.SIGHUP)
                for other in others:
                    assert other.recv_until_closed().octets == b""
                    other.close()
            assert answers(first)


def test_a_client_that_comes_again_is_not_kept_out_by_its_own_older_session(service: RawService) -> None:
    with limited(service, max_sessions_per_client=1) as proxy:
        (alice,) = listed(proxy, "alice")
        with (
            client_of(proxy, alice, identity=b"me").handshake() as older,
            client_of(proxy, alice, identity=b"me") as newer,
        ):
            with ending(proxy, {"replaced": 1}):
                newer.handshake()
                assert older.recv_until_closed().octets == b""
            assert answers(newer)


# --- rates


@pytest.mark.parametrize(
    ("limit", "count", "size"),
    [({"messages_per_second_per_client": 20}, 60, 10), ({"bytes_per_second_per_client": 100_000}, 3, 99_999)],
    ids=["messages", "octets"],
)
def test_who_sends_faster_than_it_may_is_read_no_faster_and_loses_nothing(
    service: RawService, limit: dict[str, int], count: int, size: int
) -> None:
    with limited(service, **limit) as proxy:
        (alice, bob) = listed(proxy, "alice", "bob")
        with client_of(proxy, alice).handshake() as greedy, client_of(proxy, bob).handshake() as modest:
            assert echoed(greedy, count, size) > 1, "the first second's worth at once, the others one by one"
            assert proxy.metric(THROTTLED) > 1
            before = proxy.metric(THROTTLED)
            for _ in range(10):
                assert answers(modest)
            assert proxy.metric(THROTTLED) == before, "nobody else is held up"


@pytest.mark.deep
def test_sessions_of_one_client_share_its_rate_by_turns(service: RawService) -> None:
    with limited(service, messages_per_second_per_client=20) as proxy:
        (alice,) = listed(proxy, "alice")
        with client_of(proxy, alice).handshake() as one, client_of(proxy, alice).handshake() as other:
            begin, count = time.monotonic(), 40
            for client in (one, other):
                client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(count)))
            for number in range(count):
                assert one.recv() == other.recv() == [b"%d" % number]
            assert time.monotonic() - begin > (2 * count - 20) / 20 - 0.5


def test_one_message_a_second_is_everybodys_turn() -> None:
    """The scarcest rate: whoever has just had it must not have it again before the others."""
    turns: list[int] = []

    def notes(peer: Peer) -> None:
        peer.handshake()
        while True:
            peer.recv()
            turns.append(id(peer))

    with (
        RawService(notes) as service,
        limited(service, messages_per_second_per_client=1) as proxy,
        ExitStack() as stack,
    ):
        (alice,) = listed(proxy, "alice")
        clients = [stack.enter_context(client_of(proxy, alice).handshake()) for _ in range(3)]
        for client in clients:
            client.send_raw(b"".join(client.seal(b"%d" % number) for number in range(60)))
        wait_until(lambda: len(set(turns)) == len(clients), "each has had its turn")
        assert max(Counter(turns).values()) < 60, "before one had all of its own"


@pytest.mark.deep
def test_what_a_client_said_before_it_left_arrives_at_its_rate(service: RawService) -> None:
    """Longer than an ending session may stand still."""
    with limited(service, messages_per_second_per_client=5) as proxy:
        (alice,) = listed(proxy, "alice")
        with client_of(proxy, alice).handshake() as client:
            for number in range(70):
                client.send([b"%d" % number])
            client.finish()
            for number in range(70):
                assert client.recv() == [b"%d" % number]
            assert client.recv_until_closed() == (b"", False)


def test_a_client_that_comes_again_has_no_more_for_it(service: RawService) -> None:
    with limited(service, bytes_per_second_per_client=100_000) as proxy:
        (alice,) = listed(proxy, "alice")
        with client_of(proxy, alice).handshake() as first:
            assert echoed(first, 1, 250_000) < 60  # all at once, and owed from then on
        proxy.wait_metric("curveproxy_sessions", 0)
        with client_of(proxy, alice).handshake() as second:
            begin = proxy.metric(THROTTLED)
            assert answers(second)
            assert proxy.metric(THROTTLED) > begin


@pytest.mark.deep
def test_a_certificate_overrides_the_rate_of_the_service_and_both_may_change(service: RawService) -> None:
    with limited(service, messages_per_second_per_client=2) as proxy:
        (free,) = listed(proxy, "free", messages_per_second="0")
        (slow,) = listed(proxy, "slow", messages_per_second="5")
        with client_of(proxy, free).handshake() as one, client_of(proxy, slow).handshake() as other:
            echoed(one, 200, 10)
            assert proxy.metric(THROTTLED) == 0
            other.send_raw(b"".join(other.seal(b"%d" % number) for number in range(2000)))
            wait_until(lambda: proxy.metric(THROTTLED) > 1, "it is held up")
            file = proxy.clients / "slow.key"
            file.write_text(file.read_text().replace('messages-per-second = "5"', ""))
            proxy.config.write_text(proxy.config.read_text().replace("per_client = 2", "per_client = 0"))
            proxy.signal(signal.SIGHUP)
            for number in range(2000):  # at the old rate it would take seven minutes
                assert other.recv() == [b"%d" % number]
            with ending(proxy, {"client_closed": 2}):
                one.close()
                other.close()


def test_a_heartbeat_of_the_service_is_answered_while_the_client_is_held_up() -> None:
    with RawService(minor=1) as service, limited(service, messages_per_second_per_client=1) as proxy:
        (alice,) = listed(proxy, "alice")
        with client_of(proxy, alice, minor=0) as client:
            backend = greeted(service, client)
            client.send_raw(b"".join(client.seal(b"x") for _ in range(10)))
            wait_until(lambda: proxy.metric(THROTTLED) > 0, "it is held up")
            assert backend.ping(b"context") == b"context"
            assert len(backend.messages) < 10
            assert proxy.metric(THROTTLED) < 8


# --- who says nothing


def test_only_the_idle_end(service: RawService) -> None:
    with limited(service, idle_seconds=2) as proxy:
        (alice,) = listed(proxy, "alice")
        with (
            client_of(proxy, alice).handshake() as busy,
            client_of(proxy, alice).handshake() as idle,
            client_of(proxy, alice).handshake() as pinging,
        ):

            def idle_has_ended() -> bool:
                pinging.send_command(b"PING", bytes(2))  # that says nothing to anybody
                return answers(busy) and bool(select.select([idle.sock], [], [], 0)[0])

            with ending(proxy, {"idle": 2}):
                wait_until(idle_has_ended, "the idle one has ended")
                for gone in (idle, pinging):
                    gone.recv_until_closed()
                    gone.close()
            assert answers(busy)


@pytest.mark.deep
def test_an_unfinished_frame_that_does_not_grow_is_idle(service: RawService) -> None:
    """One octet now and then is no growth; a slow upload is."""
    with limited(service, idle_seconds=2) as proxy:
        (alice,) = listed(proxy, "alice")
        with (
            client_of(proxy, alice).handshake() as begun,
            client_of(proxy, alice).handshake() as large,
            client_of(proxy, alice).handshake() as trickling,
            client_of(proxy, alice).handshake() as uploading,
        ):
            begun.send_raw(b"\0")
            large.send_raw(large.seal(bytes(1 << 20))[: 1 << 19])
            trickle, upload = iter(trickling.seal(bytes(1 << 20))), uploading.seal(bytes(40_000))
            with ending(proxy, {"idle": 3}):
                for at in range(0, 40_000, 1000):  # 8 seconds
                    with suppress(OSError):
                        trickling.send_raw(bytes([next(trickle)]))
                    uploading.send_raw(upload[at : at + 1000])
                    time.sleep(0.2)
                for gone in (begun, large, trickling):
                    gone.recv_until_closed()
                    gone.close()
            uploading.send_raw(upload[40_000:])
            assert uploading.recv() == [bytes(40_000)]


@pytest.mark.deep
def test_who_waits_for_a_reply_is_not_idle() -> None:
    with RawService(socket_type="REP") as service, limited(service, idle_seconds=1) as proxy:
        (alice,) = listed(proxy, "alice")
        with client_of(proxy, alice, socket_type="REQ") as asking:
            backend = greeted(service, asking)
            asking.send([b"", b"question"])
            assert backend.recv() == [b"", b"question"]
            time.sleep(4)
            backend.send([b"", b"answer"])
            assert asking.recv() == [b"", b"answer"]
            with ending(proxy, {"idle": 1}):
                assert asking.recv_until_closed().octets == b""
                asking.close()


# --- who is dead

CLIENT = """
    import sys, zmq
    from zmq.utils import z85
    sock = zmq.Context().socket(zmq.DEALER)
    sock.curve_serverkey, sock.curve_publickey, sock.curve_secretkey = (word.encode() for word in sys.argv[2:])
    sock.connect(sys.argv[1])
    while True:
        sock.send(b"alive")
        print(sock.recv().decode(), flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def process(service: RawService) -> Iterator[tuple[Sidecar, "subprocess.Popen[str]"]]:
    """A proxy that asks its clients each second, and a libzmq client in a process of its own."""
    from zmq.utils import z85

    with limited(service, heartbeat_seconds=1) as proxy:
        (alice,) = listed(proxy, "alice")
        words = [z85.encode(key).decode() for key in (proxy.server.public, alice.public, alice.secret)]
        started = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CLIENT), proxy.public, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield proxy, started
        finally:
            started.kill()
            started.communicate()


@pytest.mark.deep
def test_a_client_whose_process_is_stopped_is_dead_and_one_that_says_nothing_is_not(
    service: RawService, process: tuple[Sidecar, "subprocess.Popen[str]"]
) -> None:
    proxy, client = process
    assert client.stdout is not None
    assert client.stdout.readline() == "alive\n"
    backend = service.accepted[-1]
    (bob,) = listed(proxy, "bob")
    with Libzmq() as z:
        living = z.connect(zmq.DEALER, proxy.public, server=proxy.server.public, keys=bob)
        living.send(b"hello")
        assert living.recv() == b"hello"
        time.sleep(4)
        assert proxy.metric("curveproxy_sessions") == 2, "both have answered"
        with ending(proxy, {"heartbeat": 1}):
            client.send_signal(signal.SIGSTOP)
        assert proxy.metric("curveproxy_sessions") == 1
        living.send(b"still here")
        assert living.recv() == b"still here"
        client.send_signal(signal.SIGCONT)
        assert not backend.commands, "the service is told nothing of it"


def test_only_who_has_answered_before_can_be_dead(service: RawService) -> None:
    with limited(service, heartbeat_seconds=0.5) as proxy:
        (alice,) = listed(proxy, "alice")
        old = client_of(proxy, alice, minor=0)
        mute, mortal = client_of(proxy, alice, pongs=False), client_of(proxy, alice)
        with old.handshake(), mute.handshake(), mortal.handshake():
            name, data = mortal.recv_command()  # and PONG is sent
            assert (name, data[:2]) == (b"PING", bytes(2))
            assert answers(mortal)
            with ending(proxy, {"heartbeat": 1}):
                assert mortal.sock.fileno() > 0  # from now on it reads and says nothing
            assert answers(old)
            assert answers(mute)
            assert not old.commands
            assert mute.commands
            assert not any(command for peer in service.accepted for command in peer.commands)


@pytest.mark.deep
def test_heartbeats_of_the_service_go_through_beside_our_own() -> None:
    with RawService(minor=1) as service, limited(service, heartbeat_seconds=0.5) as proxy:
        (alice,) = listed(proxy, "alice")
        with client_of(proxy, alice) as client:
            backend = greeted(service, client)
            for number in range(8):
                backend.send_command(b"PING", bytes(2) + b"%d" % number)
                while (b"PING", bytes(2) + b"%d" % number) not in client.commands:
                    client.advance()
                assert backend.recv_command() == (b"PONG", b"%d" % number)
                time.sleep(0.25)
            assert (b"PING", bytes(2) + b"curveproxy") in client.commands
            assert not backend.commands
