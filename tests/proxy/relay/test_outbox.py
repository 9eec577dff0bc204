"""What is owed to a sink that takes little at a time, or has gone."""

import socket
from contextlib import suppress

import pytest
import trio
from support import curve, zmtp
from support.relaying import FIRST_NONCE, Relay, sealed

from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.relay import pump
from curveproxy.reasons import Closed


@pytest.fixture(autouse=True)
def _soon_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "THREAD_SIZE", 1500)
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


@pytest.mark.parametrize("policy", ["disconnect", "drop"])
@pytest.mark.parametrize("sizes", [(3, 3), (3, 600), (600, 900), (3, 1900)])
def test_what_is_owed_does_not_keep_a_buffer_that_is_much_larger(policy: str, sizes: tuple[int, int]) -> None:
    """Two parts that come by themselves, for a service that takes a few octets at a time."""
    with Relay(on_invalid=policy) as relay:
        reader, far = relay.to_service, relay.far
        far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        padding = 0
        with suppress(BlockingIOError):
            while True:
                padding += far.socket.send(bytes(100))
        for number, size in enumerate(sizes):
            relay.client.send(sealed(FIRST_NONCE + number, bytes(size), curve.INNER_MORE * (number == 0)))
            relay.near.ready(READ)
            relay.go_on()
        assert reader.held > 0
        assert policy == "disconnect" or sum(sizes) < reader.owed < sum(sizes) + 50
        came = b""
        while reader.held:
            assert reader.held <= 2 * reader.owed + reader.partial + 1
            assert sum(map(len, relay.pool.lent)) <= reader.held
            with suppress(BlockingIOError):
                came += relay.service.recv(50)
            far.ready(WRITE)
            relay.go_on()
        with suppress(BlockingIOError):
            while got := relay.service.recv(1 << 20):
                came += got
        parts = [body for _, body in zmtp.read_frames(came[padding:])]
        assert parts == [bytes(size) for size in sizes]


def come(sock: socket.SocketType) -> bytes:
    """What is there to be read."""
    octets = b""
    with suppress(BlockingIOError, ConnectionResetError):
        while got := sock.recv(1 << 20):
            octets += got
    return octets


def test_a_sink_that_has_gone_is_reported_and_the_source_read_to_its_end() -> None:
    with Relay() as relay:
        relay.service.close()
        for number in range(3):
            relay.client.send(sealed(FIRST_NONCE + number, b"x"))
            relay.near.ready(READ)
            relay.go_on()
        assert relay.to_service.has_lost_sink
        assert relay.session.reason == Closed.BACKEND_RESET
        assert relay.near.socket.fileno() == -1 or come(relay.near.socket) == b"", "nothing is left to reset it"


def test_what_nobody_would_answer_closes_the_session() -> None:
    with Relay() as relay:
        relay.service.send(zmtp.frame(b"unread"))
        relay.far.ready(READ)
        relay.client.send(sealed(FIRST_NONCE, b"last"))
        relay.client.close()  # with something unread: a reset
        relay.near.ready(READ | GONE)
        relay.go_on()
        assert come(relay.service) == zmtp.frame(b"last")
        relay.far.ready(READ)
        relay.go_on()
        assert relay.session.reason == Closed.CLIENT_RESET
        assert relay.ended in (None, Closed.CLIENT_RESET)


def test_a_message_of_its_own_goes_before_anything_else() -> None:
    with Relay() as relay:
        relay.to_service.begin_with(b"\1")
        assert relay.to_service.owed == 3
        relay.to_service.begin()
        relay.client.send(sealed(FIRST_NONCE, b"first"))
        relay.near.ready(READ)
        relay.go_on()
        assert come(relay.service) == zmtp.frame(b"\1") + zmtp.frame(b"first")


def test_who_holds_what_others_wait_for_is_ended_for_that() -> None:
    with Relay() as relay:
        assert relay.to_service.key == relay.session.key
        relay.to_service.give_up()
        assert (relay.ended, relay.to_service.has_ended) == (Closed.MEMORY, True)


def test_an_error_of_ours_ends_its_session() -> None:
    with Relay() as relay:
        relay.to_service.failed(ValueError("ours"))
        assert relay.ended == Closed.INTERNAL
        assert [str(error) for error in relay.errors] == ["ours"]
        relay.errors.clear()


def test_who_finishes_early_hears_no_more_and_is_heard_to_its_end() -> None:
    with Relay() as relay:
        relay.session.drain()
        relay.go_on()
        assert relay.client.recv(1) == b"", "nothing follows"
        relay.client.setblocking(False)
        relay.client.send(sealed(FIRST_NONCE, b"still said"))
        relay.near.ready(READ)
        relay.go_on()
        assert come(relay.service) == zmtp.frame(b"still said")
        relay.service.send(zmtp.frame(b"never heard"))
        relay.far.ready(READ)
        relay.go_on()
        assert come(relay.client) == b""
        assert relay.session.reason == Closed.DRAINED
