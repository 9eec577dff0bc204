"""The parts of the proxy room that can be tried without a proxy."""

import fcntl
import random
import socket
import struct
import termios
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.transient_keys import STOCK, TransientKeys
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.errors import InvalidError
from curveproxy.proxy.net.buffers import (
    GRAIN,
    OVER_SECONDS,
    SPARE_MAX,
    SPARE_SECONDS,
    TURNOVER_SECONDS,
    WINDOW_SECONDS,
    BufferPool,
)
from curveproxy.proxy.net.deadlines import Count, Deadline, DeadlineQueue
from curveproxy.proxy.net.endpoint import Endpoint, is_local
from curveproxy.proxy.net.listening import BindError, listen
from curveproxy.proxy.net.sockets import (
    STRANGER_RECEIVE_BUFFER,
    all_has_arrived,
    nothing_has_come,
    number_of,
    peer_text,
    source_of,
)
from curveproxy.proxy.relay.commands import CommandAction, Side, judge_untrusted
from curveproxy.reasons import Invalid
from curveproxy.wire.curve.box import KeyPair


class TestEndpoint:
    @pytest.mark.parametrize(
        ("text", "endpoint"),
        [
            ("tcp://127.0.0.1:5555", Endpoint("tcp", "127.0.0.1", 5555)),
            ("tcp://*:0", Endpoint("tcp", "*", 0)),
            ("tcp://[::1]:80", Endpoint("tcp", "::1", 80)),
            ("tcp://some.host:65535", Endpoint("tcp", "some.host", 65535)),
            ("ipc:///run/x.sock", Endpoint("ipc", "/run/x.sock")),
            ("ipc://@name", Endpoint("ipc", "@name")),
        ],
    )
    def test_what_is_read_is_written_again(self, text: str, endpoint: Endpoint) -> None:
        assert Endpoint.parse(text) == endpoint
        assert str(endpoint) == text

    def test_a_star_is_any_port_as_in_libzmq(self) -> None:
        assert Endpoint.parse("tcp://*:*") == Endpoint("tcp", "*", 0)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "127.0.0.1:1",
            "udp://1.2.3.4:5",
            "tcp://",
            "tcp://host",
            "tcp://:5",
            "tcp://h:65536",
            "tcp://h:-1",
            "tcp://h:x",
            "tcp://::1:5",
            "ipc://",
            "ipc://@",
            "ipc:///" + "x" * 107,
        ],
    )
    def test_what_is_none_is_refused_with_a_hint(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"write|between|at most"):
            Endpoint.parse(text)

    @pytest.mark.parametrize(
        ("address", "local"),
        [
            ("127.0.0.1", True),
            ("127.9.9.9", True),
            ("::1", True),
            ("::ffff:127.0.0.1", True),
            ("10.0.0.1", False),
            ("::", False),
            ("0.0.0.0", False),
            ("fe80::1%lo", False),
        ],
    )
    def test_only_loopback_is_local(self, address: str, local: bool) -> None:
        assert is_local(address) is local


class TestQueue:
    def test_anything_leaves_and_the_order_stays(self) -> None:
        queue: DeadlineQueue[Deadline] = DeadlineQueue()
        members = [Deadline(float(at)) for at in range(100)]
        for member in members:
            queue.append(member)
        chosen = random.Random(7).sample(members, 60)
        for member in chosen:
            queue.remove(member)
            assert member not in queue
        left = [member for member in members if member not in chosen]
        assert len(queue) == len(left) == 40
        assert queue.due(left[0].deadline - 0.5) is None
        seen = []
        while (oldest := queue.due(1000.0)) is not None:
            seen.append(oldest)
            queue.remove(oldest)
        assert seen == left
        assert queue.oldest is None

    def test_several_queues_count_together(self) -> None:
        count = Count()
        one, other = DeadlineQueue[Deadline](count), DeadlineQueue[Deadline](count)
        member = Deadline(0.0)
        one.append(member)
        other.append(Deadline(0.0))
        assert (count.number, len(one), len(other)) == (2, 1, 1)
        for _ in range(2):
            one.remove(member)
            assert (count.number, len(one), len(other)) == (1, 0, 1)


