"""No turn of a pump is long, whatever comes."""

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from support import zmtp
from support.relaying import LargePool, Relay, sealed

from curveproxy.proxy.net.reactor import READ
from curveproxy.proxy.relay import pump, transform
from curveproxy.reasons import Closed
from curveproxy.wire.codec.select import BATCH

PING = zmtp.ping()


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


def turns(relay: Relay, octets: bytes, peer: str) -> list[int]:
    """Let one side send all of these at once; how many frames the other gets in each turn, the first included."""
    sock, end = (relay.client, relay.near) if peer == "client" else (relay.service, relay.far)
    for side in (relay.client, relay.service, relay.near.socket, relay.far.socket):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    other, came, found = relay.service if peer == "client" else relay.client, b"", []
    assert sock.send(octets) == len(octets)
    again = list[Callable[[], None]]([partial(end.ready, READ)])
    while again:
        again.pop(0)()
        got = b""
        with suppress(BlockingIOError):
            while more := other.recv(1 << 20):
                got += more
        found.append(sum(1 for _ in zmtp.read_frames(got)))
        came += got
        again += [pump.resume for pump in relay.room.again]
        assert len(again) <= 2, "each way waits for its turn once"
        relay.room.again.clear()
    relay.came = came
    return found


class TestTurns:
    def test_a_client_that_floods_with_commands_gives_up_its_turn(self) -> None:
        with Relay(pool=LargePool) as relay:
            found = turns(relay, b"".join(sealed(3 + n, PING, 2) for n in range(4000)), "client")
            assert sum(found) == 4000
            assert max(found) <= pump.JUDGED_MAX
            assert len(relay.commands) == 4000

    def test_a_client_that_floods_with_empty_messages_gives_up_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transform, "BATCH", 1000)
        with Relay(pool=LargePool, on_invalid="disconnect") as relay:
            found = turns(relay, b"".join(sealed(3 + n, b"") for n in range(4000)), "client")
            assert sum(found) == 4000
            assert max(found) == 1000

    def test_a_service_that_floods_with_empty_frames_gives_up_its_turn(self) -> None:
        with Relay(pool=LargePool) as relay:
            found = turns(relay, bytes(2) * 60000, "service")
            assert sum(found) == 60000
            assert max(found) == BATCH

    def test_frames_between_commands_count_too(self) -> None:
        with Relay(pool=LargePool) as relay:
            found = turns(relay, (bytes(2) * 2000 + zmtp.frame(PING, zmtp.COMMAND)) * 20, "service")
            assert sum(found) == 20 * 2001
            assert max(found) < 2 * BATCH


@pytest.mark.parametrize("peer", ["client", "service"])
def test_unknown_commands_are_left_out_until_there_are_too_many(peer: str) -> None:
    with Relay(on_invalid="disconnect", max_invalid_per_minute=5) as relay:
        unknown = zmtp.frame(b"\1X", zmtp.COMMAND)
        for count in range(6):
            assert relay.session.reason is None
            turns(relay, sealed(3 + count, b"\1X", 2) if peer == "client" else unknown, peer)
            assert len(relay.invalid) == count + 1
        assert relay.session.reason == Closed.INVALID_MESSAGE
