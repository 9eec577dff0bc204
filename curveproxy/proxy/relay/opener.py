"""From the client to the service: boxes are opened, and what may not reach the service is stopped."""

from typing import TYPE_CHECKING

from curveproxy.proxy.errors import InvalidError
from curveproxy.proxy.relay.filters.backend_filter import Filter
from curveproxy.proxy.relay.filters.partial_messages import PartialMessages
from curveproxy.proxy.relay.invalid import INVALID
from curveproxy.proxy.relay.pump import Peer, Places, Pump
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.framing import plain_frame
from curveproxy.wire.codec.resync import Probed, diagnose, has_room, probe, resume
from curveproxy.wire.codec.select import open_frames
from curveproxy.wire.codec.state import BATCH_FRAMES_IN_PYTHON, Batch, Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect

if TYPE_CHECKING:
    from curveproxy.proxy.relay.session import Session


class Opener(Pump):
    """From the client to the service: opens.

    Invalid messages are dropped, in a service that wants that, and end the session in any other
    (``wire/codec/resync.py``).

    the_filter: what the service must not be sent; None where it may be sent anything.
    """

    __slots__ = ("_dropping", "_filter", "_opened")
    _source_dialect = Dialect.V3
    _source_closed, _source_reset = Closed.CLIENT_CLOSED, Closed.CLIENT_RESET
    _sink_reset = Closed.BACKEND_RESET

    def __init__(
        self, session: "Session", source: Peer, sink: Peer, state: CodecState, the_filter: Filter | None
    ) -> None:
        super().__init__(session, source, sink, state)
        self._dropping = PartialMessages() if session.drops_invalid else None
        self._filter = the_filter
        self._opened: Probed | None = None  # what stopped the batch
        if the_filter is not None:
            state.batch = BATCH_FRAMES_IN_PYTHON

    def stop(self) -> None:
        super().stop()
        if self._dropping is not None:
            self._dropping.give_up_parts()

    def _turn(self, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        batch = open_frames(self._state, source, start, end, target, at)
        self._opened = None
        if batch.stop > Stop.FULL:
            if not has_room(self._state, batch, source, end, target):
                return batch._replace(stop=Stop.FULL)  # once more, with an empty target
            self._opened = probe(self._state, batch, source, end, target)
        return batch

    def _sift(self, target: Buffer, at: int, messages: int) -> tuple[Buffer, int]:
        if self._dropping is not None:
            target, at = self._dropping.whole_messages(target, at, messages, self._state.held)
        return target, at if self._filter is None else self._filtered(self._filter, target, at)

    def _filtered(self, the_filter: Filter, frames: Buffer, end: int) -> int:
        """Where ``frames[:end]`` end once what the service must not be sent is taken out."""
        end, flaws = the_filter.filter_untrusted(frames, end)
        for flaw in flaws:
            if flaw == Invalid.TOO_LARGE:
                if not self._tolerates(flaw):
                    break
            elif not self._leaves_out(flaw):  # a newer service would not look at it, unless there are too many
                self._cut(Closed.INVALID_MESSAGE)
                break
        if the_filter.has_ended:
            self._cut(Closed.INVALID_MESSAGE)
        return end

    def _judge(self, stop: Stop, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Places:
        opened, self._opened = self._opened, None
        if stop == Stop.COMMAND:
            command = opened.command if opened else None
        else:
            flaw = diagnose(self._state, stop, opened, source, start, end)
            if flaw is None:
                return start, at, Stop.INCOMPLETE
            if flaw.fault is not None and not self._tolerates(INVALID[flaw.fault]):
                return end, at, stop
            command = resume(self._state, opened)
            if self._dropping is not None and not self._state.held:
                self._dropping.give_up_parts()
            self._to_skip = max(0, start + flaw.size - end)
            start = min(start + flaw.size, end)
        if command is not None:
            try:
                passed = self._command_untrusted(command)
            except InvalidError as error:
                if not self._tolerates(error.reason):
                    return end, at, stop
            else:
                target.view[at : at + len(passed)] = passed  # no longer than what it was opened from
                at += len(passed)
        return start, at, stop

    def _tolerates(self, reason: Invalid) -> bool:
        """Count an invalid message; whether the session goes on without it."""
        if self._leaves_out(reason) and self._dropping is not None and reason != Invalid.FRAMING:
            return True
        self._cut(Closed.INVALID_MESSAGE)
        return False

    def _octets_partial(self) -> int:
        parts = self._state.held if self._dropping is not None else 0
        return super()._octets_partial() + parts

    def _frame(self, flags: int, body: bytes) -> bytes:
        framed = plain_frame(flags, body, self._state.dialect)
        if self._filter is None or flags & spec.COMMAND:
            return framed
        message = Buffer(len(framed))  # what a command became is a message to the service, like any other
        message.view[:] = framed
        return framed[: self._filtered(self._filter, message, len(framed))]

    def _count(self, messages: int, octets: int) -> None:
        traffic = self._env.traffic
        self._session.messages_in += messages
        self._session.octets_in += octets
        traffic.messages_in += messages
        traffic.octets_in += octets
