"""What is owed to a sink that takes little at a time."""

import socket
from contextlib import suppress

import pytest
import trio
from support import curve, zmtp
from support.relaying import FIRST_NONCE, Relay, sealed

from curveproxy.proxy.net.reactor import READ, WRITE
from curveproxy.proxy.relay import pump


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