class TestDescriptors:
    def test_sessions_and_strangers_share_what_there_is(self) -> None:
        descriptors = Capacity(1000)
        assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (872, False, False)
        descriptors.sessions.number, descriptors.strangers.number = 371, 129
        assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (130, False, False)
        descriptors.sessions.number, descriptors.strangers.number = 372, 128
        assert (descriptors.room, descriptors.is_full, descriptors.are_short) == (128, True, True)

    def test_a_stranger_can_always_come(self) -> None:
        descriptors = Capacity(64)
        assert (descriptors.room, descriptors.are_short) == (1, False)


class TestPublicSockets:
    @pytest.mark.parametrize("who", ["we", "systemd"])
    def test_little_is_taken_before_accept_and_the_window_may_grow_after_it(self, who: str) -> None:
        """The octets that the kernel of the listener has taken are those that a client's kernel holds no more."""
        given = [] if who == "we" else [socket.create_server(("127.0.0.1", 0))]
        port = given[0].getsockname()[1] if given else 0
        listener = listen(Endpoint("tcp", "127.0.0.1", port), handed_over=given).sockets[0]
        with closing(listener), closing(socket.create_connection(listener.getsockname())) as client:
            client.setblocking(False)
            sent = 0
            with suppress(BlockingIOError):
                while sent < 1 << 24:
                    sent += client.send(bytes(1 << 16))
            time.sleep(0.1)
            [waiting] = struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))
            assert 4096 < sent - waiting <= 2 * STRANGER_RECEIVE_BUFFER
            scale = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[6] & 0x0F
            assert scale >= 7, "of tcp_rmem's largest, 6 MiB or more"


