"""Ordinary turns: an engine makes them as the pumps do, leaves all others to them, and touches nobody who has gone."""

import gc
import os
import select
import socket
import struct
import sys
from contextlib import suppress
from itertools import accumulate
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from support import curve, sanitizers, zmtp
from support.ends import ends
from support.relaying import FIRST_NONCE, KEY, LIMIT, Allowance, LargePool, sealed
from support.serving import QUEUES, Served

from curveproxy.proxy.net.buffers import LARGE_KEPT
from curveproxy.proxy.net.reactor import READ
from curveproxy.proxy.relay import engine
from curveproxy.proxy.relay.pump import Pump
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec.select import VARIABLE
from curveproxy.wire.errors import CodecError
from curveproxy.wire.security import Version
from curveproxy.wire.zmtp.frame import Dialect

PING = zmtp.ping(b"there")
MESSAGES = [[b"one"], [b"", b"two", bytes(300)], [bytes(600)], [bytes(1900)], [b"last"]]
VERSIONS = [Version(Dialect.V3, 1), Version(Dialect.V3, 0), Version(Dialect.V2, 0), Version(Dialect.V1, 0)]
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


@pytest.fixture(params=QUEUES)
def queue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether an engine is ahead of the pumps."""
    monkeypatch.setattr(Served, "ahead", QUEUES[request.param])
    word: str = request.param
    return word


@pytest.fixture(params=["downstream", "upstream"])
def boxed(request: pytest.FixtureRequest) -> str:
    """The side that speaks CURVE."""
    side: str = request.param
    return side


def served(boxed: str = "downstream", **options: Any) -> Served:
    return Served(boxed=boxed, on_invalid="disconnect", pool=LargePool, **options)


class Turns:
    """Counts the turns of pumps in Python."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number, go_on = 0, Pump._go_on

        def counted(pump: Pump) -> None:
            self.number += 1
            go_on(pump)

        monkeypatch.setattr(Pump, "_go_on", counted)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(monkeypatch)


