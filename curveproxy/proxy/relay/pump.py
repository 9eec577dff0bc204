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

import trio

from curveproxy.proxy.net import sockets
from curveproxy.proxy.net.reactor import GONE, READ, WRITE
from curveproxy.proxy.relay.flow import SOURCE
from curveproxy.proxy.relay.intake import SMALLEST_MESSAGE, Intake
from curveproxy.proxy.relay.large_frame import LargeFrame
from curveproxy.proxy.relay.outbox import (
    ENDED,
    IN_THREAD,
    NOTHING,
    ON_SINK,
    ON_SOURCE,
    RESUMED,
    THROTTLED,
    YIELDED,
    Blocked,
)
from curveproxy.wire.codec.state import Stop

# Above this a frame is opened or sealed in a thread: it takes longer, over a millisecond, than others should wait.
THREAD_SIZE = 2 * 1024 * 1024
# How many commands, and frames that are left out, a pump judges in one turn: each costs about 30 us.
JUDGED_MAX = 32

_INCOMPLETE, _FULL = Stop.INCOMPLETE, Stop.FULL  # as in outbox.py


class Pump(Intake):
    """One direction. It alone writes to its sink and reads from its source.

    All that it does happens in ``_go_on``; what blocks it then is set there and by what wakes it.
    """

    __slots__ = ()

    # --- what wakes it

    def ready(self, events: int) -> None:
        """The source has something or has ended, or takes something: that is for the other direction."""
        if events & GONE and not self._source_gone:
            self._source_gone = True
            self._owner.linger()  # a pump that is blocked would not notice
        if events & (READ | GONE) and self._blocked is not YIELDED:  # else its turn comes anyway, and no sooner
            self.resume()
        if events & (WRITE | GONE):
            self._owner.source_takes(self)

    def sink_ready(self) -> None:
        """The sink takes something."""
        if self._blocked is ON_SINK:
            self._go_on()

    def resume(self) -> None:
        """There may be something to read, or a command to send; not while the sink is blocked."""
        if self._blocked is not ON_SINK:
            self._go_on()

    def may_resume(self, now: float) -> None:
        """It may read again, unless its source's quota is still used up."""
        self._owner.progress()  # for it is we who keep it from moving
        if self._blocked is THROTTLED and (self._quota is None or self._quota.available(now, SMALLEST_MESSAGE) > 0):
            self._enter(RESUMED)
            self._env.reactor.schedule(self)

    # --- what its session asks of it

    def begin(self) -> None:
        """Its session begins: go on with what came before and what is owed: the sink may have told its room before."""
        if self._kept or self._owed:
            self._env.reactor.schedule(self)

    def finish(self) -> None:
        """End as soon as no message is in the middle of its parts, and the session may finish.

        In a turn of the reactor, because whoever calls this has no boundary around each session.
        """
        self._finishing = True
        self._env.reactor.schedule(self)

    def stop(self) -> None:
        """The session has been closed. Free what is held now: it may be large, and the garbage collector slow."""
        self._enter(ENDED)
        self._kept, self._owed, self._large = b"", NOTHING, None
        self._transform.discard()
        self._book(0, 0)

    # --- one turn

    def _go_on(self) -> None:
        before = self._blocked
        if before in (IN_THREAD, ENDED):
            return
        blocked = self._exchange()
        if self._blocked is ENDED:
            return  # the session was closed meanwhile
        self._enter(blocked)
        if blocked is ON_SOURCE and not self._has_something_to_do:
            self._awaits = SOURCE
        self._charge()
        if blocked is THROTTLED:
            self._env.throttle.pause(self)
        elif before in (THROTTLED, RESUMED):
            self._env.throttle.resume(self)
        if blocked is ENDED:
            self._owner.pump_ended()
            return
        if self._sink_gone:
            self._owner.sink_lost(self)
            if self.has_ended:
                return  # the session was closed by that
        if blocked is YIELDED:
            self._env.reactor.schedule(self)
        elif blocked is IN_THREAD:
            self._env.spawn(self, self._turn_large_in_thread)

    def _exchange(self) -> Blocked:
        """Do all that can be done now."""
        flushed = not (self._owed or self._pending_commands) or self._flush()
        if self._large is not None:
            self._give_back_large()
        if not flushed:
            return ON_SINK
        if self._finishing and not (self._ending or self._large) and self._may_finish():
            self._finish_early()
        if self._ending:
            return self._end_sink()
        if self._env.memory.under_pressure and not (self._sink_gone or sockets.is_writable(self._sink.socket)):
            return ON_SINK
        if self._large is not None:
            return self._read_large(self._large)
        if self._to_skip:
            return self._skip()
        blocked = self._relay()
        return YIELDED if self._finishing and blocked is ON_SOURCE and self._may_finish() else blocked

    def _relay(self) -> Blocked:
        """Read once, and turn and write whole frames: all of them, or as many as may be in one turn."""
        pool, transform = self._env.pool, self._transform
        source, target = pool.source, pool.target
        kept, start, full, result, sent = self._kept, 0, True, None, 0
        end = len(kept)
        if (begun := self._take_begun()) is not None:
            end, turned, batch, sent = begun
            if not end:
                self._lose_source()
                return self._end_sink()
            full = end == pool.read_size
            result = transform.judge(batch, turned, source, end, target)
        elif end:
            source.view[:end] = kept
        if begun is None and not self._has_whole:
            reach = pool.reach(end)
            is_curbed = self._quota is not None or self._env.memory.under_pressure
            if is_curbed and not (reach := self._curb(source, end, reach)):
                return THROTTLED
            if not (got := self._read(source.view[end:reach])):
                return ON_SOURCE if got is None else self._end_sink()
            end += got
            full = end == reach
        is_last = self._source_gone and not full and sockets.nothing_has_come(self._source.socket)
        if self._pending_commands or (self._finishing and self._owner.may_finish()):
            transform.seek_boundary()
        frames, judged = 0, 0
        while True:
            if result is None:
                result = transform.apply(source, start, end, target)
            self._settle(result, source, start, end)
            start, stop = result.start, result.stop
            octets = result.output[sent:] if sent else result.output
            written = not octets or self._write(octets, is_ours=result.target is not target, is_last=is_last)
            if stop <= _FULL or self._ending or not written:
                break
            frames, judged, result, sent = frames + result.frames, judged + 1, None, 0
            if frames + judged * (transform.batch // JUDGED_MAX) >= transform.batch:
                break
        self._has_whole = stop != _INCOMPLETE
        size = transform.frame_size(source, start, end) if start < end and not self._has_whole else 0
        if size > pool.read_size and written:
            self._kept = b""
            self._begin_large(source.view[start:end], size)
        else:
            self._kept = bytes(source.view[start:end]) if start < end else b""
        if not written:
            return ON_SINK
        # The end goes on with what is last, as another proxy sends it: who hears of it later may have asked again.
        if self._ending or (is_last and not self._has_whole and self._read(source.view[:1]) == 0):
            return self._end_sink()
        if self._has_whole:
            return YIELDED
        if self._finishing and start == end and self._may_finish():
            self._finish_early()  # right behind what was written: on a Unix socket the end does not travel with it
            return YIELDED
        return YIELDED if full or self._source_gone or self._may_say_more else ON_SOURCE

    def _read_large(self, large: LargeFrame) -> Blocked:
        """Read what has come of a large frame, and of nothing behind it."""
        if not (gap := large.gap):
            if not (self._sink_gone or self._env.memory.may_exceed(self, large.wanted - large.have)):
                return THROTTLED
            large.grow(self._env.pool)
            gap = large.gap
        got = self._read(gap)
        if got is None:
            return ON_SOURCE
        if not got:
            return self._end_sink()
        large.add(got)
        if large.have < large.size:
            return YIELDED if got == len(gap) or self._source_gone else ON_SOURCE
        if large.size > THREAD_SIZE:
            return IN_THREAD
        self._settle_large(large.turn(self._transform), large)
        return self._exchange()

    async def _turn_large_in_thread(self) -> None:
        large = self._large
        if large is None:
            return  # the session was closed before it came to this
        result = await trio.to_thread.run_sync(large.turn, self._transform)
        if self.has_ended:
            return  # the session was aborted meanwhile
        self._enter(YIELDED)
        self._settle_large(result, large)
        self._go_on()