class TestBuffers:
    async def test_a_buffer_that_was_given_back_is_lent_again_until_nobody_wants_one(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        buffers = BufferPool()
        first = buffers.borrow(3 * GRAIN - 5)
        assert len(first) == 3 * GRAIN
        async with trio.open_nursery() as nursery:
            nursery.start_soon(buffers.run)
            buffers.give_back(first)
            assert buffers.borrow(2 * GRAIN) is first
            buffers.give_back(first)
            assert buffers.borrow(4 * GRAIN) is not first
            await trio.sleep(3 * SPARE_SECONDS)
            assert buffers.borrow(GRAIN) is not first
            nursery.cancel_scope.cancel()

    def test_a_claim_alone_lends_what_lies_about_or_little(self) -> None:
        buffers = BufferPool()
        assert len(buffers.borrow(SPARE_MAX, least=GRAIN)) == GRAIN
        buffers.give_back(large := buffers.borrow(SPARE_MAX))
        assert buffers.borrow(SPARE_MAX, least=GRAIN) is large

    def test_so_much_is_kept_and_no_more(self) -> None:
        buffers = BufferPool()
        lent = [buffers.borrow(SPARE_MAX // 2) for _ in range(3)]
        for buffer in lent:
            buffers.give_back(buffer)
        assert [buffers.borrow(SPARE_MAX // 2) in lent for _ in range(3)] == [True, True, False]


class Holding:
    """A pump that keeps something."""

    def __init__(self, buffers: BufferPool, key: bytes, held: int, partial: int | None = None) -> None:
        self._buffers, self.key = buffers, key
        self.held = self.partial = self.moved = 0
        self.is_held_up = self.has_ended = False
        self.keep(held, partial)

    def keep(self, held: int, partial: int | None = None) -> None:
        self._buffers.account(self, held, held if partial is None else partial)

    def give_up(self) -> None:
        self.has_ended = True
        self.keep(0)

    def failed(self, error: Exception) -> None:
        raise error


class TestMemory:
    """A ceiling of 1000, of which one key may have 250 in what is not whole once 500 are held."""

    @pytest.fixture
    def buffers(self) -> BufferPool:
        buffers = BufferPool()
        buffers.bound(1000)
        return buffers

    def look(
        self, buffers: BufferPool, seconds: float, *asking: Holding, moves: tuple[Holding, int] | None = None
    ) -> None:
        """Let so much time pass, in which these ask for 10 again and again, and one moves so much a second."""
        for _ in range(round(seconds)):
            for holder in asking:
                if holder.held:
                    buffers.allow(holder, 10)
            if moves is not None:
                moves[0].moved += moves[1]
            buffers.expire(self.now)
            self.now += 1

    now = 0.0

    def test_one_key_has_a_share_in_what_is_not_whole_once_memory_is_short(self, buffers: BufferPool) -> None:
        first, second = Holding(buffers, b"a", 400), Holding(buffers, b"a", 90)
        assert buffers.allow(second, 300), "there is enough"
        third, other, reader = Holding(buffers, b"a", 20), Holding(buffers, b"b", 10), Holding(buffers, b"c", 300, 0)
        assert buffers.are_short
        assert buffers.allow(third, 10), "one at a time may go over"
        assert not buffers.allow(second, 10)
        assert not buffers.allow(first, 10)
        assert buffers.allow(other, 100)
        assert buffers.allow(reader, 100), "what a reader has not taken is whole"
        assert not buffers.allow(other, 300), "and nobody has more than a share"

    def test_of_those_that_wait_the_one_that_holds_least_is_the_next_that_goes_over(self, buffers: BufferPool) -> None:
        over, large, small = (Holding(buffers, bytes([held % 255]), held) for held in (980, 9, 3))
        assert buffers.allow(over, 100)
        assert not buffers.allow(large, 100)
        assert not buffers.allow(small, 100)
        assert buffers.waiting == 2
        over.keep(990)
        over.keep(0)
        Holding(buffers, b"more", 980)
        assert not buffers.allow(large, 100)
        assert buffers.allow(small, 100)
        assert buffers.waiting == 1

    def test_who_moves_too_little_is_ended_while_somebody_waits_the_largest_first(self, buffers: BufferPool) -> None:
        slow, _, steady = (Holding(buffers, key, held) for key, held in ((b"a", 300), (b"b", 200), (b"c", 480)))
        Holding(buffers, b"d", 15, 0)
        waiting = Holding(buffers, b"e", 5)
        assert buffers.allow(steady, 10)
        self.look(buffers, 20)
        assert buffers.ended == 0, "nobody waits"
        waiting.is_held_up = True
        self.look(buffers, WINDOW_SECONDS, waiting, moves=(steady, 8))
        assert not slow.has_ended
        self.look(buffers, 2, waiting, moves=(steady, 8))
        assert slow.has_ended, "it holds most of those that stand still"
        self.look(buffers, 20, waiting, moves=(steady, 8))
        assert buffers.waiting == 0
        assert buffers.ended == 1
        assert buffers.held == 700

    def test_a_trickle_is_no_movement_and_a_pace_is(self, buffers: BufferPool) -> None:
        trickling, moving, waiting = (Holding(buffers, bytes([held % 255]), held) for held in (600, 380, 15))
        assert buffers.allow(trickling, 10)
        waiting.is_held_up = True
        for _ in range(8):
            moving.moved += 7  # 380 in less than a minute
            self.look(buffers, 1, waiting, moves=(trickling, 9))  # 600 in more
        assert trickling.has_ended
        assert not moving.has_ended

    def test_who_waits_itself_is_ended_after_a_minute(self, buffers: BufferPool) -> None:
        over, *waiting = (Holding(buffers, bytes([number]), 199) for number in range(5))
        assert buffers.allow(over, 100)
        for holder in waiting:
            holder.is_held_up = True
        self.look(buffers, TURNOVER_SECONDS, *waiting, moves=(over, 10))
        assert buffers.ended == 0
        self.look(buffers, 3, *waiting, moves=(over, 10))
        assert buffers.ended == 1
        assert not over.has_ended

    def test_who_waits_for_its_share_ends_only_sessions_of_its_own_key(self, buffers: BufferPool) -> None:
        one, other = Holding(buffers, b"a", 200), Holding(buffers, b"a", 100)
        reader = Holding(buffers, b"b", 400, 0)
        third = Holding(buffers, b"a", 20)
        other.is_held_up = third.is_held_up = True
        assert buffers.allow(one, 10)
        self.look(buffers, 10, other, third)
        assert one.has_ended
        assert not reader.has_ended

    def test_it_is_told_once_that_memory_is_short_and_once_that_it_is_over(self, buffers: BufferPool) -> None:
        told: list[bool] = []
        buffers.tell = told.append
        over, waiting = Holding(buffers, b"a", 990), Holding(buffers, b"b", 9)
        assert buffers.allow(over, 10)
        for _ in range(3):
            self.look(buffers, 4, waiting, moves=(over, 100))
            self.look(buffers, OVER_SECONDS / 2)
        assert told == [True]
        self.look(buffers, OVER_SECONDS)
        assert told == [True, False]


class TestSockets:
    def test_every_socket_has_a_number_of_its_own(self) -> None:
        for family in (socket.AF_INET, socket.AF_UNIX):
            with socket.socket(family) as one, socket.socket(family) as other:
                assert number_of(one)
                assert number_of(one) == number_of(one) != number_of(other)

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("10.0.0.1", "10.0.0.1", True),
            ("10.0.0.1", "10.0.0.2", False),
            ("10.0.0.1", "::ffff:10.0.0.1", True),
            ("2001:db8::1", "2001:db8::2", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
        ],
    )
    def test_a_source_is_an_address_or_a_network(self, one: str, other: str, same: bool) -> None:
        with socket.socket() as sock:
            assert (source_of(sock, (one, 1)) == source_of(sock, (other, 2))) is same
        with socket.socket(socket.AF_UNIX) as sock:
            assert source_of(sock, b"") is None

    @pytest.mark.parametrize(
        ("told", "text"),
        [
            ("192.0.2.1", "192.0.2.1:7"),
            ("::ffff:192.0.2.1", "192.0.2.1:7"),
            ("::ffff:1:2:3", "[::ffff:1:2:3]:7"),
            ("2001:db8::1", "[2001:db8::1]:7"),
        ],
    )
    def test_an_address_for_the_log(self, told: str, text: str) -> None:
        with socket.socket() as sock:
            assert peer_text(sock, told=(told, 7)) == text

    def test_an_ipv4_client_of_a_listener_for_both_is_told_as_what_it_is(self) -> None:
        listener = listen(Endpoint.parse("tcp://*:0"))
        with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as client:
            accepted, _ = listener.sockets[0].accept()
            with accepted:
                assert peer_text(accepted) == f"127.0.0.1:{client.getsockname()[1]}"
        listener.close()

    def test_a_port_in_use_is_told(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BindError, match="in use"):
            listen(Endpoint("tcp", "127.0.0.1", taken.getsockname()[1]))

    def test_a_stale_path_is_taken_over_and_a_live_one_is_not(self, tmp_path: object) -> None:
        endpoint = Endpoint("ipc", f"{tmp_path}/x.sock")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(endpoint.host)
        alive = listen(endpoint)
        with pytest.raises(BindError, match="in use"):
            listen(endpoint)
        alive.close()
        listen(endpoint).close()

    def test_an_interface_is_no_host_and_that_is_said(self) -> None:
        with pytest.raises(BindError, match="the name of a network interface: write its address"):
            listen(Endpoint("tcp", "lo", 0))

    def test_a_successor_takes_a_path_over_and_keeps_it(self, tmp_path: object) -> None:
        endpoint = Endpoint("ipc", f"{tmp_path}/x.sock")
        before = listen(endpoint, reuse_port=True)
        successor = listen(endpoint, reuse_port=True)
        before.close()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(endpoint.host)
            successor.sockets[0].accept()[0].close()
        successor.close()
        assert not Path(endpoint.host).exists()

    def test_what_is_on_its_way_is_known(self) -> None:
        one, other = socket.socketpair()
        with one, other:
            assert all_has_arrived(one)
            one.send(b"x")
            assert not all_has_arrived(one)
            assert not nothing_has_come(other)
            other.recv(1)
            assert all_has_arrived(one)
            assert nothing_has_come(other)


class TestCookieKeys:
    def test_two_generations_are_good_and_a_third_is_wiped(self) -> None:
        keys = CookieKeys()
        first = keys.current(b"socket")
        raw = keys._keys[0]
        keys.rotate()
        assert first in keys.good(b"socket")
        assert keys.current(b"socket") != first
        assert keys.current(b"other") != keys.current(b"socket")
        keys.rotate()
        assert first not in keys.good(b"socket")
        assert raw == bytes(32)


class TestTransientKeys:
    async def test_no_pair_is_used_twice_and_the_stock_fills_when_a_burst_is_over(
        self, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
    ) -> None:
        keys = TransientKeys()
        taken = [keys.take() for _ in range(3)]
        nursery.start_soon(keys.run)
        await trio.sleep(1)
        assert len(keys._stock) == STOCK
        taken += [keys.take() for _ in range(STOCK + 3)]
        assert len({pair.secret for pair in taken}) == len(taken)
        assert all(KeyPair.from_secret(pair.secret) == pair for pair in taken)
        await trio.sleep(1)
        assert len(keys._stock) == STOCK


PING = b"\x04PING\x00\x0actx"


class TestCommands:
    def test_a_ping_is_passed_on_only_to_who_knows_it(self) -> None:
        assert judge_untrusted(PING, Side(1, b"REQ"), Side(1, b"REP")) == CommandAction(PING)
        assert judge_untrusted(PING, Side(1, b"REQ"), Side(0, b"REP")) == CommandAction(answer=b"\x04PONGctx")

    def test_a_pong_is_passed_on_only_to_who_asked(self) -> None:
        client, service = Side(1, b"REQ"), Side(1, b"REP")
        assert judge_untrusted(b"\x04PONG", client, service).dropped
        judge_untrusted(PING, service, client)
        assert judge_untrusted(b"\x04PONG", client, service) == CommandAction(b"\x04PONG")

    @pytest.mark.parametrize(
        ("service", "dropped"), [(b"PUB", False), (b"XPUB", False), (b"ROUTER", True), (None, True)]
    )
    def test_a_subscription_goes_to_publishers_as_a_message(self, service: bytes | None, dropped: bool) -> None:
        verdict = judge_untrusted(b"\x09SUBSCRIBEtopic", Side(1, b"SUB"), Side(1, service))
        assert verdict == (CommandAction(dropped=True) if dropped else CommandAction(b"\x01topic", flags=0))
        verdict = judge_untrusted(b"\x06CANCELtopic", Side(1, b"SUB"), Side(1, service))
        assert verdict == (CommandAction(dropped=True) if dropped else CommandAction(b"\x00topic", flags=0))

    def test_groups_go_to_radio(self) -> None:
        assert judge_untrusted(b"\x04JOINgroup", Side(1, b"DISH"), Side(1, b"RADIO")) == CommandAction(b"\x04JOINgroup")
        assert judge_untrusted(b"\x04JOINgroup", Side(1, b"DISH"), Side(1, b"ROUTER")).dropped

    def test_what_is_not_known_is_dropped(self) -> None:
        assert judge_untrusted(b"\x03FOO", Side(1, b"REQ"), Side(1, b"REP")).dropped

    @pytest.mark.parametrize("body", [b"", b"\x00", b"\x05PING", b"\x04PING\x00", b"\x04PING" + bytes(19)])
    def test_what_is_malformed_is_invalid(self, body: bytes) -> None:
        with pytest.raises(InvalidError) as caught:
            judge_untrusted(body, Side(1, b"REQ"), Side(1, b"REP"))
        assert caught.value.reason == Invalid.COMMAND

    @pytest.mark.parametrize(
        ("command", "most", "service"),
        [
            (b"\x09SUBSCRIBE", 4095, b"PUB"),
            (b"\x06CANCEL", 4095, b"XPUB"),
            (b"\x04JOIN", 255, b"RADIO"),
            (b"\x05LEAVE", 255, b"RADIO"),
        ],
    )
    def test_subscriptions_and_groups_have_a_bound(self, command: bytes, most: int, service: bytes) -> None:
        client, sink = Side(1, b"SUB"), Side(1, service)
        assert judge_untrusted(command + bytes(most), client, sink).pass_on
        with pytest.raises(InvalidError) as caught:
            judge_untrusted(command + bytes(most + 1), client, sink)
        assert caught.value.reason == Invalid.TOO_LARGE
