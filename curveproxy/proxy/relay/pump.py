"""A pump: one direction of a session. It reads, turns whole frames into their other form, and writes.

It has no task. It is woken when its source has something or its sink takes something, goes as far as it can, and
records what blocks it. There is no queue between the two sides: while its sink is blocked a pump does not read. Memory
grows with the octets that have come, never with the size that a header claims, and a blocked pump keeps only the octets
that it owes or that are the beginning of a frame.

No turn of a pump is longer than a millisecond or two, whatever comes: it ends behind so many frames, and so many
commands, and the pump goes on when the others have had their turns.

A pump also does not read while its source has sent all that it may (``policy/quotas.py``), or while the process is near
its limit on memory (``net/memory.py``): the source is then held up as by a slow sink.

A pump ends by itself, when its source has ended and all is delivered; it then ends the sink's input. When its sink is
gone it goes on reading and throwing away, until the source ends too: a close with unread octets would be a reset, and
cut off what the other direction still delivers.
"""

import socket
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

import trio
from attrs import frozen

from curveproxy.policy.quotas import weight
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.buffers import TARGET_ROOM, memory_of
from curveproxy.proxy.relay.env import RelayEnv
from curveproxy.proxy.relay.intake import READ_UNDER_PRESSURE, SMALLEST_MESSAGE, Allowance, LargeFrame
from curveproxy.proxy.relay.peer import Peer
from curveproxy.proxy.relay.transformed import Transform, Transformed
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec.state import Buffer, Stop

# Above this a frame is opened or sealed in a thread: it takes longer, over a millisecond, than others should wait.
THREAD_SIZE = 2 * 1024 * 1024
# How many commands, and frames that are left out, a pump judges in one turn: each costs about 30 us.
JUDGED_MAX = 32

NOTHING = memoryview(b"")


class Blocked(Enum):
    """What a pump needs before it can go on."""

    ON_SOURCE = auto()  # something to read
    ON_SINK = auto()  # room to write
    YIELDED = auto()  # nothing, but it is others' turn
    IN_THREAD = auto()  # a thread, for a large frame
    THROTTLED = auto()  # its source's quota, or memory: the service's throttle lets it go on
    RESUMED = auto()  # nothing: it has been let
    ENDED = auto()  # nothing any more


@frozen
class Labels:
    """What the ends of one direction are called, in reasons and in the log.

    source_closed, source_reset, sink_reset: why the session ends then.
    over_limit: why it ends after a message that is too large.
    detail: who has sent what is invalid; empty for the admitted client.
    """

    source_closed: Closed
    source_reset: Closed
    sink_reset: Closed
    over_limit: Closed
    detail: str


class PumpOwner(Protocol):
    """A session, to its two pumps."""

    @property
    def env(self) -> RelayEnv: ...
    @property
    def key(self) -> bytes:
        """Whose memory a pump takes up."""

    def count(self, direction: Labels, messages: int, octets: int) -> None:
        """So much was relayed."""

    def invalid(self, reason: Invalid, detail: str) -> None:
        """Something was not relayed."""

    def progress(self) -> None:
        """Something was written, or it is our doing that nothing is."""

    def linger(self) -> None:
        """One side has ended: what is still owed must move."""

    def end(self, reason: Closed) -> None:
        """A pump is ending, for this reason."""

    def source_lost(self, pump: "Pump") -> None:
        """Nothing can be sent to this pump's source any more."""

    def is_source_lost(self, pump: "Pump") -> bool:
        """Whether what this pump's sink answers would be thrown away."""

    def sink_lost(self, pump: "Pump") -> None:
        """This pump's sink is gone: the other pump may have nothing to wait for."""

    def reply(self, pump: "Pump", command: bytes) -> None:
        """Send a command to this pump's source."""

    def may_finish(self) -> bool:
        """Whether a pump that finishes may end here, between two whole messages."""

    def finished(self) -> None:
        """A pump has told its sink that nothing follows."""

    def pump_ended(self) -> None: ...

    def close(self) -> None:
        """Nothing is left to wait for."""

    def abort(self, reason: Closed) -> None:
        """End at once, whatever is owed."""

    def failed(self, error: Exception) -> None:
        """An error of ours."""


