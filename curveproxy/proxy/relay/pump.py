"""A pump: one direction of a session. It reads, turns whole frames into their other form, and writes.

It has no task. It is woken when its source has something or its sink takes something, goes as far as it can, and
says what it needs before it can go on. There is no queue between the two sides: while its sink is blocked a pump does
not read. Memory grows with the octets that have come, never with the size that a header claims, and a pump that waits
keeps only the octets that it owes or that are the beginning of a frame.

No turn of a pump is longer than a millisecond or two, whatever comes: it ends behind so many frames, and so many
commands, and the pump goes on when the others have had theirs.

A pump also does not read while its client has sent all that it may (``policy/quotas.py``), or while the process is near
its ceiling on memory (``net/buffers.py``): the source is then held up as by a slow sink.

A pump ends by itself, when its source has ended and all is delivered; it then ends the sink's input. When its sink is
gone it goes on reading away what comes, until the source ends too: a close with unread octets would be a reset, and
cut what the other direction still delivers.
"""

import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING

import trio

from curveproxy.policy.invalid_budget import InvalidBudget
from curveproxy.policy.quotas import Quota, weight
from curveproxy.proxy.errors import InvalidError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.buffers import GRAIN, LARGE_KEPT, NEAR_READ_SIZE, READ_SIZE, READ_SIZE_MAX, TARGET_ROOM
from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.relay.commands import Side, judge_untrusted
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.framing import frame_size
from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect

if TYPE_CHECKING:
    from curveproxy.proxy.relay.session import Session

# Above this a frame is opened or sealed in a thread: it takes longer, over a millisecond, than others should wait.
THREAD_SIZE = 2 * 1024 * 1024
# A frame larger than the buffers borrows one that grows by this factor as its octets come.
GROWTH = 4
# No message of a client has fewer octets.
SMALLEST_MESSAGE = spec.SHORT_HEADER + spec.MESSAGE_OVERHEAD
# How many commands, and frames that are left out, a pump judges in one turn: each costs about 30 us.
JUDGED_MAX = 32

NOTHING = memoryview(b"")
Places = tuple[int, int, Stop]


class Large:
    """A frame that is larger than the buffers, of which ``have`` octets have come.

    buffer: borrowed; it holds what has come, and what that was turned into once it ``is_turned``.
    """

    __slots__ = ("buffer", "have", "is_turned")

    def __init__(self, buffer: Buffer, have: int) -> None:
        self.buffer, self.have, self.is_turned = buffer, have, False


class Peer:
    """One end of a session, and what waits for it: one pump reads from it, the other writes to it.

    come: octets that were read from it before its session began.
    is_silent: nothing has come since it was last asked whether it lives.
    """

    __slots__ = ("come", "is_silent", "reader", "side", "socket", "writer")
    reader: "Pump"
    writer: "Pump"

    def __init__(self, peer: Established) -> None:
        self.socket, self.come = peer.socket, peer.leftover
        self.side = Side(peer.version.minor, peer.socket_type, peer.version.dialect)
        self.is_silent = False

    def ready(self, events: int) -> None:
        if events & (READ | GONE):
            self.reader.source_moves(gone=bool(events & GONE))
        if events & (WRITE | GONE):
            self.writer.sink_moves()

    def failed(self, error: Exception) -> None:
        self.reader.failed(error)


class Blocked(Enum):
    """What a pump needs before it can go on."""

    SOURCE = auto()  # something to read
    SINK = auto()  # room to write
    TURN = auto()  # nothing, but it is others' turn
    THREAD = auto()  # a thread, for a large frame
    REST = auto()  # its client's quota, or memory: the service's rounds let it go on
    RESTED = auto()  # nothing: it has been let
    END = auto()  # nothing any more


