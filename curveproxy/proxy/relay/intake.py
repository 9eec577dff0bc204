"""What a pump takes in: how far it reads, and what becomes of that."""

import socket
from contextlib import suppress
from typing import Protocol

import trio

from curveproxy.policy.quotas import weight
from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.buffers import memory_of
from curveproxy.proxy.relay.large_frame import LargeFrame
from curveproxy.proxy.relay.outbox import (
    ENDED,
    NOTHING,
    ON_SOURCE,
    THROTTLED,
    YIELDED,
    Blocked,
    Labels,
    Outbox,
    PumpOwner,
)
from curveproxy.proxy.relay.peer import Peer
from curveproxy.proxy.relay.transformed import Transform, Transformed
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.state import Buffer, Stop

# What a pump reads at a time while memory is under pressure: a sink that takes anything takes that much at once.
READ_UNDER_PRESSURE = 16 * 1024
# No frame of a message in a box has fewer octets.
SMALLEST_MESSAGE = spec.SHORT_HEADER + spec.MESSAGE_OVERHEAD

_FULL = Stop.FULL  # as in outbox.py


class Allowance(Protocol):
    """What a source may still send."""

    def available(self, now: float, smallest: int) -> float:
        """How many octets may be read, when no message has fewer than ``smallest``."""

    def spend(self, messages: float, octets: int, now: float) -> None: ...


class Intake(Outbox):
    """Octets of the source that are not turned yet. The middle layer of a pump."""

    __slots__ = (
        "_large",
        "_quota",
        "_source",
        "_to_skip",
    )

    def __init__(
        self, owner: PumpOwner, labels: Labels, source: Peer, sink: Peer, transform: Transform, leftover: bytes
    ) -> None:
        """leftover: octets that were read from the source before the session began."""
        super().__init__(owner, labels, source, sink, transform)
        self._source = source
        self._kept = leftover
        self._has_whole = bool(leftover)
        self._large: LargeFrame | None = None
        self._to_skip = 0  # octets of a dropped frame, or of the handshake, that have not come
        self._quota: Allowance | None = None

    def limit(self, quota: Allowance | None) -> None:
        """What the source may send from now on; None for anything."""
        self._quota = quota
        self._leave_engine()

    def skip(self, octets: int) -> None:
        """Leave out so many octets, the next that come: they are of the handshake."""
        self._to_skip = octets

    def await_sign(self, *, asked: bool) -> None:
        """Wait for a sign of life, if the source was ``asked`` for one: it is silent until something comes."""
        self.is_silent = asked

    @property
    def begun(self) -> int:
        """Octets that have come of a frame that is not whole."""
        return self._large.have if self._large is not None else len(self._kept)

    @property
    def is_finishing(self) -> bool:
        """Whether its source has ended, even if no event has told that yet, or its direction ends behind what came."""
        return self._source_gone or self._ending or sockets.has_ended(self._source.socket)

    @property
    def waits_in_vain(self) -> bool:
        """Whether it waits for its source, and nothing has come."""
        return self._blocked is ON_SOURCE and sockets.nothing_has_come(self._source.socket)

    @property
    def is_idle(self) -> bool:
        """Whether nothing whole would be lost in this direction if the session ended now."""
        idle = self._blocked in (ON_SOURCE, ENDED) and not self._owed and not self._may_say_more
        return self._sink_gone or (idle and sockets.nothing_has_come(self._source.socket))

    # --- reading

    def _curb(self, source: Buffer, end: int, reach: int) -> int:
        """How far to read behind ``source[:end]``, where a quota or memory may allow less; 0 for not at all now."""
        if self._sink_gone:
            return reach
        if self._blocked is THROTTLED:
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
            reach = int(min(reach, max(end + max(room, SMALLEST_MESSAGE), self._transform.frame_size(source, 0, end))))
        return reach

    def _skip(self) -> Blocked:
        """Read what has come of a frame that is dropped, and of nothing behind it."""
        pool = self._env.pool
        got = self._read(pool.source.view[: min(self._to_skip, pool.read_size)])
        if not got:
            return ON_SOURCE if got is None else self._end_sink()
        self._to_skip -= got
        if self._quota is not None:
            self._quota.spend(0, got, trio.current_time())
        return YIELDED

    def _read(self, view: memoryview) -> int | None:
        """Read what is there: None for nothing yet, 0 when the source has ended."""
        try:
            got = self._source.socket.recv_into(view)
        except BlockingIOError:
            return None
        except OSError:
            return self._lose_source()
        if not got:
            self._end(self._labels.source_closed)
        self.is_silent = False
        self.moved += got
        return got

    def _lose_source(self) -> int:
        """The source is not to be read any more."""
        self._owner.source_lost(self)
        self._end(self._labels.source_reset)
        self.is_silent = False
        return 0

    def _settle(self, result: Transformed, source: Buffer, begin: int, end: int) -> None:
        """Count what a batch of ``source[begin:end]`` became, and decide on what stopped it."""
        self.messages += result.messages
        self.octets += result.octets
        if result.stop > _FULL or self._transform.filters:
            self._transform.resolve(result, source, end, trio.current_time)
            if result.skip:
                self._to_skip = result.skip
            for reason in result.invalid:
                self._owner.invalid(reason, self._labels.detail)
            if result.off_topic:
                self._owner.repeated(Invalid.TOPIC, result.off_topic)
            if result.fatal is not None:
                self._abort(self._labels.over_limit if result.fatal == Invalid.TOO_LARGE else Closed.INVALID_MESSAGE)
            self._source.learn(knows_ping=result.knows_ping, answers_ping=result.answers_ping)
            if result.reply:
                self._owner.reply(self, result.reply)
            if result.certificate:
                self._owner.presented(result.certificate)
        if self._quota is not None:
            messages = weight(result.messages + (result.stop > _FULL), result.frames)
            self._quota.spend(messages, result.start - begin, trio.current_time())

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
        return ENDED

    # --- what is kept

    @property
    def _has_something_to_do(self) -> bool:
        """Whether its next turn is to do more than to read, and to turn and write what has come."""
        is_more = self._owed or self._pending_commands or self._to_skip
        return bool(is_more) or self._large is not None or self._quota is not None

    def kept_changed(self) -> None:
        try:
            self._charge()
        except Exception as error:  # the boundary: one session ends, and not all whose turns an engine has made
            self.failed(error)

    def _charge(self) -> None:
        """Book what it keeps now."""
        partial = len(self._kept) + (self._large.memory if self._large is not None else 0)
        if self._transform.keeps:
            partial += self._transform.partial()
        held = partial + memory_of(self._owed)  # all of it stays until the last is written
        if held != self.held or partial != self.partial:
            self._book(held, partial)

    def _begin_large(self, begun: memoryview, size: int) -> None:
        """What has come last is the beginning of a frame of this size."""
        pressure = self._env.memory.under_pressure
        self._large = LargeFrame(self._env.pool, begun, size, self._transform.shift, under_pressure=pressure)

    def _settle_large(self, result: Transformed, large: LargeFrame) -> None:
        """What a large frame became is owed from now on."""
        self._settle(result, large.source, 0, large.size)
        self._owed = result.output if result.at else NOTHING  # an empty view would keep all that it is of
        large.settle()
        self._give_back_large()  # unless it is owed from there

    def _give_back_large(self) -> None:
        """Give back the buffer of a frame that was turned, once nothing is owed from it."""
        large = self._large
        if large is not None and large.is_turned and not large.holds(self._owed):
            large.give_back(self._env.pool)
            self._large = None
