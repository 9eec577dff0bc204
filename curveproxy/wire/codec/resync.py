"""What is wrong with a frame at which ``open_frames`` stopped, and how a stream goes on behind it.

A dropped frame must never join two messages, and MORE is inside the box: behind a frame that did not open nobody knows
whether a message ended there. Senders number their frames without gaps. So the next frame that opens tells:

* It has the very next nonce: the bad frame had been inserted, and nothing is lost.
* It leaves nonces out: frames were damaged or removed. The message that has begun is lost, and so is everything from
  this frame on up to the end of the message that it belongs to. Commands neither begin nor end a message.
* It makes its message too large: the whole message is lost, up to its own last part.

Each frame that opens moves the last nonce. A frame that is left out unopened leaves its nonce out, so a gap of as many
nonces behind it is the same damage and is not counted again. What is lost is the same. A stream that is not framed can
not be followed.
"""

from attrs import field, frozen

from curveproxy.wire import spec
from curveproxy.wire.codec.framing import frame_size, plain_header
from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.errors import Fault
from curveproxy.wire.zmtp.frame import Dialect

# A claim above this multiple of the limit means that the stream is not framed.
FOLLOWED_UP_TO = 16


@frozen
class Probed:
    """A frame that was opened by itself.

    flags: those in its box; None when it did not open.
    command: the body of the command that it is, empty when it is larger than any command; None when it is a message,
        whose data is not kept.
    """

    nonce: int
    flags: int | None
    command: bytes | None = field(default=None, repr=False)

    @property
    def more(self) -> bool:
        return bool(self.flags and self.flags & spec.INNER_MORE)


@frozen
class Defect:
    """A frame that can not go on.

    fault: None where there is nothing to count: a command in order, for which the limit of the message around it left
        no room, or a frame behind a gap that is explained by frames which were left out.
    size: octets of the frame with its header, of which some may not have come yet; 0 where the stream is not framed.
    """

    fault: Fault | None
    size: int


def probe(state: CodecState, batch: Batch, source: Buffer, end: int, target: Buffer) -> Probed | None:
    """Open the frame at which a batch stopped, where its contents decide what is wrong and all of it has come.

    It is opened behind the batch in the target, which must have room for it (``has_room``), and where its batch would
    have opened it: that may be where it lies. A large frame takes long, so this is called in the thread in which the
    batch was opened.
    """
    if batch.stop == Stop.COMMAND:
        return Probed(state.nonce, spec.INNER_COMMAND, _command(target, *state.command))
    if not (size := _size_to_open(state, batch, source, end)):
        return None
    at = batch.at + plain_header(_data_size(size), state.dialect) - 1
    nonce, octets = state.open_one(source, batch.start, batch.start + size, target, at)
    if not octets:
        return Probed(nonce, None)
    flags = target.data[at]
    return Probed(nonce, flags, _command(target, at + 1, octets - 1) if flags & spec.INNER_COMMAND else None)


def has_room(state: CodecState, batch: Batch, source: Buffer, end: int, target: Buffer) -> bool:
    """Whether the target has room for what ``probe`` would open. An empty target always has."""
    return batch.at + _size_to_open(state, batch, source, end) <= len(target)


def _size_to_open(state: CodecState, batch: Batch, source: Buffer, end: int) -> int:
    """The size of the frame at which a batch stopped, where ``probe`` has to open it; else 0."""
    if batch.stop not in (Stop.NONCE, Stop.TOO_LARGE):
        return 0
    size = frame_size(source, batch.start, end, Dialect.V3)
    return size if batch.start + size <= end and _data_size(size) <= state.limit else 0


def _command(target: Buffer, at: int, size: int) -> bytes:
    """A command's body. One that is larger than any command is not copied: it is empty, which is no command either."""
    return bytes(target.view[at : at + size]) if size <= spec.COMMAND_MAX else b""


class Resync:
    """What is wrong in one direction's stream, and how it goes on; with what was left out of it unopened."""

    __slots__ = ("_left_out", "_left_out_behind", "_state")

    def __init__(self, state: CodecState) -> None:
        self._state = state
        self._left_out = self._left_out_behind = 0  # how many frames, and behind the frame with which nonce

    def diagnose(self, stop: Stop, opened: Probed | None, source: Buffer, start: int, end: int) -> Defect | None:
        """What is wrong with the frame at ``source[start:end]``; None while too little of it has come to tell."""
        state, size = self._state, frame_size(source, start, end, Dialect.V3)
        if stop == Stop.FRAMING or _data_size(size) > FOLLOWED_UP_TO * state.limit:
            return Defect(Fault.FRAMING, 0)
        if not size:
            return None
        if stop not in (Stop.NONCE, Stop.TOO_LARGE) or _data_size(size) > state.limit:
            return Defect(Fault[stop.name], size)
        if opened is None:
            return None
        if opened.flags is None:
            return Defect(Fault.BOX, size)
        if opened.nonce <= state.nonce:
            return Defect(Fault.NONCE, size)
        if missing := opened.nonce - state.nonce - 1:
            return Defect(None if missing <= self._left_out_here else Fault.GAP, size)
        return Defect(None if opened.command is not None else Fault.TOO_LARGE, size)

    def resume(self, opened: Probed | None) -> bytes | None:
        """Let the stream go on behind a dropped frame. When its state holds 0 then, the message that had begun is lost.

        Returns the body of the command that the frame was, which is not lost.
        """
        state = self._state
        if opened is None or opened.flags is None:  # whether something is lost with it, the next nonce tells
            self._left_out, self._left_out_behind = self._left_out_here + 1, state.nonce
            return None
        if opened.nonce <= state.nonce:
            return None  # a repetition
        is_torn, state.nonce = opened.nonce != state.nonce + 1, opened.nonce
        if opened.command is None:
            state.held, state.discarding = 0, opened.more
        elif is_torn:
            state.held, state.discarding = 0, True
        return opened.command

    @property
    def _left_out_here(self) -> int:
        """How many frames were left out unopened behind the last one that opened."""
        return self._left_out if self._left_out_behind == self._state.nonce else 0


def _data_size(size: int) -> int:
    """The octets of data in a MESSAGE whose frame has ``size``."""
    header = spec.SHORT_HEADER if size <= spec.SHORT_HEADER + spec.SHORT_BODY_MAX else spec.LONG_HEADER
    return size - header - spec.MESSAGE_OVERHEAD