class Pump(ABC):
    """One direction. It alone writes to its sink and reads from its source.

    back: the pump of the other direction.
    quota: what the source may send; None for anything.
    """

    __slots__ = (
        "_ending",
        "_env",
        "_invalid_budget",
        "_kept",
        "_large",
        "_owed",
        "_pending",
        "_retires",
        "_session",
        "_sink",
        "_sink_gone",
        "_source",
        "_source_gone",
        "_state",
        "_to_skip",
        "_turned",
        "_wants",
        "_word",
        "back",
        "held",
        "moved",
        "partial",
        "quota",
    )
    back: "Pump"
    _source_dialect: Dialect
    _source_name = ""  # in the log, where it is not the client
    _source_closed: Closed
    _source_reset: Closed
    _sink_reset: Closed

    def __init__(self, session: "Session", source: Peer, sink: Peer, state: CodecState) -> None:
        self._session, self._source, self._sink, self._state = session, source, sink, state
        self._env = session.env
        self._kept = source.come  # read and not turned into its other form
        self._pending = bool(source.come)  # whole frames may be in it
        self._owed = NOTHING  # turned and not written
        self._large: Large | None = None
        self._to_skip = 0  # octets of a dropped frame that have not come
        self.held = self.partial = self.moved = 0  # see buffers.Holder
        self._word = b""
        self._wants = Blocked.SOURCE
        self._turned = state.nonce  # of all frames that it was told of, the last
        self._invalid_budget: InvalidBudget | None = None
        self.quota: Quota[Session] | None = None
        self._source_gone = self._sink_gone = False
        self._ending = False
        self._retires = False  # ends behind the message that has begun

    # --- what the two directions do differently

    @abstractmethod
    def _turn(self, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        """Turn frames into their other form. May run in a thread."""

    def _sift(self, target: Buffer, at: int, messages: int) -> tuple[Buffer, int]:  # noqa: ARG002
        """What of the frames in ``target[:at]``, in which so many messages end, goes on now."""
        return target, at

    @abstractmethod
    def _judge(self, stop: Stop, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Places:
        """Decide on what stopped a batch: new places in source and target, and why it stops. May call ``_end``."""

    @abstractmethod
    def _frame(self, flags: int, body: bytes) -> bytes:
        """A message or command of our own as a frame for the sink."""

    @abstractmethod
    def _count(self, messages: int, octets: int) -> None:
        """Count what was relayed."""

    # --- waiting

    def source_moves(self, *, gone: bool) -> None:
        """The source has something, or has ended."""
        if gone and not self._source_gone:
            self._source_gone = True
            self._session.linger()  # a pump that is blocked would not notice
        if self._wants != Blocked.TURN:  # else its turn comes anyway, and no sooner
            self.resume()

    def sink_moves(self) -> None:
        """The sink takes something."""
        if self._wants == Blocked.SINK:
            self._go_on()

    def resume(self) -> None:
        """There may be something to read, or a word to say; not while the sink is blocked."""
        if self._wants != Blocked.SINK:
            self._go_on()

    def failed(self, error: Exception) -> None:
        self._session.failed(error)

    def say(self, word: bytes) -> None:
        """Say one command to the sink at the next boundary of frames. A newer one replaces it."""
        if not self._word:
            self._env.reactor.schedule(self)
        self._word = word

    def ask(self, word: bytes) -> bool:
        """Say a command, or leave it out while the sink takes nothing. Whether it is said."""
        if self._word or self._wants == Blocked.SINK:
            return False
        self.say(word)
        return True

    def may_resume(self, now: float) -> None:
        """It may read again, unless its client's quota is still used up."""
        self._session.progress()  # that nothing moves is our doing
        if self._wants == Blocked.REST and (self.quota is None or self.quota.available(now, SMALLEST_MESSAGE) > 0):
            self._wants = Blocked.RESTED
            self._env.reactor.schedule(self)

    def retire(self) -> None:
        """End as soon as no message is in the middle of its parts, and the session may part.

        In a turn of the reactor, for whoever calls this has no boundary around each session.
        """
        self._retires = True
        self._env.reactor.schedule(self)

    def stop(self) -> None:
        """The session has been closed. What is held goes now: it may be large, and the garbage collector slow."""
        self._wants = Blocked.END
        self._kept, self._owed, self._large = b"", NOTHING, None
        self._env.pool.account(self, 0, 0)

    @property
    def is_finishing(self) -> bool:
        """Whether its source has ended, or will behind what has come: that is all which it has to deliver."""
        return self._source_gone or self._ending

    @property
    def has_ended(self) -> bool:
        return self._wants == Blocked.END

    def _go_on(self) -> None:
        if self._wants in (Blocked.THREAD, Blocked.END):
            return
        before, wants = self._wants, self._exchange()
        if self.has_ended:
            return  # the session was closed meanwhile
        self._wants = wants
        partial = self._octets_partial()
        held = partial + len(self._owed.obj)  # type: ignore[arg-type]  # all of it stays until the last is written
        if held != self.held or partial != self.partial:
            self._env.pool.account(self, held, partial)
        if wants == Blocked.REST:
            self._env.throttle.pause(self)
        elif before in (Blocked.REST, Blocked.RESTED):
            self._env.throttle.resume(self)
        if self._sink_gone and self.back.has_ended:
            self.back._finish()  # perhaps there is nothing left to wait for
            if self.has_ended:
                return
        if wants == Blocked.TURN:
            self._env.reactor.schedule(self)
        elif wants == Blocked.THREAD:
            self._env.spawn(self, self._turn_large_in_thread)
        elif wants == Blocked.END:
            self._session.pump_has_ended()

    # --- working

    def _exchange(self) -> Blocked:
        """Do all that can be done now."""
        if self._owed and not self._write(self._owed):
            return Blocked.SINK
        if self._word:
            word, self._word = self._frame(spec.COMMAND, self._word), b""
            if not self._write(memoryview(word)):
                return Blocked.SINK
        self._give_back_large()
        if self._retires and not (self._ending or self._large) and self._may_part():
            self._part()
        if self._ending:
            return self._finish()
        if self._env.pool.are_short and not (self._sink_gone or sockets.is_writable(self._sink.socket)):
            return Blocked.SINK
        if self._large is not None:
            return self._read_large(self._large)
        if self._to_skip:
            return self._read_away()
        wants = self._batch()
        return Blocked.TURN if self._retires and wants == Blocked.SOURCE and self._may_part() else wants

    def _batch(self) -> Blocked:
        """Read once, and turn and write whole frames: all of them, or as many as may be in one turn."""
        buffers = self._env.pool
        source, target, state = buffers.source, buffers.target, self._state
        start, end = 0, len(self._kept)
        if end:
            source.view[:end] = self._kept
        full = True
        if not self._pending:
            reach = READ_SIZE if end < LARGE_KEPT else READ_SIZE_MAX
            if self.quota is not None or buffers.are_short:
                reach = self._curb(source, end, reach)
                if not reach:
                    return Blocked.REST
            got = self._read(source.view[end:reach])
            if got is None:
                return Blocked.SOURCE
            if not got:
                return self._finish()
            end += got
            full = end == reach
        left = state.batch
        while True:
            batch = self._turn(source, start, end, target, 0)
            left -= state.nonce - self._turned + state.batch // JUDGED_MAX
            start, turned, stop = self._settle(batch, source, start, end, target)
            if turned and turned.obj is not target.data:
                self._owed = turned  # in memory of its own, which need not be copied
            written = not turned or self._write(turned)
            if stop <= Stop.FULL or left <= 0 or self._ending or not written:
                break
        self._kept, self._pending = bytes(source.view[start:end]), stop != Stop.INCOMPLETE
        if not written:
            return Blocked.SINK
        if self._ending:
            return self._finish()
        if self._pending:
            return Blocked.TURN
        if self._retires and start == end and self._may_part():
            self._part()  # right behind what was written: on a Unix socket the end does not travel with it
            return Blocked.TURN
        size = frame_size(source, start, end, self._source_dialect)
        if size > READ_SIZE:
            self._begin_large(size)
        return Blocked.TURN if full or self._source_gone else Blocked.SOURCE

    def _curb(self, source: Buffer, end: int, reach: int) -> int:
        """How far to read, with ``source[:end]`` in place, where less than usual may be had; 0 for not at all now."""
        if self._sink_gone:
            return reach
        if self._wants == Blocked.REST:
            return 0
        buffers = self._env.pool
        if buffers.are_short:
            reach = end + NEAR_READ_SIZE
            if self.held and not buffers.allow(self, NEAR_READ_SIZE):
                return 0
        if self.quota is not None:
            room = self.quota.available(trio.current_time(), SMALLEST_MESSAGE)
            if room <= 0 and not sockets.nothing_has_come(self._source.socket):
                return 0
            # A frame that has begun is read to its end: to come back for each piece of it would cost more.
            wanted = max(end + room, end + SMALLEST_MESSAGE, frame_size(source, 0, end, self._source_dialect))
            reach = int(min(reach, wanted))
        return reach

    def _read_away(self) -> Blocked:
        """Read what has come of a frame that is dropped, and of nothing behind it."""
        got = self._read(self._env.pool.source.view[: min(self._to_skip, READ_SIZE)])
        if got is None:
            return Blocked.SOURCE
        if not got:
            return self._finish()
        self._to_skip -= got
        if self.quota is not None:
            self.quota.spend(0, got, trio.current_time())
        return Blocked.TURN

    def _settle(
        self, batch: Batch, source: Buffer, begin: int, end: int, target: Buffer
    ) -> tuple[int, memoryview, Stop]:
        """Count a batch of ``source[begin:end]`` and judge what stopped it.

        Returns where the source stands, what is to be written, and why it stops.
        """
        start, at, messages, octets, stop = batch
        frames = self._state.nonce - self._turned
        if messages or octets:
            self._count(messages, octets)
            self._session.quiet = 0
        if messages == 1:
            self._env.reactor.spin()
        target, at = self._sift(target, at, messages)
        if stop > Stop.FULL and not self._ending:
            start, at, stop = self._judge(stop, source, start, end, target, at)
        self._turned = self._state.nonce
        if self.quota is not None:
            self.quota.spend(weight(messages + (stop > Stop.FULL), frames), start - begin, trio.current_time())
        return start, target.view[:at], stop

    def _read(self, view: memoryview) -> int | None:
        """Read what is there: None for nothing yet, 0 when the source has ended."""
        try:
            got = self._source.socket.recv_into(view)
        except BlockingIOError:
            return None
        except OSError:
            got, reason = 0, self._source_reset
            self.back._sink_gone = True
        else:
            reason = self._source_closed
        if not got:
            self._end(reason)
        self._source.is_silent = False
        self.moved += got
        return got

    def _write(self, octets: memoryview) -> bool:
        """Write, or throw away for a sink that is gone. False when some is owed, and then it is a copy of ours."""
        owed, self._owed = self._owed, NOTHING
        if self._sink_gone:
            return True
        try:
            # A last message travels with the end of the connection: its reader must not answer what is gone by then.
            sent = self._sink.socket.send(octets, socket.MSG_MORE if self._retires and self._may_part() else 0)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._sink_gone = True
            self._session.end(self._sink_reset)
            return True
        if sent:
            self._session.progress()
            self.moved += sent
        if sent == len(octets):
            return True
        self._owed = octets[sent:]
        if octets is not owed or 2 * (len(octets) - sent) + GRAIN < len(octets.obj):  # type: ignore[arg-type]
            self._owed = memoryview(bytes(self._owed))  # a little must not keep a large buffer
            self._give_back_large()
        return False

    def _end(self, reason: Closed) -> None:
        """This direction ends, once what is owed has been written."""
        self._ending = True
        self._session.end(reason)

    def _cut(self, reason: Closed) -> None:
        """The source has done what it must not: this direction ends, and so does what goes back to it."""
        self._end(reason)
        self.back._sink_gone = True
        with suppress(OSError):
            self._source.socket.shutdown(socket.SHUT_RDWR)

    def _finish(self) -> Blocked:
        """All is written: tell the sink that nothing follows, or end at once where nobody would hear its answers.

        That it owes none can not be known: what it has been sent may wait in its kernel.
        """
        self._kept, self._large = b"", None  # half a frame, whose rest will not come
        is_over = False
        with suppress(OSError):
            is_over = self.back._sink_gone and sockets.all_has_arrived(self._sink.socket)
            if not is_over:
                self._sink.socket.shutdown(socket.SHUT_WR)
        if is_over:
            self._session.close()
        return Blocked.END

    def _may_part(self) -> bool:
        """Whether a pump that retires may end now."""
        return not self._state.held and self._session.may_part()

    def _part(self) -> None:
        """Tell the sink that nothing follows, and read away what the source says until it ends as well."""
        self._retires, self._sink_gone = False, True
        self._session.has_parted()
        with suppress(OSError):
            self._sink.socket.shutdown(socket.SHUT_WR)

    @property
    def has_nothing_to_do(self) -> bool:
        """Whether nothing whole would be lost on this way if the session ended now."""
        idle = self._wants in (Blocked.SOURCE, Blocked.END) and not self._owed and not self._word
        return self._sink_gone or (idle and sockets.nothing_has_come(self._source.socket))

    @property
    def hears_nothing(self) -> bool:
        """Whether it waits for its source in vain, and what is said to that one is on its way."""
        return (
            self._wants == Blocked.SOURCE
            and self.back._wants != Blocked.SINK
            and sockets.nothing_has_come(self._source.socket)
        )

    # --- what is kept

    def _octets_partial(self) -> int:
        """What is kept of frames and messages that are not whole."""
        if self._large is not None and not self._large.is_turned:
            return len(self._kept) + 2 * len(self._large.buffer)  # its other form will be as large
        return len(self._kept)

    @property
    def key(self) -> bytes:
        return self._session.who.key

    @property
    def is_held_up(self) -> bool:
        """Whether it is our doing that nothing moves."""
        return self._wants in (Blocked.REST, Blocked.RESTED, Blocked.TURN, Blocked.THREAD)

    @property
    def begun(self) -> int:
        """Octets that have come of a frame that is not whole."""
        return self._large.have if self._large is not None else len(self._kept)

    def give_up(self) -> None:
        """It holds what others wait for, and does not turn it over."""
        self._session.cut(Closed.MEMORY)

    def _command_untrusted(self, body: bytes) -> bytes:
        """The frame by which a command goes on to the sink, or nothing. Raises InvalidError."""
        verdict = judge_untrusted(body, self._source.side, self._sink.side)
        if verdict.pass_on and not verdict.flags and self._state.held:
            raise InvalidError(Invalid.COMMAND, "a subscription between two parts of a message")
        if verdict.dropped and not self._leaves_out(Invalid.COMMAND):
            self._cut(Closed.INVALID_MESSAGE)
        if verdict.answer:
            self.back.say(verdict.answer)
        return self._frame(verdict.flags, verdict.pass_on) if verdict.pass_on else b""

    def _leaves_out(self, reason: Invalid) -> bool:
        """Count what is not passed on; False when there has been more of it in a minute than a session may send."""
        self._session.invalid(reason, self._source_name)
        if self._invalid_budget is None:
            self._invalid_budget = InvalidBudget(self._session.max_invalid_per_minute)
        return self._invalid_budget.spend(trio.current_time())

    # --- frames that are larger than the buffers

    def _begin_large(self, size: int) -> None:
        have, buffers = len(self._kept), self._env.pool
        self._large = Large(buffers.borrow(size, min(size, have if buffers.are_short else GROWTH * have)), have)
        self._large.buffer.view[:have] = self._kept
        self._kept = b""

    def _read_large(self, large: Large) -> Blocked:
        """Read what has come of a large frame, and of nothing behind it."""
        buffers, have = self._env.pool, large.have
        size = frame_size(large.buffer, 0, have, self._source_dialect)
        if have == len(large.buffer) < size:
            larger = min(size, GROWTH * have)
            if not (self._sink_gone or buffers.allow(self, 2 * (larger - have))):
                return Blocked.REST
            grown_from, large.buffer = large.buffer, buffers.borrow(size, larger)
            large.buffer.view[:have] = grown_from.view
            buffers.give_back(grown_from)
        got = self._read(large.buffer.view[have:size])
        if got is None:
            return Blocked.SOURCE
        if not got:
            return self._finish()
        large.have = have + got
        if large.have < size:
            return Blocked.TURN if large.have == len(large.buffer) or self._source_gone else Blocked.SOURCE
        if size > THREAD_SIZE:
            return Blocked.THREAD
        target = buffers.borrow(size + TARGET_ROOM)
        self._settle_large(self._turn(large.buffer, 0, size, target, 0), large, target)
        return self._exchange()

    async def _turn_large_in_thread(self) -> None:
        large = self._large
        if large is None:
            return  # the session was closed before it came to this
        target = self._env.pool.borrow(large.have + TARGET_ROOM)
        batch = await trio.to_thread.run_sync(self._turn, large.buffer, 0, large.have, target, 0)
        if self._wants == Blocked.END:
            return  # the session was cut meanwhile
        self._wants = Blocked.TURN
        self._settle_large(batch, large, target)
        self._go_on()

    def _settle_large(self, batch: Batch, large: Large, target: Buffer) -> None:
        """What a large frame became is owed from now on."""
        _, turned, _ = self._settle(batch, large.buffer, 0, large.have, target)
        self._owed = turned or NOTHING  # an empty view would keep all that it is of
        self._env.pool.give_back(large.buffer)
        large.buffer, large.is_turned = target, True
        if self._owed.obj is not target.data:
            self._give_back_large()  # it is owed in memory of its own

    def _give_back_large(self) -> None:
        """The buffer of a frame that was turned, once nothing is owed from it."""
        if self._large is not None and self._large.is_turned:
            self._env.pool.give_back(self._large.buffer)
            self._large = None
