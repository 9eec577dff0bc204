"""Sessions with records, on either side: large frames run through, and our own commands stand between frames."""

import gc
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio
from support import zmtp
from support.old import frame1
from support.records import Direction
from support.relaying import CHAINS, V31, Allowance, LargePool, Relay, Side

from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.relay.commands import OUR_PING
from curveproxy.proxy.relay.pump import Pump
from curveproxy.proxy.relay.records import frames_in
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec.suites import available_suites
from curveproxy.wire.security import Records, Version
from curveproxy.wire.zmtp.frame import Dialect

PONG = zmtp.command(b"PONG", b"x")
SIZES = [0, 1, 255, 256, 40_000, 300_000]


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


@pytest.fixture(params=available_suites(), ids=lambda suite: suite.word)
def suite(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    number: int = request.param
    monkeypatch.setattr(Relay, "suite", number)
    return number


@pytest.fixture(params=["downstream", "upstream"])
def boxed(request: pytest.FixtureRequest, suite: int) -> str:
    """The side with records."""
    side: str = request.param
    return side


class Ends:
    """Both outer ends of a relay: what one says, and what comes to the other.

    sends, hears: of the peer with records.
    """

    def __init__(self, relay: Relay, boxed: str, *, padded: bool = False, hears_padded: bool = False) -> None:
        self.relay, is_below = relay, boxed == "downstream"
        below, above = CHAINS
        sends, hears = (below, above) if is_below else (above, below)
        self.sends, self.hears = Direction(sends, Relay.suite, padded=padded), Direction(hears, Relay.suite)
        self.hears.padded = hears_padded
        sides: list[tuple[socket.socket, Side]] = [(relay.client, relay.near), (relay.service, relay.far)]
        (self.boxed, self.boxed_side), (self.plain, self.plain_side) = sides if is_below else sides[::-1]
        self.came, self._rest = b"", b""

    @property
    def opener(self) -> Pump:
        return self.boxed_side.reader

    @property
    def sealer(self) -> Pump:
        return self.plain_side.reader

    def say(self, stream: bytes) -> bytes:
        """Let the peer with records say this in a batch; what the plain side gets at once."""
        return self.pour(self.boxed, self.boxed_side, self.sends.batch(stream), self.plain, self.plain_side)

    def say_plain(self, octets: bytes) -> bytes:
        """Let the plain side say this; the stream that the peer with records gets at once."""
        got = self.pour(self.plain, self.plain_side, octets, self.boxed, self.boxed_side)
        stream, self._rest = self.hears.open(self._rest + got)
        return stream

    def pour(self, near: socket.socket, peer: Side, octets: bytes, far: socket.socket, other: Side) -> bytes:
        """Send octets, as fast as they are taken, and read what comes out at the other end."""
        came, left = b"", memoryview(octets)
        while True:
            with suppress(BlockingIOError):
                left = left[near.send(left) :] if left else left
            peer.ready(READ)
            self.relay.go_on()
            got = received(far)
            other.ready(WRITE)
            self.relay.go_on()
            got += received(far)
            came += got
            if not left and not got:
                return came


def received(sock: socket.socket) -> bytes:
    came = b""
    with suppress(BlockingIOError):
        while got := sock.recv(1 << 20):
            came += got
    return came


@pytest.fixture
def both(boxed: str) -> Iterator[Ends]:
    with Relay(pool=LargePool, boxed=boxed, max_message_bytes=1 << 20) as relay:
        yield Ends(relay, boxed)


def test_frames_of_all_sizes_go_both_ways(both: Ends) -> None:
    stream = b"".join(zmtp.frame(bytes([size % 251]) * size, zmtp.MORE * (size == 1)) for size in SIZES)
    assert both.say(stream) == stream
    assert both.say_plain(stream) == stream
    session = both.relay.session
    assert (session.messages_in, session.messages_out) == (len(SIZES) - 1, len(SIZES) - 1)
    assert session.octets_in == session.octets_out == sum(SIZES)
    assert both.relay.pool.lent == []


def test_an_octet_goes_on_when_it_comes(both: Ends) -> None:
    stream, came = zmtp.frame(bytes(300)) + zmtp.frame(b"next"), b""
    for octet in stream:
        came += both.say(bytes([octet]))
    assert came == stream
    came = b""
    for octet in stream:
        came += both.say_plain(bytes([octet]))
    assert came == stream


def test_records_come_octet_by_octet(both: Ends) -> None:
    stream, came = zmtp.frame(bytes(100)) + zmtp.frame(b"next"), b""
    for octet in both.sends.batch(stream):
        came += both.pour(both.boxed, both.boxed_side, bytes([octet]), both.plain, both.plain_side)
    assert came == stream


@pytest.mark.parametrize("cut", [1, 2, 9, 40_000, 100_000])
def test_a_command_of_ours_waits_for_the_end_of_a_frame(both: Ends, cut: int) -> None:
    frame = zmtp.frame(bytes(100_000))
    behind = [zmtp.frame(b"x" * 200_000), zmtp.frame(b"y")]
    expected = [zmtp.Frame(0, bytes(100_000)), zmtp.Frame(zmtp.COMMAND, PONG)]
    for say, pump in ((both.say, both.opener), (both.say_plain, both.sealer)):
        came = say(frame[:cut])
        pump.send_command(PONG)
        came += say(b"".join([frame[cut:], *behind]))
        found = zmtp.read_frames(came)
        if cut < 9:  # a header that is not whole has not begun
            expected = expected[:1] if found[0].flags == 0 else expected[::-1]
        assert found[: len(expected)] == expected
        assert sorted(map(len, (each.body for each in found))) == sorted([100_000, len(PONG), 200_000, 1])
        expected = [zmtp.Frame(0, bytes(100_000)), zmtp.Frame(zmtp.COMMAND, PONG)]


def test_a_damaged_record_ends_the_session_behind_what_came_before(both: Ends) -> None:
    came = both.say(zmtp.frame(b"before"))
    damaged = bytearray(both.sends.batch(zmtp.frame(b"not")))
    damaged[-1] ^= 1
    came += both.pour(both.boxed, both.boxed_side, bytes(damaged), both.plain, both.plain_side)
    assert came == zmtp.frame(b"before")
    assert both.relay.invalid == [Invalid.RECORD]
    assert both.relay.session.reason == Closed.INVALID_MESSAGE


def test_too_large_is_told_at_the_header_and_nothing_of_the_frame_goes_on(both: Ends) -> None:
    small = zmtp.frame(b"small")
    assert both.say(small + zmtp.frame(bytes((1 << 20) + 1))[:500]) == small
    assert both.relay.invalid == [Invalid.TOO_LARGE]


def test_a_heartbeat_is_asked_of_whoever_has_records(both: Ends) -> None:
    both.relay.session.check_alive()
    assert zmtp.read_frames(both.say_plain(b"")) == [(zmtp.COMMAND, OUR_PING)]


def test_records_are_counted_as_they_are_sent(both: Ends) -> None:
    both.say(zmtp.frame(b"one"))
    both.say_plain(zmtp.frame(b"two"))
    traffic = both.relay.session.env.traffic
    size = 2 + 5 + (16 if Relay.suite == 1 else 32)
    for count in (traffic.records_in, traffic.records_out):
        assert (count.records, count.octets) == (1, size)


def test_a_close_in_the_middle_of_a_frame_ends_the_other_side(both: Ends) -> None:
    assert len(both.say(zmtp.frame(bytes(1000))[:500])) == 500
    both.boxed.shutdown(socket.SHUT_WR)
    both.boxed_side.ready(READ | GONE)
    both.relay.go_on()
    assert both.plain.recv(1) == b""


def test_a_session_that_is_to_end_does_so_behind_a_whole_message(both: Ends) -> None:
    message = zmtp.frame(b"1" * 200_000, zmtp.MORE) + zmtp.frame(b"2" * 200_000)
    came = both.say(message[:70_000])
    both.relay.session.revoke()
    both.relay.go_on()
    assert both.relay.session.reason == Closed.REVOKED
    came += both.say(message[70_000:] + message * 3)
    assert came == message
    assert both.plain.recv(1) == b"", "nothing follows"


def test_what_is_kept_is_a_record_at_most_and_is_accounted_for(both: Ends) -> None:
    memory = both.relay.memory
    octets, most = both.sends.batch(zmtp.frame(bytes(1_000_000))), 0
    for at in range(0, len(octets), 10_000):
        both.pour(both.boxed, both.boxed_side, octets[at : at + 10_000], both.plain, both.plain_side)
        assert memory.held == both.opener.held == both.opener.begun
        most = max(most, memory.held)
    assert 10_000 < most <= 2 + 32_768 + 32
    assert memory.held == 0


def test_the_part_of_a_command_that_has_come_is_accounted_for(both: Ends) -> None:
    command = zmtp.frame(zmtp.command(b"PING", bytes(2) + b"x"), zmtp.COMMAND)
    assert both.say(command[:5]) == b""
    assert both.relay.memory.held == 5
    assert both.say(command[5:]) == command
    assert both.relay.memory.held == 0


def test_what_its_sink_does_not_take_is_kept_and_no_more(both: Ends) -> None:
    for side, peer, octets, pump in (
        (both.boxed, both.boxed_side, both.sends.batch(zmtp.frame(bytes(1_000_000))), both.opener),
        (both.plain, both.plain_side, zmtp.frame(bytes(1_000_000)), both.sealer),
    ):
        left = memoryview(octets)
        while True:
            try:
                left = left[side.send(left) :]
            except BlockingIOError:
                break
            peer.ready(READ)
            both.relay.go_on()
        assert pump.is_blocked_on_sink
        assert pump.held <= LargePool.read_size_max + 33_000
    assert both.relay.pool.lent == []


def test_a_quota_holds_for_what_comes_in_records(both: Ends) -> None:
    quota, reader = Allowance(0.0), both.opener
    reader.limit(quota)
    record = both.sends.batch(zmtp.frame(bytes(5000)))
    assert both.pour(both.boxed, both.boxed_side, record, both.plain, both.plain_side) == b""
    assert reader.is_held_up
    quota.octets = 100.0  # a record that has begun is read to its end
    came = b""
    for _ in range(3):
        reader.may_resume(0.0)
        both.relay.go_on()
        came += received(both.plain)
    assert came == zmtp.frame(bytes(5000))
    assert quota.spent == len(record)


def test_a_command_that_waits_in_a_frame_does_not_keep_its_session_from_being_idle(both: Ends) -> None:
    both.say(zmtp.frame(bytes(1000))[:500])
    assert both.opener.is_idle
    assert not both.opener.try_send_command(OUR_PING), "nothing can be asked now"
    both.opener.send_command(PONG)
    both.relay.go_on()
    assert both.opener.is_idle


@pytest.mark.parametrize("cuts", [(0, 4), (3, 8), (5, 5)], ids=str)
def test_a_command_is_cut_over_records(both: Ends, cuts: tuple[int, int]) -> None:
    ping = zmtp.frame(zmtp.ping(b"x"), zmtp.COMMAND)
    stream = zmtp.frame(bytes(70_000)) + ping + zmtp.frame(b"behind")
    first, second = (70_009 + cut for cut in cuts)
    for say in (both.say, both.say_plain):
        assert say(stream[:first]) + say(stream[first:second]) + say(stream[second:]) == stream


def test_padded_records_are_opened_and_sealed(boxed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relay, "padded", True)
    monkeypatch.setattr(Relay, "pad_to", 1024)
    with Relay(pool=LargePool, boxed=boxed, max_message_bytes=1 << 20) as relay:
        both = Ends(relay, boxed, padded=True, hears_padded=True)
        stream = zmtp.frame(b"small") + zmtp.frame(zmtp.ping(b"x"), zmtp.COMMAND) + zmtp.frame(bytes(100_000))
        assert (
            both.pour(both.boxed, both.boxed_side, both.sends.batch(stream, 64), both.plain, both.plain_side) == stream
        )
        assert both.say_plain(stream) == stream
        both.opener.send_command(PONG)
        both.sealer.send_command(PONG)
        relay.go_on()
        assert both.say_plain(b"") == received(both.plain) == zmtp.frame(PONG, zmtp.COMMAND)


def test_nobody_keeps_where_the_keys_began(both: Ends) -> None:
    for chain in CHAINS:
        held = [each for each in gc.get_referrers(chain) if isinstance(each, Records)]
        assert held == []


def test_a_frame_is_whole_where_the_plain_side_is_not_sent_everything(boxed: str) -> None:
    kinds = (b"SUB", b"XPUB") if boxed == "downstream" else (b"XPUB", b"SUB")
    with Relay(pool=LargePool, boxed=boxed, kinds=kinds, max_message_bytes=1 << 20) as relay:
        both = Ends(relay, boxed)
        subscription = zmtp.frame(b"\1" + bytes(1000))
        assert both.say(subscription[:500]) == b""
        assert relay.memory.held == 500
        both.opener.send_command(PONG)
        relay.go_on()
        assert received(both.plain) == zmtp.frame(PONG, zmtp.COMMAND), "its sink is between two frames"
        assert both.say(subscription[500:] + zmtp.frame(b"no subscription" * 1000)) == subscription
        assert relay.invalid == [Invalid.NOT_ACCEPTED]
        assert relay.memory.held == 0


def test_of_an_old_publisher_large_messages_run_through_if_they_are_wanted(boxed: str) -> None:
    old = Version(Dialect.V1, 0)
    kinds, versions = ((b"SUB", b"PUB"), (V31, old)) if boxed == "downstream" else ((b"PUB", b"SUB"), (old, V31))
    with Relay(pool=LargePool, boxed=boxed, kinds=kinds, versions=versions, max_message_bytes=1 << 20) as relay:
        both = Ends(relay, boxed)
        both.say(zmtp.frame(b"\1topic"))
        wanted, other = b"topic" + bytes(300_000), b"other" + bytes(300_000)
        stream = frame1(wanted, 1) + frame1(b"part") + frame1(other, 1) + frame1(bytes(50_000)) + frame1(wanted)
        came = b""
        for at in range(0, len(stream), 7_001):
            came += both.say_plain(stream[at : at + 7_001])
            assert relay.memory.held < 100
        expected = zmtp.frame(wanted, zmtp.MORE) + zmtp.frame(b"part") + zmtp.frame(wanted)
        assert came == expected
        assert (both.say_plain(frame1(b"top")), relay.invalid) == (b"", [])


@pytest.mark.parametrize(
    ("frames", "told"),
    [([b""] * 100, 100), ([bytes(3)] * 50, 50), ([bytes(300)] * 20, 20), ([bytes(70_000)], 1), ([bytes(200)] * 40, 12)],
    ids=["empty", "small", "long", "one", "nearly long, so that fewer could have as much"],
)
def test_frames_are_told_by_their_headers(frames: list[bytes], told: int) -> None:
    stream = b"".join(map(zmtp.frame, frames))
    assert frames_in(len(stream), sum(map(len, frames))) == told


def test_a_large_message_counts_as_one_in_a_quota(both: Ends) -> None:
    class Counted(Allowance):
        messages = 0.0

        def spend(self, messages: float, octets: int, now: float) -> None:
            super().spend(messages, octets, now)
            self.messages += messages

    quota = Counted(1e9)
    both.opener.limit(quota)
    both.say(zmtp.frame(bytes(1_000_000)) + zmtp.frame(b"") * 10)
    assert 11 <= quota.messages < 12
    both.say(zmtp.frame(b"", zmtp.MORE) * 1599 + zmtp.frame(b""))
    assert 111 <= quota.messages < 112


def test_who_has_no_commands_has_sent_none(suite: int) -> None:
    versions = (Version(Dialect.V2, 0), V31)
    with Relay(pool=LargePool, boxed="upstream", versions=versions) as relay:
        assert Ends(relay, "upstream").say_plain(zmtp.frame(zmtp.ping(), zmtp.COMMAND)) == b""
        assert relay.invalid == [Invalid.FRAMING]
