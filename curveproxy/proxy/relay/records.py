"""Seals and opens records: the stream of plain frames goes through as it comes, whole frames or not.

So nothing of a large frame is kept, and there are times at which nothing may be put in between: in the middle of a
frame. Whoever wants to put something in, or to end, lets the next batch end behind that frame (``seek_boundary``).
What is invalid always ends the session: behind a record that does not open neither the next one nor the next frame can
be found.
"""

from abc import abstractmethod
from math import inf

from curveproxy.policy.limits import MessageLimits
from curveproxy.proxy.relay.env import RecordCount
from curveproxy.proxy.relay.filters.message_filter import Filter
from curveproxy.proxy.relay.filters.partial_messages import COMMAND_ROOM
from curveproxy.proxy.relay.opener import Filtering
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.transformed import Clock, Transform, Transformed
from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.framing import plain_frame
from curveproxy.wire.codec.record_state import RECORD_WEIGHT, RecordCall
from curveproxy.wire.codec.select import RecordState, open_records, seal_octets, seal_records
from curveproxy.wire.codec.state import BATCH_FRAMES_IN_PYTHON, Batch, Buffer, Stop
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.spec import RECORD_HEADER, RECORD_MAX
from curveproxy.wire.zmtp import command
from curveproxy.wire.zmtp.frame import Dialect, read_header

# With this a command begins that presents another certificate. One is judged in so many seconds, others are left out.
CERTIFICATE = command.body_of(command.CERTIFICATE, b"")
RENEWAL_SECONDS = 10.0
_AT_ONCE = -inf  # one object for all sessions


