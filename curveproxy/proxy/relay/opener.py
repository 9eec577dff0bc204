"""Opens: boxes of the source become plain frames of the sink.

At an invalid frame the session ends. Where invalid messages are dropped instead, and where the sink must not be sent
everything, a ``FilteringOpener`` is used.
"""

from curveproxy.policy.limits import MessageLimits
from curveproxy.proxy.relay.commands import INVALID
from curveproxy.proxy.relay.filters.message_filter import Filter
from curveproxy.proxy.relay.filters.partial_messages import PartialMessages
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.transformed import Clock, Transform, Transformed
from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.framing import frame_size, growth, plain_frame
from curveproxy.wire.codec.resync import Resync, has_room, probe
from curveproxy.wire.codec.select import open_frames
from curveproxy.wire.codec.state import BATCH_FRAMES_IN_PYTHON, Batch, Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect

_FULL = Stop.FULL  # as in outbox.py


class Opener(Transform):
    """Opens, and ends at the first invalid frame."""

    __slots__ = ()
    _state: CodecState
    opens = True

    @property
    def for_engine(self) -> CodecState | None:
        return self._state

    @property
    def shift(self) -> int:
        return growth(self._state.dialect)

    def frame_size(self, source: Buffer, start: int, end: int) -> int:
        return frame_size(source, start, end, Dialect.V3)

    def apply(self, source: Buffer, start: int, end: int, target: Buffer) -> Transformed:
        state = self._state
        nonce = state.nonce
        batch = open_frames(state, source, start, end, target, 0)
        return self.judge(batch, state.nonce - nonce, source, end, target)

    def judge(self, batch: Batch, frames: int, source: Buffer, end: int, target: Buffer) -> Transformed:
        state, probed = self._state, None
        if batch.stop > _FULL:
            if has_room(state, batch, source, end, target):
                probed = probe(state, batch, source, end, target)
            else:
                batch = batch._replace(stop=Stop.FULL)  # once more, with an empty target
        return Transformed(batch, target, frames, probed)

    def resolve(self, result: Transformed, source: Buffer, end: int, clock: Clock) -> None:
        if result.stop == Stop.COMMAND:
            body = result.probed.command if result.probed else None
        else:
            resync = self._resync()
            defect = resync.diagnose(result.stop, result.probed, source, result.start, end)
            if defect is None:
                result.wait()
                return
            if defect.fault is not None and not self._survives(result, INVALID[defect.fault], clock):
                result.pass_by(end)
                return
            body = resync.resume(result.probed)
            if not self._state.held:
                self.discard()
            behind = result.start + defect.size
            result.pass_by(min(behind, end), max(0, behind - end))
        if body is not None:
            frame = self._resolve_command(result, body, clock)
            if not isinstance(frame, Invalid):
                result.append(frame)  # no longer than what it was opened from
            elif not self._survives(result, frame, clock):
                result.pass_by(end)

    def _resync(self) -> Resync:
        """A new one: behind a frame that is left out unopened this opens nothing."""
        return Resync(self._state)

    def command(self, body: bytes) -> bytes:
        return plain_frame(spec.COMMAND, body, self._state.dialect)

    def message(self, body: bytes) -> bytes:
        return plain_frame(0, body, self._state.dialect)


class Filtering(Transform):
    """Leaves out what the sink must not be sent: what both kinds of openers have of that.

    _filter: None where the sink may be sent anything.
    """

    __slots__ = ()
    _filter: Filter | None

    def _filtered(self, the_filter: Filter, result: Transformed, frames: Buffer, end: int, clock: Clock) -> int:
        """Where ``frames[:end]`` end once what the sink must not be sent has been taken out."""
        end, flaws = the_filter.filter_untrusted(frames, end)
        for flaw in flaws:
            if flaw == Invalid.TOPIC:  # a right that its client has not: it may go on trying
                result.leave_out_topic(is_first=the_filter.is_first_off_topic())
            elif flaw == Invalid.TOO_LARGE:
                if not self._survives(result, flaw, clock):
                    break
            elif not self._within_budget(result, flaw, clock):  # a newer sink would ignore it, unless there is too much
                result.end_session(flaw)
                break
        if the_filter.has_ended:
            result.end_session(Invalid.NOT_ACCEPTED)
        return end

    def _pass_on(self, result: Transformed, body: bytes, clock: Clock) -> bytes:
        framed = self.message(body)
        if self._filter is None:
            return framed
        message = Buffer(bytearray(framed))
        return framed[: self._filtered(self._filter, result, message, len(framed), clock)]


class FilteringOpener(Filtering, Opener):
    """Opens, and leaves whole messages out: invalid ones where they are dropped, and what the sink must not be sent.

    partial: keeps a message's parts until all have come; None where an invalid message ends the session.
    the_filter: None where the sink may be sent anything.

    _sync: None before the first invalid frame.
    """

    __slots__ = ("_filter", "_partial", "_sync")
    filters = keeps = True

    def __init__(
        self,
        state: CodecState,
        sink: Capabilities,
        limits: MessageLimits,
        partial: PartialMessages | None,
        the_filter: Filter | None,
    ) -> None:
        super().__init__(state, sink, limits)
        self._partial, self._filter = partial, the_filter
        self._sync: Resync | None = None
        if the_filter is not None:
            state.batch = BATCH_FRAMES_IN_PYTHON

    @property
    def for_engine(self) -> None:
        return None

    def partial(self) -> int:
        return 0 if self._partial is None else self._state.held

    def resolve(self, result: Transformed, source: Buffer, end: int, clock: Clock) -> None:
        if self._partial is not None:
            held = self._state.held
            result.set_output(*self._partial.whole_messages(result.target, result.at, result.messages, held))
        if self._filter is not None:
            frames = result.target
            result.set_output(frames, self._filtered(self._filter, result, frames, result.at, clock))
        if result.stop > Stop.FULL and result.fatal is None:
            super().resolve(result, source, end, clock)

    def _resync(self) -> Resync:
        self._sync = self._sync or super()._resync()
        return self._sync

    def discard(self) -> None:
        if self._partial is not None:
            self._partial.discard()

    def _survives(self, result: Transformed, reason: Invalid, clock: Clock) -> bool:
        if self._within_budget(result, reason, clock) and self._partial is not None and reason != Invalid.FRAMING:
            return True
        result.end_session(reason)
        return False
