"""One direction at work: what blocks it and what wakes it; and no turn of it is long, whatever comes."""

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from support import zmtp
from support.relaying import FIRST_NONCE, Allowance, LargePool, Relay, sealed

from curveproxy.proxy.net.reactor import GONE, READ, WRITE
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


# --- what a pump does in a turn, and what blocks it


def from_service(relay: Relay, octets: bytes = b"", events: int = READ) -> bytes:
    """Let the service say something; what the client gets of it."""
    relay.service.send(octets)
    relay.far.ready(events)
    relay.go_on()
    try:
        return relay.client.recv(1 << 20)
    except BlockingIOError:
        return b""


def fill(relay: Relay) -> int:
    """Fill the connection to the service; how many octets that took."""
    relay.far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    padding = 0
    with suppress(BlockingIOError):
        while True:
            padding += relay.far.socket.send(bytes(100))
    return padding


def drained(relay: Relay, padding: int) -> bytes:
    """What the service gets behind that, once it reads again."""
    came = b""
    while True:
        try:
            came += relay.service.recv(1 << 20)
        except BlockingIOError:
            return came[padding:]
        relay.far.ready(WRITE)
        relay.go_on()


def test_the_end_of_the_client_is_told_behind_all_that_it_has_said() -> None:
    with Relay() as relay:
        relay.client.send(sealed(FIRST_NONCE, b"last"))
        relay.client.shutdown(socket.SHUT_WR)
        relay.near.ready(READ | GONE)
        relay.go_on()
        assert relay.service.recv(100) == zmtp.frame(b"last")
        assert relay.service.recv(100) == b""
        assert (relay.session.reason, relay.session.is_finishing, relay.ended) == (Closed.CLIENT_CLOSED, True, None)
        relay.service.close()
        relay.far.ready(READ | GONE)
        relay.go_on()
        assert relay.ended == Closed.CLIENT_CLOSED


@pytest.mark.parametrize("how", ["ends", "leaves"])
def test_a_client_that_has_gone_is_known_to_have_before_its_event_comes(how: str) -> None:
    """For it may be back already, and must not be taken for its own rival."""
    with Relay() as relay:
        relay.client.send(sealed(FIRST_NONCE, b"last"))
        assert not relay.session.is_finishing
        if how == "ends":
            relay.client.shutdown(socket.SHUT_WR)
        else:
            relay.client.close()
        assert relay.session.is_finishing
        assert (relay.session.reason, relay.messages) == (None, [])


def test_a_reset_of_the_client_is_told_at_once() -> None:
    with Relay() as relay:
        relay.service.send(zmtp.frame(b"unread"))
        relay.far.ready(READ)
        relay.client.close()  # with something unread
        relay.near.ready(READ | GONE)
        relay.go_on()
        assert relay.session.reason == Closed.CLIENT_RESET


def test_while_its_sink_is_blocked_a_pump_does_not_read() -> None:
    with Relay() as relay:
        padding, reader = fill(relay), relay.to_service
        for number, letter in enumerate((b"x", b"y")):
            relay.client.send(sealed(FIRST_NONCE + number, letter * 100))
            relay.near.ready(READ)
            relay.go_on()
            assert reader.is_blocked_on_sink
            assert reader.owed == 102
        assert not reader.try_send_command(PING), "it would only be owed as well"
        assert relay.near.socket.recv(1000, socket.MSG_PEEK) == sealed(FIRST_NONCE + 1, b"y" * 100), (
            "it is the kernel's"
        )
        assert drained(relay, padding) == zmtp.frame(b"x" * 100) + zmtp.frame(b"y" * 100)
        assert (reader.owed, reader.held) == (0, 0)


def test_a_newer_command_takes_the_place_of_one_that_waits() -> None:
    with Relay() as relay:
        relay.to_service.send_command(zmtp.ping(b"old"))
        assert not relay.to_service.try_send_command(PING)
        relay.to_service.send_command(zmtp.ping(b"new"))
        relay.go_on()
        relay.send(b"")
        assert relay.commands == [zmtp.ping(b"new")]
        assert relay.to_service.try_send_command(PING)