class RecordTransform(Transform):
    """One direction of a session with records.

    count: of the records in this direction.
    """

    __slots__ = ("_batch", "_count", "_seeks_boundary")
    _state: RecordState

    def __init__(
        self,
        state: RecordState,
        sink: Capabilities,
        limits: MessageLimits,
        count: RecordCount,
    ) -> None:
        super().__init__(state, sink, limits)
        self._count, self._batch, self._seeks_boundary = count, state.batch, False

    @property
    def form(self) -> str:
        return Suite(self._state.suite).word

    @property
    def shift(self) -> int:
        raise NotImplementedError("no record is larger than the buffers")

    @property
    def is_between_frames(self) -> bool:
        return not self._state.body_left

    @property
    def batch(self) -> int:
        return self._batch

    def seek_boundary(self) -> None:
        self._seeks_boundary = True

    def _turn(self, call: RecordCall, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        """Let the codec go on, up to a boundary where one is sought."""
        state = self._state
        if not self._seeks_boundary:
            return call(state, source, start, end, target, at)
        self._seeks_boundary = False
        state.batch = self._frames_to_boundary(state.body_left)
        batch = call(state, source, start, end, target, at)
        state.batch = self._batch
        return batch

    @abstractmethod
    def _frames_to_boundary(self, left: int) -> int:
        """How many frames the codec may look at so that it ends behind one, of which ``left`` octets are to come."""


def frames_in(octets: int, data: int) -> int:
    """How many frames there are at least in so many octets of stream, of which so many are data.

    Nobody counts them. With headers of small frames this is how many there are.
    """
    headers = octets - data
    large = min(data // (spec.SHORT_BODY_MAX + 1), headers // spec.LONG_HEADER)
    return large + (headers - large * spec.LONG_HEADER) // spec.SHORT_HEADER


class RecordSealer(RecordTransform):
    """Seals whatever has come, and ends at the first frame that is invalid."""

    __slots__ = ()

    def frame_size(self, source: Buffer, start: int, end: int) -> int:  # noqa: ARG002
        return 0  # it needs none as a whole

    def apply(self, source: Buffer, start: int, end: int, target: Buffer) -> Transformed:
        counter = self._state.counter
        batch = self._turn(seal_records, source, start, end, target, 0)
        return self._counted(batch, target, counter, batch.start - start)

    def resolve(self, result: Transformed, source: Buffer, end: int, clock: Clock) -> None:
        (at, size), is_command = self._state.command, result.stop == Stop.COMMAND
        if is_command and self._state.dialect != Dialect.V3:  # which alone has commands
            self._refuse(result, Invalid.FRAMING, end)
            return
        if not is_command or not size:
            self._refuse(result, Invalid[result.stop.name], end)
            return
        if result.at + self._sealed_size(size + spec.LONG_HEADER) > len(result.target):
            return  # once more, with an empty target
        if self._take_command(result, bytes(source.view[at : at + size]), end, clock):
            result.pass_by(at + size)

    def command(self, body: bytes) -> bytes:
        return self._sealed(plain_frame(spec.COMMAND, body, Dialect.V3))

    def message(self, body: bytes) -> bytes:
        return self._sealed(plain_frame(0, body, Dialect.V3))

    def _sealed(self, frame: bytes) -> bytes:
        """A frame of ours as a record."""
        counter, source = self._state.counter, Buffer(bytearray(frame))
        target = Buffer(self._sealed_size(len(frame)))
        batch = seal_octets(self._state, source, 0, len(frame), target, 0)
        self._count.add(self._state.counter - counter, batch.at)
        return bytes(target.view[: batch.at])

    def _sealed_size(self, size: int) -> int:
        """How long a record with so many octets is; they fit into one."""
        pad_to = self._state.pad_to
        if pad_to:
            size += spec.PAD_SIZE
            size = min(RECORD_MAX, size + -size % pad_to)
        return RECORD_HEADER + size + self._state.tag

    def _frames_to_boundary(self, left: int) -> int:
        return 0 if left else 1

    def _counted(self, batch: Batch, target: Buffer, counter: int, octets: int) -> Transformed:
        """What became of a batch. counter: of the next record, before it; octets: of stream that were sealed."""
        self._count.add(self._state.counter - counter, batch.at)
        return Transformed(batch, target, frames_in(octets, batch.octets))


class RecordOpener(RecordTransform):
    """Opens, and lets go on what is in order, whole frames or not."""

    __slots__ = ("_renewable_at",)
    opens = keeps = True

    def __init__(
        self,
        state: RecordState,
        sink: Capabilities,
        limits: MessageLimits,
        count: RecordCount,
    ) -> None:
        super().__init__(state, sink, limits, count)
        self._renewable_at = inf  # when the source may present another certificate

    def allow_renewals(self) -> None:
        """The source is a client, which may present another certificate than that with which it came."""
        self._renewable_at = _AT_ONCE

    def frame_size(self, source: Buffer, start: int, end: int) -> int:
        """Octets of the record."""
        if end - start < RECORD_HEADER:
            return 0
        header = int.from_bytes(source.view[start : start + RECORD_HEADER], "big")
        return RECORD_HEADER + (header & ~spec.REKEY) + 1 + self._state.tag

    def partial(self) -> int:
        return len(self._state.rest)

    def apply(self, source: Buffer, start: int, end: int, target: Buffer) -> Transformed:
        counter = self._state.counter
        batch = self._turn(open_records, source, start, end, target, 0)
        self._count.add(self._state.counter - counter, batch.start - start)
        return Transformed(batch, target, frames_in(batch.at, batch.octets))

    def resolve(self, result: Transformed, source: Buffer, end: int, clock: Clock) -> None:  # noqa: ARG002
        self._decide(result, self._command(result), end, clock)

    def _resolve_command(self, result: Transformed, body: bytes, clock: Clock) -> bytes | Invalid:
        if body.startswith(CERTIFICATE) and len(body) > len(CERTIFICATE) and (now := clock()) >= self._renewable_at:
            self._renewable_at = now + RENEWAL_SECONDS
            result.present(body[len(CERTIFICATE) :])
            return b""
        return super()._resolve_command(result, body, clock)

    def command(self, body: bytes) -> bytes:
        return plain_frame(spec.COMMAND, body, self._state.dialect)

    def message(self, body: bytes) -> bytes:
        return plain_frame(0, body, self._state.dialect)

    def _command(self, result: Transformed) -> bytes:
        """The command at which the batch ended; nothing where there is none, or one that is refused."""
        if result.stop != Stop.COMMAND:
            return b""
        at, size = self._state.command
        return bytes(result.target.view[at : at + size])

    def _decide(self, result: Transformed, body: bytes, end: int, clock: Clock) -> None:
        """Decide on what ended the batch. body: of the command, where it was one."""
        if body:
            self._take_command(result, body, end, clock)  # no longer than what it was opened from
        else:
            self._refuse(result, Invalid[result.stop.name], end)

    def _frames_to_boundary(self, left: int) -> int:
        # Records that are in the frame for sure; then one frame may be looked at, and there is none left behind that.
        return left // RECORD_MAX * RECORD_WEIGHT + 1


class FilteringRecordOpener(Filtering, RecordOpener):
    """Opens, keeps a frame until it is whole, and leaves out what the sink must not be sent."""

    __slots__ = ("_begun", "_filter")
    filters = True

    def __init__(
        self,
        state: RecordState,
        sink: Capabilities,
        limits: MessageLimits,
        count: RecordCount,
        the_filter: Filter,
    ) -> None:
        state.batch = min(state.batch, BATCH_FRAMES_IN_PYTHON)
        super().__init__(state, sink, limits, count)
        self._begun, self._filter = bytearray(), the_filter

    @property
    def is_between_frames(self) -> bool:
        return True  # as the sink sees it

    def partial(self) -> int:
        return super().partial() + len(self._begun)

    def resolve(self, result: Transformed, source: Buffer, end: int, clock: Clock) -> None:  # noqa: ARG002
        body = self._command(result)
        frames, behind = self._whole_frames(result)
        assert self._filter is not None
        result.set_output(frames, self._filtered(self._filter, result, frames, behind, clock))
        if result.stop > Stop.FULL and result.fatal is None:
            self._decide(result, body, end, clock)

    def discard(self) -> None:
        self._begun = bytearray()

    def _whole_frames(self, result: Transformed) -> tuple[Buffer, int]:
        """The whole frames that have come: a buffer, which has room for a command behind them, and their end in it."""
        if not (self._begun or self._state.body_left):
            return result.target, result.at
        frames, at = self._begun, 0
        frames += result.output
        while (header := read_header(frames, at, len(frames), self._state.dialect)) and header[1] <= len(frames):
            at = header[1]
        if not at:
            return result.target, 0
        self._begun = frames[at:]
        del frames[at:]
        frames += bytes(COMMAND_ROOM)
        return Buffer(frames), at