@pytest.mark.usefixtures("queue")
class TestContract:
    """What both do alike."""

    @pytest.mark.parametrize("version", VERSIONS, ids=str)
    def test_messages_of_all_sizes_go_both_ways_and_are_counted(self, boxed: str, version: Version) -> None:
        versions = (VERSIONS[0], version) if boxed == "downstream" else (version, VERSIONS[0])
        with served(boxed, versions=versions) as relay:
            below, above = ends(relay, boxed, version.dialect)
            for _ in range(3):
                below.send_messages(MESSAGES)
                above.send_messages(MESSAGES[::-1])
                assert above.messages() == MESSAGES
                assert below.messages() == MESSAGES[::-1]
            session = relay.session
            assert session.messages_in == session.messages_out == 3 * len(MESSAGES)
            octets = sum(len(part) for parts in MESSAGES for part in parts)
            assert session.octets_in == session.octets_out == 3 * octets
            assert (relay.memory.held, relay.invalid) == (0, [])

    def test_parts_are_counted_as_they_come_and_messages_when_they_end(self, boxed: str) -> None:
        with served(boxed) as relay:
            below, _ = ends(relay, boxed)
            for body, more in ((b"first", False), (b"one", True), (b"two", True)):
                below.send(below.frame(body, more=more))
            assert (relay.session.messages_in, relay.session.octets_in) == (1, 11)
            below.send(below.frame(b"", more=False))
            assert (relay.session.messages_in, relay.session.octets_in) == (2, 11)

    def test_all_octets_that_move_are_noted(self, boxed: str) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            frames = [below.frame(b"x" * size) for size in (1, 100, 1000)]
            for frame in frames:
                below.send(frame)
            came = len(above.socket.recv(1 << 16))
            assert relay.to_service.moved == sum(map(len, frames)) + came

    def test_commands_go_on_among_messages_and_are_answered(self, boxed: str) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"before"]])
            octets = below.frame(b"a") + below.frame(PING, command=True) + below.frame(b"b")
            below.socket.send(octets)
            relay.go_on()
            below.send_messages([[b"behind"]])
            heard = [(frame.body, bool(frame.flags & zmtp.COMMAND)) for frame in above.hear()]
            assert heard == [(b"before", False), (b"a", False), (PING, True), (b"b", False), (b"behind", False)]
            assert relay.session.messages_in == 4

    def test_a_command_of_ours_goes_before_what_comes_later(self, boxed: str) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"before"]])
            relay.to_service.send_command(PING)
            below.send_messages([[b"behind"]])
            assert [frame.body for frame in above.hear()] == [b"before", PING, b"behind"]

    @pytest.mark.parametrize("size", [1, 7, 50], ids=str)
    def test_frames_come_in_pieces(self, boxed: str, size: int) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            octets = b"".join(below.frame(body) for body in (b"one", bytes(70), b"", b"two"))
            for at in range(0, len(octets), size):
                below.send(octets[at : at + size])
            assert above.messages() == [[b"one"], [bytes(70)], [b""], [b"two"]]
            assert relay.memory.held == 0

    def test_what_is_invalid_ends_the_session_behind_what_is_valid(self) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            relay.send(sealed(FIRST_NONCE + 1, b"valid") + sealed(FIRST_NONCE + 5, b"gap"))
            assert relay.messages == [[b"first"], [b"valid"]]
            assert (relay.invalid, relay.session.reason) == ([Invalid.GAP], Closed.INVALID_MESSAGE)
            assert relay.session.messages_in == 2

    def test_a_message_over_the_limit_ends_the_session(self, boxed: str) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            with suppress(BrokenPipeError):
                below.send(below.frame(bytes(LIMIT)))
            assert above.messages() == [[b"first"]]
            assert relay.invalid == [Invalid.TOO_LARGE]

    def test_a_frame_that_is_none_ends_the_session(self) -> None:
        with served(boxed="upstream") as relay:
            below, _ = ends(relay, "upstream")
            below.send_messages([[b"first"]])
            below.send(b"\x40\0")
            assert (relay.invalid, relay.session.reason) == ([Invalid.FRAMING], Closed.INVALID_MESSAGE)

    @pytest.mark.parametrize("behind", [b"", b"last"], ids=["by itself", "behind a message"])
    def test_the_end_of_a_side_goes_on(self, boxed: str, behind: bytes) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            if behind:
                below.socket.send(below.frame(behind))
            below.socket.shutdown(socket.SHUT_WR)
            relay.go_on()
            assert above.messages() == [[b"first"]] + [[behind]] * bool(behind)
            assert above.has_ended
            assert relay.session.reason == Closed.CLIENT_CLOSED
            above.send_messages([[b"answer"]])
            assert below.messages() == [[b"answer"]]
            above.close()
            assert relay.ended == Closed.CLIENT_CLOSED

    def test_a_sink_that_takes_nothing_holds_the_source_up_and_all_arrives(self, boxed: str) -> None:
        with served(boxed, max_message_bytes=1 << 20) as relay:
            below, above = ends(relay, boxed)
            relay.far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
            bodies = [bytes([number]) * 700 for number in range(60)]
            frames = b"".join(below.frame(body) for body in bodies)
            heard: list[bytes] = []
            while frames:
                with suppress(BlockingIOError):
                    frames = frames[below.socket.send(frames[:3000]) :]
                relay.go_on()
                if relay.to_service.owed:
                    heard += [frame.body for frame in above.hear()]
                    relay.go_on()
            while got := [frame.body for frame in above.hear()]:
                heard += got
                relay.go_on()
            assert heard == bodies
            assert relay.session.messages_in == len(bodies)
            assert (relay.memory.held, relay.to_service.owed) == (0, 0)

    def test_more_than_is_read_at_once_goes_on_in_further_turns(self, boxed: str) -> None:
        with Served(boxed=boxed, on_invalid="disconnect") as relay:  # its pool is small
            below, above = ends(relay, boxed)
            bodies = [bytes([number]) * 90 for number in range(50)]
            below.socket.send(b"".join(below.frame(body) for body in bodies))
            relay.go_on()
            assert above.messages() == [[body] for body in bodies]
            assert relay.memory.held == 0

    def test_what_fills_the_buffer_to_its_last_octet_is_not_all_that_has_come(self, boxed: str) -> None:
        with Served(boxed=boxed, on_invalid="disconnect") as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            body = bytes(93 if boxed == "downstream" else 126)
            frames = [below.frame(body) for _ in range(9)]
            assert [len(frame) * 4 for frame in frames] == [relay.pool.read_size] * 9
            below.socket.send(b"".join(frames))
            relay.go_on()
            assert above.messages() == [[b"first"]] + [[body]] * 9

    def test_a_client_that_is_drained_behind_its_reply_goes_with_it(self, boxed: str) -> None:
        with served(boxed, kinds=(b"REQ", b"REP")) as relay:
            below, above = ends(relay, boxed)
            for _ in range(2):
                below.send_messages([[b"", b"question"]])
                above.send_messages([[b"", b"answer"]])
            below.send_messages([[b"", b"question"]])
            relay.session.drain_behind_reply()
            relay.go_on()
            assert relay.session.reason is None
            above.send_messages([[b"", b"answer"]])
            assert below.messages() == [[b"", b"answer"]] * 3
            assert below.has_ended
            assert relay.session.reason == Closed.DRAINED

    def test_what_a_quota_does_not_allow_waits(self) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            quota: Any = Allowance(0)
            relay.session.share(quota)
            relay.send(sealed(FIRST_NONCE + 1, b"second"))
            assert relay.messages == [[b"first"]]
            quota.octets = 1000
            relay.to_service.may_resume(0.0)
            relay.go_on()
            relay.send(sealed(FIRST_NONCE + 2, b"third"))
            assert relay.messages == [[b"first"], [b"second"], [b"third"]]
            assert quota.spent == sum(len(sealed(FIRST_NONCE, body)) for body in (b"second", b"third"))

    def test_while_memory_is_short_only_what_a_sink_takes_is_read(self) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            relay.far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
            with suppress(BlockingIOError):
                while True:
                    relay.far.socket.send(bytes(1000))  # the sink is full
            relay.memory.under_pressure = True
            relay.client.send(sealed(FIRST_NONCE + 1, b"second"))
            relay.go_on()
            assert relay.near.socket.recv(1, socket.MSG_PEEK), "it has not been read"

    def test_a_sign_of_life_is_noted(self) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            relay.to_service.await_sign(asked=True)
            relay.send(sealed(FIRST_NONCE + 1, b"second"))
            assert not relay.to_service.is_silent

    def test_progress_of_an_ending_session_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            relay.session.end(Closed.DRAINED)
            monkeypatch.setattr(trio, "current_time", lambda: 5.0)
            before = relay.session.ends_by
            relay.send(sealed(FIRST_NONCE + 1, b"second"))
            assert relay.session.ends_by == before + 5

    def test_a_message_keeps_a_session_from_being_idle(self) -> None:
        with served() as relay:
            for number in range(30):
                relay.session.check_idle()
                if number % 5 == 0:
                    relay.send(sealed(FIRST_NONCE + number // 5, b"x"))
            assert relay.session.reason is None

    def test_what_comes_is_thrown_away_where_the_sink_has_gone(self, boxed: str) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            above.socket.close()
            with suppress(BrokenPipeError):
                for _ in range(3):
                    below.send_messages([[b"more"]])
            assert relay.ended in (Closed.BACKEND_CLOSED, Closed.BACKEND_RESET)
            assert relay.session.messages_in <= 2


@pytest.mark.usefixtures("queue")
def test_a_reset_is_told_from_an_end() -> None:
    """TCP, where there are resets."""
    listener = socket.create_server(("127.0.0.1", 0))
    with served() as relay, listener, socket.create_connection(listener.getsockname()) as client:
        relay.send(sealed(FIRST_NONCE, b"first"))
        accepted, _ = listener.accept()
        with accepted:  # in the place of the client's socket
            accepted.setblocking(False)
            os.dup2(accepted.fileno(), relay.near.socket.fileno())
        relay.room._epoll.register(relay.near.socket, READ | select.EPOLLET)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        relay.go_on()
        assert relay.session.reason == Closed.CLIENT_RESET


class TestChoice:
    """Which is taken."""

    __test__ = engine.is_built()
    name = "curveproxy.proxy.relay._engine"

    @pytest.fixture(params=["not built", "of another version"])
    def other(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is found in the engine's place."""
        stale = SimpleNamespace(setup=lambda _: None, Flow=object)
        monkeypatch.setitem(sys.modules, self.name, None if request.param == "not built" else stale)

    def test_the_engine_is_taken_with_the_codec_in_c(self) -> None:
        assert engine._choose() is sys.modules[self.name]

    @pytest.mark.usefixtures("other")
    def test_without_it_pumps_are_by_themselves_unless_c_is_demanded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        assert engine._choose() is None
        monkeypatch.setenv(VARIABLE, "c")
        with pytest.raises(CodecError, match="the engine is not the one of this version"):
            engine._choose()

    def test_with_the_codec_in_python_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "CODEC", "python")
        assert engine._choose() is None


class TestEngine:
    """What only an engine does."""

    __test__ = engine.is_built()

    @pytest.fixture(autouse=True)
    def _ahead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Served, "ahead", True)

    def test_ordinary_turns_are_made_without_python(self, boxed: str, turns: Turns) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            above.send_messages([[b"first"]])
            begun = turns.number
            for number in range(20):
                below.send(below.frame(b"x" * number, more=True) + below.frame(b"y"))
                above.send(above.frame(b"z"))
            assert turns.number == begun
            assert relay.session.messages_in == relay.session.messages_out == 21
            below.send(below.frame(PING, command=True))
            assert turns.number > begun
            begun = turns.number
            below.send(below.frame(b"x"))
            assert turns.number == begun, "behind it, turns are ordinary again"

    def test_the_beginning_of_a_small_frame_is_kept_and_booked_without_a_turn(self, boxed: str, turns: Turns) -> None:
        with served(boxed) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            begun, frames = turns.number, [below.frame(bytes(size)) for size in (70, 3, 90)]
            octets = b"".join(frames)
            at = 0
            for cut in (1, 2, 50, len(frames[0]), len(frames[0]) + 1, len(octets) - 1, len(octets)):
                below.socket.send(octets[at:cut])
                relay.go_on()
                at = cut
                whole = max(end for end in (0, *accumulate(map(len, frames))) if end <= cut)
                assert relay.memory.held == relay.to_service.held == relay.to_service.begun == cut - whole
            assert turns.number == begun
            assert above.messages() == [[b"first"], [bytes(70)], [bytes(3)], [bytes(90)]]

    def test_a_large_beginning_is_its_pump_s(self, boxed: str, turns: Turns) -> None:
        with served(boxed, max_message_bytes=1 << 20) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            begun, octets = turns.number, below.frame(bytes(20_000))
            below.socket.send(octets[: LARGE_KEPT - 1])
            relay.go_on()
            assert turns.number == begun
            below.socket.send(octets[LARGE_KEPT - 1 : LARGE_KEPT])
            relay.go_on()
            assert turns.number > begun
            below.socket.send(octets[LARGE_KEPT:])
            relay.go_on()
            assert [len(parts[0]) for parts in above.messages()] == [5, 20_000]
            assert relay.memory.held == 0

    def test_the_beginning_of_a_frame_larger_than_the_buffers_is_its_pump_s(self, boxed: str) -> None:
        with served(boxed, max_message_bytes=1 << 20) as relay:
            below, above = ends(relay, boxed)
            below.send_messages([[b"first"]])
            relay.far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            octets = below.frame(bytes(relay.pool.read_size))
            for at in range(0, len(octets), 60_000):
                below.socket.send(octets[at : at + 60_000])
                relay.go_on()
                assert bool(relay.pool.lent) == (at + 60_000 < len(octets))
            assert [len(parts[0]) for parts in above.messages()] == [5, relay.pool.read_size]

    def test_an_error_in_booking_ends_one_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            error = MemoryError()

            def fails(*_: object) -> None:
                monkeypatch.undo()
                raise error

            monkeypatch.setattr(Pump, "_charge", fails)
            relay.client.send(sealed(FIRST_NONCE + 1, b"second")[:10])
            relay.service.send(zmtp.frame(zmtp.ping(b"x"), zmtp.COMMAND))  # another one is told at once
            relay.go_on()
            assert (relay.errors, relay.ended) == ([error], Closed.INTERNAL)
            relay.errors.clear()

    def test_behind_its_time_it_makes_one_turn_more(self) -> None:
        with served() as relay:
            for end in ends(relay, "downstream"):
                end.send_messages([[b"first"]])
            relay.client.send(sealed(FIRST_NONCE + 1, b"x"))
            relay.service.send(zmtp.frame(b"y"))
            relay.room._ready.fetch()
            for left in (1, 0):
                assert relay.room._ready.take(-inf) is None
                assert len(relay.room._ready) == left
            assert relay.session.messages_in == relay.session.messages_out == 2

    def test_a_session_that_another_s_turn_has_closed_is_not_touched(self) -> None:
        with served() as relay:
            below, above = ends(relay, "downstream")
            below.send_messages([[b"first"]])
            above.send_messages([[b"first"]])
            below.socket.send(below.frame(b"x"))
            above.socket.send(above.frame(b"y"))
            relay.room._ready.fetch()
            relay.session.close()
            with socket.socket() as again, socket.socket():  # the numbers come back at once
                again.setblocking(False)
                assert relay.room._ready.take(inf) is None
            assert relay.session.messages_in == relay.session.messages_out == 1

    def test_nothing_of_a_session_is_kept_when_it_has_ended(self) -> None:
        with served() as relay:
            below, _ = ends(relay, "downstream")
            below.send_messages([[b"first"], [b"second"]])
            assert relay.room._ready in gc.get_referrers(relay.to_service)
            relay.session.close()
            assert relay.room._ready not in gc.get_referrers(relay.to_service)

    def test_an_error_in_a_turn_that_it_has_begun_ends_one_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            error = MemoryError()

            def fails(*_: object) -> None:
                raise error

            monkeypatch.setattr(type(relay.to_service._transform), "judge", fails)
            relay.client.send(sealed(FIRST_NONCE + 1, PING, curve.INNER_COMMAND))
            relay.go_on()
            assert relay.errors == [error]
            assert relay.ended == Closed.INTERNAL
            relay.errors.clear()

    def test_what_it_has_begun_is_taken_once_and_by_its_flow(self) -> None:
        with served() as relay:
            relay.send(sealed(FIRST_NONCE, b"first"))
            relay.client.send(sealed(FIRST_NONCE + 1, b"x") + sealed(FIRST_NONCE + 2, PING, curve.INNER_COMMAND))
            relay.room._ready.fetch()
            pump = relay.room._ready.take(inf)
            assert pump is relay.to_service
            mine: Any = pump
            other: Any = relay.far.reader
            assert other._take_begun() is None
            end, frames, batch, sent = mine._take_begun()
            assert end == len(sealed(FIRST_NONCE + 1, b"x") + sealed(FIRST_NONCE + 2, PING, curve.INNER_COMMAND))
            assert (frames, batch.messages, batch.octets, sent) == (2, 1, 1, 0)
            assert mine._take_begun() is None

    def test_it_makes_no_turn_of_who_is_no_flow_of_its_codec(self) -> None:
        with served() as relay:
            ready = relay.room._ready
            for flow in (1, None, object(), engine.Flow(1, 2, KEY, True), (relay.to_service,)):  # type: ignore[arg-type]
                with pytest.raises(TypeError):
                    ready.enter(50, flow)
            for descriptor in (-1, 2**31, 2**70, "1", None):
                with pytest.raises((TypeError, ValueError, OverflowError)):
                    ready.enter(descriptor, relay.to_service)
            for arguments in ((), (1,), (1, relay.to_service, 2)):
                with pytest.raises(TypeError):
                    ready.enter(*arguments)
            for until in ("", None):
                with pytest.raises(TypeError):
                    ready.take(until)
            assert ready.take(-inf) is None

    def test_it_is_made_for_buffers_that_have_room(self) -> None:
        native: Any = engine._NATIVE
        with served() as relay:
            source, target, memory = relay.pool.source.data, relay.pool.target.data, relay.memory
            for turn, reach, keeps in ((0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 2), (1, len(source) + 1, 1)):
                with pytest.raises(ValueError):
                    native.Engine(0, turn, source, target, reach, keeps, memory)
            with pytest.raises(TypeError):
                native.Engine(0, 1, b"readonly", target, 1, 1, memory)
            with pytest.raises(ValueError):
                native.setup(b"")

    def test_an_epoll_that_is_closed_is_an_error_of_ours(self) -> None:
        with served() as relay:
            queue = engine._NATIVE.Engine(10**6, 1, bytearray(1), bytearray(1), 1, 1, relay.memory)  # type: ignore[union-attr]
            with pytest.raises(OSError):
                queue.fetch()

    def test_its_buffers_are_let_go(self) -> None:
        source, target = bytearray(10), bytearray(10)
        native: Any = engine._NATIVE
        queue = native.Engine(0, 1, source, target, 1, 1, None)
        with pytest.raises(BufferError):
            source.append(0)
        del queue
        source.append(0)
        target.append(0)


@pytest.mark.compiler
def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    sanitizers.compiled("_engine", tmp_path)


@pytest.mark.compiler
def test_sanitizers_find_nothing_in_it(tmp_path: Path) -> None:
    """These tests, those of the pumps, and the fuzzer's inputs, once more, with the extension compiled for them."""
    names = ("test_engine", "test_flow", "test_pump_pair", "test_session")
    tests = ["tests/proxy/net/test_ready.py", *(f"tests/proxy/relay/{name}.py" for name in names)]
    tests += ["tests/fuzz/test_fuzz.py", "-k", "not fuzz or turns"]
    sanitizers.check(tmp_path, *tests, "-m", "not deep and not compiler")