def test_a_source_whose_quota_is_used_up_is_read_when_there_is_more() -> None:
    with Relay() as relay:
        quota, reader = Allowance(0.0), relay.to_service
        reader.limit(quota)
        relay.send(sealed(FIRST_NONCE, b"x"))
        assert (relay.came, reader.is_held_up) == (b"", True)
        reader.may_resume(0.0)
        relay.go_on()
        assert relay.came == b""
        quota.octets = 1000.0
        reader.may_resume(0.0)
        reader.may_resume(0.0)
        relay.send(b"")
        assert relay.messages == [[b"x"]]
        assert quota.spent == len(sealed(FIRST_NONCE, b"x"))
        assert not reader.is_held_up


def test_what_came_before_its_session_is_relayed_first() -> None:
    with Relay() as relay:
        relay.to_service.begin()
        assert relay.room.again == [], "nothing came"


LARGE = sealed(FIRST_NONCE, bytes(1900))


@pytest.mark.parametrize("thread_size", [1500, 1 << 20], ids=["in a thread", "in its turn"])
def test_a_frame_larger_than_the_buffers_is_relayed_whole(monkeypatch: pytest.MonkeyPatch, thread_size: int) -> None:
    monkeypatch.setattr(pump, "THREAD_SIZE", thread_size)
    with Relay() as relay:
        for at in range(0, len(LARGE), 190):
            relay.send(LARGE[at : at + 190])
        relay.send(sealed(FIRST_NONCE + 1, b"next"))
        assert relay.messages == [[bytes(1900)], [b"next"]]
        assert (relay.pool.lent, relay.to_service.held) == ([], 0)


def test_a_large_frame_that_does_not_come_to_its_end_is_lost() -> None:
    with Relay() as relay:
        relay.send(LARGE[:1500])
        relay.client.shutdown(socket.SHUT_WR)
        relay.near.ready(READ | GONE)
        relay.go_on()
        assert relay.service.recv(100) == b""


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_session_may_end_while_a_large_frame_is_in_a_thread(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    monkeypatch.setattr(pump, "THREAD_SIZE", 1500)
    with Relay() as relay:
        relay.client.send(LARGE)
        relay.near.ready(READ)
        while relay.room.again and not relay.jobs:
            relay.room.again.pop().resume()
        [_] = relay.jobs
        assert relay.to_service.is_held_up

        async def aborts(work: Callable[..., object], *arguments: object) -> object:
            relay.session.abort(Closed.REVOKED)
            return work(*arguments)

        if when == "before":
            relay.session.abort(Closed.REVOKED)
        else:
            monkeypatch.setattr(trio.to_thread, "run_sync", aborts)
        relay.go_on()
        relay.near.ready(READ)
        assert (relay.came, relay.to_service.held, relay.ended) == (b"", 0, Closed.REVOKED)


@pytest.mark.parametrize("octets", [b"", LARGE[:1500]], ids=["nothing", "half a large frame"])
def test_while_memory_is_short_no_more_is_read_than_the_sink_takes(octets: bytes) -> None:
    with Relay() as relay:
        relay.send(octets)
        padding = fill(relay)
        relay.memory.set_limit(1)
        relay.memory.charge(relay.far.reader, 10, 0)  # the other direction holds some
        assert relay.memory.under_pressure
        relay.client.send(sealed(FIRST_NONCE, b"x") if not octets else LARGE[1500:])
        relay.near.ready(READ)
        relay.go_on()
        assert relay.to_service.is_blocked_on_sink
        relay.memory.set_limit(1 << 30)
        came = drained(relay, padding)
        assert zmtp.read_frames(came) == [(0, b"x" if not octets else bytes(1900))]


def test_a_direction_that_finishes_ends_between_two_messages() -> None:
    with Relay() as relay:
        assert from_service(relay, zmtp.frame(b"part", zmtp.MORE))
        relay.session.drain()
        relay.go_on()
        relay.client.setblocking(False)
        with pytest.raises(BlockingIOError):
            relay.client.recv(1)
        relay.service.send(zmtp.frame(b"end") + zmtp.frame(b"not any more"))
        relay.far.ready(READ)
        relay.go_on()
        frames = zmtp.read_frames(relay.client.recv(1 << 16))
        assert len(frames) >= 1
        assert relay.client.recv(1) == b""
        assert relay.session.reason == Closed.DRAINED


def test_a_pump_that_has_ended_bears_whatever_wakes_it() -> None:
    with Relay() as relay:
        relay.session.abort(Closed.REVOKED)
        reader = relay.to_service
        for wake in (reader.resume, reader.sink_ready, partial(reader.ready, READ | WRITE | GONE), reader.stop):
            wake()
        assert (reader.has_ended, reader.held, relay.ended) == (True, 0, Closed.REVOKED)