class Pump:
    """One direction. It alone writes to its sink and reads from its source.

    quota: what the source may send; None for anything.
    is_silent: the source was asked whether it lives, and nothing has come since.
    held, partial, moved: see ``net.memory.Holder``.
    """

    __slots__ = (
        "_blocked",
        "_direction",
        "_ending",
        "_env",
        "_finishing",
        "_has_whole",
        "_kept",
        "_large",
        "_owed",
        "_owner",
        "_pending_command",
        "_quota",
        "_sink",
        "_sink_gone",
        "_source",
        "_source_gone",
        "_to_skip",
        "_transform",
        "held",
        "is_silent",
        "moved",
        "partial",
    )

    def __init__(
        self, owner: PumpOwner, direction: Labels, source: Peer, sink: Peer, transform: Transform, leftover: bytes
    ) -> None:
        """leftover: octets that were read from the source before the session began."""
        self._owner, self._env, self._direction = owner, owner.env, direction
        self._source, self._sink, self._transform = source, sink, transform
        self._kept = leftover  # read and not turned
        self._has_whole = bool(leftover)  # there may be whole frames in it
        self._owed = NOTHING  # turned and not written
        self._large: LargeFrame | None = None
        self._to_skip = 0  # octets of a dropped frame that have not come
        self.held = self.partial = self.moved = 0
        self._pending_command = b""
        self._quota: Allowance | None = None
        self._source_gone = self._sink_gone = self.is_silent = False
        self._ending = False
        self._finishing = False  # ends behind the message that has begun
        self._enter(Blocked.ON_SOURCE)

    # --- what wakes it

    def source_ready(self, *, gone: bool) -> None:
        """The source has something, or has ended."""
        if gone and not self._source_gone:
            self._source_gone = True
            self._owner.linger()  # a pump that is blocked would not notice
        if self._blocked is not Blocked.YIELDED:  # else its turn comes anyway, and no sooner
            self.resume()

    def sink_ready(self) -> None:
        """The sink takes something."""
        if self._blocked is Blocked.ON_SINK:
            self._go_on()

    def resume(self) -> None:
        """There may be something to read, or a command to send; not while the sink is blocked."""
        if self._blocked is not Blocked.ON_SINK:
            self._go_on()

    def may_resume(self, now: float) -> None:
        """It may read again, unless its source's quota is still used up."""
        self._owner.progress()  # that nothing moves is our doing
        if self._blocked is Blocked.THROTTLED and (
            self._quota is None or self._quota.available(now, SMALLEST_MESSAGE) > 0
        ):
            self._enter(Blocked.RESUMED)
            self._env.reactor.schedule(self)

    def failed(self, error: Exception) -> None:
        self._owner.failed(error)

    # --- what its session asks of it

    def begin(self) -> None:
        """Its session begins: go on with what came before."""
        if self._kept:
            self._env.reactor.schedule(self)

    def begin_with(self, body: bytes) -> None:
        """Before anything else, send the sink this message."""
        self._owed = memoryview(self._transform.message(body))
        self._enter(Blocked.ON_SINK)

    def limit(self, quota: Allowance | None) -> None:
        """What the source may send from now on; None for anything."""
        self._quota = quota

    def send_command(self, body: bytes) -> None:
        """Send one command to the sink at the next boundary of frames. A newer one replaces it."""
        if not self._pending_command:
            self._env.reactor.schedule(self)
        self._pending_command = body

    def try_send_command(self, body: bytes) -> bool:
        """Send a command, or leave it out while the sink takes nothing. Whether it is sent."""
        if self._pending_command or self._blocked is Blocked.ON_SINK:
            return False
        self.send_command(body)
        return True

    def await_sign(self, *, asked: bool) -> None:
        """From now on it is silent until something comes, if its source was ``asked`` whether it lives."""
        self.is_silent = asked

    def finish(self) -> None:
        """End as soon as no message is in the middle of its parts, and the session may finish.

        In a turn of the reactor, because whoever calls this has no boundary around each session.
        """
        self._finishing = True
        self._env.reactor.schedule(self)

    def lose_sink(self) -> None:
        """Write no more: what comes is thrown away."""
        self._sink_gone = True

    def close_if_unheard(self) -> bool:
        """All is written: close the session where nobody would hear the answers of a sink that has all of it.

        That it owes none can not be known: what it has been sent may wait in its kernel.
        """
        is_over = False
        with suppress(OSError):
            is_over = self._owner.is_source_lost(self) and sockets.all_has_arrived(self._sink.socket)
        if is_over:
            self._owner.close()
        return is_over

    def stop(self) -> None:
        """The session has been closed. What is held goes now: it may be large, and the garbage collector slow."""
        self._enter(Blocked.ENDED)
        self._kept, self._owed, self._large = b"", NOTHING, None
        self._transform.discard()
        self._charge(0, 0)

    # --- what its session may see

    @property
    def is_finishing(self) -> bool:
        """Whether its source has ended, or will behind what has come: that is all which it has to deliver."""
        return self._source_gone or self._ending

    @property
    def has_ended(self) -> bool:
        return self._blocked is Blocked.ENDED

    @property
    def has_lost_sink(self) -> bool:
        return self._sink_gone

    @property
    def is_blocked_on_sink(self) -> bool:
        return self._blocked is Blocked.ON_SINK

    @property
    def waits_in_vain(self) -> bool:
        """Whether it waits for its source, and nothing has come."""
        return self._blocked is Blocked.ON_SOURCE and sockets.nothing_has_come(self._source.socket)

    @property
    def is_idle(self) -> bool:
        """Whether nothing whole would be lost in this direction if the session ended now."""
        idle = self._blocked in (Blocked.ON_SOURCE, Blocked.ENDED) and not self._owed and not self._pending_command
        return self._sink_gone or (idle and sockets.nothing_has_come(self._source.socket))

    @property
    def begun(self) -> int:
        """Octets that have come of a frame that is not whole."""
        return self._large.have if self._large is not None else len(self._kept)

    @property
    def owed(self) -> int:
        """Octets that the sink has not taken yet."""
        return len(self._owed)

    # --- what the memory's budget may see

    @property
    def key(self) -> bytes:
        return self._owner.key

    @property
    def is_held_up(self) -> bool:
        """Whether it is our doing that nothing moves."""
        return self._blocked in (Blocked.THROTTLED, Blocked.RESUMED, Blocked.YIELDED, Blocked.IN_THREAD)

    def give_up(self) -> None:
        """It holds what others wait for, and does not turn it over."""
        self._owner.abort(Closed.MEMORY)

    # --- one turn

    def _enter(self, blocked: Blocked) -> None:
        self._blocked = blocked

    def _go_on(self) -> None:
        before = self._blocked
        if before in (Blocked.IN_THREAD, Blocked.ENDED):
            return
        blocked = self._exchange()
        if self._blocked is Blocked.ENDED:
            return  # the session was closed meanwhile
        self._enter(blocked)
        partial = len(self._kept)
        if self._large is not None:
            partial += self._large.memory
        if self._transform.filters:
            partial += self._transform.partial()
        held = partial + memory_of(self._owed)  # all of it stays until the last is written
        if held != self.held or partial != self.partial:
            self._charge(held, partial)
        if blocked is Blocked.THROTTLED:
            self._env.throttle.pause(self)
        elif before in (Blocked.THROTTLED, Blocked.RESUMED):
            self._env.throttle.resume(self)
        if self._sink_gone:
            self._owner.sink_lost(self)
            if self.has_ended:
                return
        if blocked is Blocked.YIELDED:
            self._env.reactor.schedule(self)
        elif blocked is Blocked.IN_THREAD:
            self._env.spawn(self, self._turn_large_in_thread)
        elif blocked is Blocked.ENDED:
            self._owner.pump_ended()

    def _exchange(self) -> Blocked:
        """Do all that can be done now."""
        if self._owed and not self._write(self._owed):
            return Blocked.ON_SINK
        if self._pending_command:
            command, self._pending_command = self._transform.command(self._pending_command), b""
            if not self._write(memoryview(command)):
                return Blocked.ON_SINK
        if self._large is not None:
            self._give_back_large()
        if self._finishing and not (self._ending or self._large) and self._may_finish():
            self._finish_early()
        if self._ending:
            return self._end_sink()
        if self._env.memory.under_pressure and not (self._sink_gone or sockets.is_writable(self._sink.socket)):
            return Blocked.ON_SINK
        if self._large is not None:
            return self._read_large(self._large)
        if self._to_skip:
            return self._skip()
        blocked = self._relay()
        return Blocked.YIELDED if self._finishing and blocked is Blocked.ON_SOURCE and self._may_finish() else blocked

    def _relay(self) -> Blocked:
        """Read once, and turn and write whole frames: all of them, or as many as may be in one turn."""
        pool, transform = self._env.pool, self._transform
        source, target = pool.source, pool.target
        start, end = 0, len(self._kept)
        if end:
            source.view[:end] = self._kept
        full = True
        if not self._has_whole:
            reach = pool.reach(end)
            if self._quota is not None or self._env.memory.under_pressure:
                reach = self._curb(source, end, reach)
                if not reach:
                    return Blocked.THROTTLED
            got = self._read(source.view[end:reach])
            if got is None:
                return Blocked.ON_SOURCE
            if not got:
                return self._end_sink()
            end += got
            full = end == reach
        frames = judged = 0
        while True:
            result = transform.apply(source, start, end, target)
            self._settle(result, source, start, end)
            start, stop = result.start, result.stop
            written = not result.at or self._write(result.output, is_ours=result.target is not target)
            if stop <= Stop.FULL or self._ending or not written:
                break
            frames, judged = frames + result.frames, judged + 1
            if frames + judged * (transform.batch // JUDGED_MAX) >= transform.batch:
                break
        self._kept = bytes(source.view[start:end]) if start < end else b""
        self._has_whole = stop != Stop.INCOMPLETE
        if not written:
            return Blocked.ON_SINK
        if self._ending:
            return self._end_sink()
        if self._has_whole:
            return Blocked.YIELDED
        if self._finishing and start == end and self._may_finish():
            self._finish_early()  # right behind what was written: on a Unix socket the end does not travel with it
            return Blocked.YIELDED
        if start < end and (size := transform.frame_size(source, start, end)) > pool.read_size:
            pressure = self._env.memory.under_pressure
            self._large, self._kept = LargeFrame(pool, self._kept, size, under_pressure=pressure), b""
        return Blocked.YIELDED if full or self._source_gone else Blocked.ON_SOURCE

    def _curb(self, source: Buffer, end: int, reach: int) -> int:
        """How far to read, with ``source[:end]`` in place, where less than usual may be had; 0 for not at all now."""
        if self._sink_gone:
            return reach
        if self._blocked is Blocked.THROTTLED:
            return 0
        memory = self._env.memory
        if memory.under_pressure:
            reach = end + READ_UNDER_PRESSURE
            if self.held and not memory.may_exceed(self, READ_UNDER_PRESSURE):
                return 0
        if self._quota is not None:
            room = self._quota.available(trio.current_time(), SMALLEST_MESSAGE)
            if room <= 0 and not sockets.nothing_has_come(self._source.socket):
                return 0
            # A frame that has begun is read to its end: to come back for each piece of it would cost more.
            wanted = max(end + room, end + SMALLEST_MESSAGE, self._transform.frame_size(source, 0, end))
            reach = int(min(reach, wanted))
        return reach

    def _skip(self) -> Blocked:
        """Read what has come of a frame that is dropped, and of nothing behind it."""
        pool = self._env.pool
        got = self._read(pool.source.view[: min(self._to_skip, pool.read_size)])
        if got is None:
            return Blocked.ON_SOURCE
        if not got:
            return self._end_sink()
        self._to_skip -= got
        if self._quota is not None:
            self._quota.spend(0, got, trio.current_time())
        return Blocked.YIELDED

    def _settle(self, result: Transformed, source: Buffer, begin: int, end: int) -> None:
        """Count what a batch of ``source[begin:end]`` became, and decide on what stopped it."""
        if result.messages or result.octets:
            self._owner.count(self._direction, result.messages, result.octets)
        if result.messages == 1:
            self._env.reactor.spin()
        if result.stop > Stop.FULL or self._transform.filters:
            self._transform.resolve(result, source, end, trio.current_time)
            if result.skip:
                self._to_skip = result.skip
            for reason in result.invalid:
                self._owner.invalid(reason, self._direction.detail)
            if result.fatal is not None:
                self._abort(self._direction.over_limit if result.fatal == Invalid.TOO_LARGE else Closed.INVALID_MESSAGE)
            if result.reply:
                self._owner.reply(self, result.reply)
        if self._quota is not None:
            messages = weight(result.messages + (result.stop > Stop.FULL), result.frames)
            self._quota.spend(messages, result.start - begin, trio.current_time())

    # --- sockets

    def _read(self, view: memoryview) -> int | None:
        """Read what is there: None for nothing yet, 0 when the source has ended."""
        try:
            got = self._source.socket.recv_into(view)
        except BlockingIOError:
            return None
        except OSError:
            got, reason = 0, self._direction.source_reset
            self._owner.source_lost(self)
        else:
            reason = self._direction.source_closed
        if not got:
            self._end(reason)
        self.is_silent = False
        self.moved += got
        return got

    def _write(self, octets: memoryview, *, is_ours: bool = False) -> bool:
        """Write, or throw away for a sink that is gone. False when some is owed.

        is_ours: nobody else uses their memory.
        """
        is_ours = is_ours or octets is self._owed
        self._owed = NOTHING
        if self._sink_gone:
            return True
        try:
            # A last message travels with the end of the connection: its reader must not answer what is gone by then.
            sent = self._sink.socket.send(octets, socket.MSG_MORE if self._finishing and self._may_finish() else 0)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._sink_gone = True
            self._owner.end(self._direction.sink_reset)
            return True
        if sent:
            self._owner.progress()
            self.moved += sent
        if sent == len(octets):
            return True
        self._owed = self._env.pool.remainder(octets, sent, is_ours=is_ours)
        if self._owed.obj is not octets.obj:
            self._give_back_large()
        return False

    def _end(self, reason: Closed) -> None:
        """This direction ends, once what is owed has been written."""
        self._ending = True
        self._owner.end(reason)

    def _abort(self, reason: Closed) -> None:
        """The source has broken a rule: this direction ends, and so does what goes back to it."""
        self._end(reason)
        self._owner.source_lost(self)
        with suppress(OSError):
            self._source.socket.shutdown(socket.SHUT_RDWR)

    def _end_sink(self) -> Blocked:
        """All is written: tell the sink that nothing follows."""
        self._kept, self._large = b"", None  # half a frame, whose rest will not come
        if not self.close_if_unheard():
            with suppress(OSError):
                self._sink.socket.shutdown(socket.SHUT_WR)
        return Blocked.ENDED

    def _may_finish(self) -> bool:
        """Whether a pump that is finishing may end now."""
        return not self._transform.held and self._owner.may_finish()

    def _finish_early(self) -> None:
        """Tell the sink that nothing follows, and read and throw away what the source sends until it ends as well."""
        self._finishing, self._sink_gone = False, True
        self._owner.finished()
        with suppress(OSError):
            self._sink.socket.shutdown(socket.SHUT_WR)

    # --- what is kept

    def _charge(self, held: int, partial: int) -> None:
        """It keeps so much from now on."""
        self._env.memory.charge(self, held, partial)
        self.held, self.partial = held, partial

    # --- frames that are larger than the buffers

    def _read_large(self, large: LargeFrame) -> Blocked:
        """Read what has come of a large frame, and of nothing behind it."""
        pool, have = self._env.pool, large.have
        size = self._transform.frame_size(large.buffer, 0, have)
        if large.is_full and have < size:
            if not (self._sink_gone or self._env.memory.may_exceed(self, 2 * (large.wanted(size) - have))):
                return Blocked.THROTTLED
            large.grow(pool, size)
        got = self._read(large.buffer.view[have:size])
        if got is None:
            return Blocked.ON_SOURCE
        if not got:
            return self._end_sink()
        large.have = have + got
        if large.have < size:
            return Blocked.YIELDED if large.is_full or self._source_gone else Blocked.ON_SOURCE
        if size > THREAD_SIZE:
            return Blocked.IN_THREAD
        target = pool.borrow(size + TARGET_ROOM)
        self._settle_large(self._transform.apply(large.buffer, 0, size, target), large, target)
        return self._exchange()

    async def _turn_large_in_thread(self) -> None:
        large = self._large
        if large is None:
            return  # the session was closed before it came to this
        target = self._env.pool.borrow(large.have + TARGET_ROOM)
        result = await trio.to_thread.run_sync(self._transform.apply, large.buffer, 0, large.have, target)
        if self.has_ended:
            return  # the session was aborted meanwhile
        self._enter(Blocked.YIELDED)
        self._settle_large(result, large, target)
        self._go_on()

    def _settle_large(self, result: Transformed, large: LargeFrame, target: Buffer) -> None:
        """What a large frame became is owed from now on."""
        self._settle(result, large.buffer, 0, large.have)
        self._owed = result.output if result.at else NOTHING  # an empty view would keep all that it is of
        large.turn(self._env.pool, target)
        if self._owed.obj is not target.data:
            self._give_back_large()  # it is owed in memory of its own

    def _give_back_large(self) -> None:
        """The buffer of a frame that was turned, once nothing is owed from it."""
        if self._large is not None and self._large.is_turned:
            self._env.pool.give_back(self._large.buffer)
            self._large = None
