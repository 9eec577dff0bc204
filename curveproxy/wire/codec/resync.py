"""What is wrong with a frame at which ``open_frames`` stopped, and how a stream goes on behind it.

Dropping must never splice two messages, and MORE is inside the box: after a frame that did not open nobody knows
whether a message ended there. Senders number their frames without gaps, which settles it:

* The next frame that opens carries the very next nonce: the bad one was inserted, and nothing is lost.
* It leaves nonces out: frames were damaged or taken out. What is held of a message is given up, and so is everything
  from this frame on up to the end of the message that it belongs to. Commands neither begin nor end a message.
* A frame that opened and makes its message too large takes the whole message with it, up to its own last part.

Every frame that opened moves the last nonce. A frame that is left out unopened leaves its nonce out, so the gap behind
as many of them is the same damage, and is not counted again; what is given up is the same. In a stream without frames
nothing can be followed.
"""

from attrs import field, frozen

from curveproxy.wire import spec
from curveproxy.wire.codec.framing import frame_size
from curveproxy.wire.codec.single import open_one
from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.errors import Fault
from curveproxy.wire.zmtp.frame import Dialect

# Whoever claims more than this many times the limit does not send large messages, but no frames at all.
FOLLOWED_UP_TO = 16


@frozen
class Probed:
    """A frame that was opened by itself.

    flags: its inner ones; None when it did not open.
    command: the body of the command that it is, empty when it is larger than any; None when it is no command. The data
        of a message is not kept.
    """

    nonce: int
    flags: int | None
    command: bytes | None = field(default=None, repr=False)

    @property
    def more(self) -> bool:
        return bool(self.flags and self.flags & spec.INNER_MORE)


@frozen
class Defect:
    """size: the frame's octets, header and all, which need not have come; 0 where that can not be told.

    fault: None where there is nothing to count: a command in order, which only came when the message around it all
        but fills the limit, or a frame behind the gap that frames which were left out have made.
    """

    fault: Fault | None
    size: int


def probe(state: CodecState, batch: Batch, source: Buffer, end: int, target: Buffer) -> Probed | None:
    """What the frame at which a batch stopped holds, where that must be known to judge it and all of it is here.

    It is opened behind what the batch has left in the target, which has room for it (``has_room``). It takes as long as
    the frame is large, and is called where the batch is.
    """
    if batch.stop == Stop.COMMAND:
        return Probed(state.nonce, spec.INNER_COMMAND, _command(target, *state.command))
    if not (size := _size_to_open(state, batch, source, end)):
        return None
    nonce, octets = open_one(state, source, batch.start, size, target, batch.at)
    if not octets:
        return Probed(nonce, None)
    flags = target.data[batch.at]
    return Probed(nonce, flags, _command(target, batch.at + 1, octets - 1) if flags & spec.INNER_COMMAND else None)


def has_room(state: CodecState, batch: Batch, source: Buffer, end: int, target: Buffer) -> bool:
    """Whether the target can take what ``probe`` would open; an empty one always can."""
    return batch.at + _size_to_open(state, batch, source, end) <= len(target)


def _size_to_open(state: CodecState, batch: Batch, source: Buffer, end: int) -> int:
    """The size of the frame at which a batch stopped, where what it holds must be known and is here; else 0."""
    if batch.stop not in (Stop.NONCE, Stop.TOO_LARGE):
        return 0
    size = frame_size(source, batch.start, end, Dialect.V3)
    return size if batch.start + size <= end and _data_size(size) <= state.limit else 0


def _command(target: Buffer, at: int, size: int) -> bytes:
    """A command's body; nothing, which is no command either, for one that is larger than any: it is not copied."""
    return bytes(target.view[at : at + size]) if size <= spec.COMMAND_MAX else b""


def diagnose(
    state: CodecState, stop: Stop, opened: Probed | None, source: Buffer, start: int, end: int
) -> Defect | None:
    """What is wrong with the frame at ``source[start:end]``; None while too little of it is here to tell."""
    size = frame_size(source, start, end, Dialect.V3)
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
        return Defect(None if missing <= _left_out(state) else Fault.GAP, size)
    return Defect(None if opened.command is not None else Fault.TOO_LARGE, size)


def resume(state: CodecState, opened: Probed | None) -> bytes | None:
    """Follow the stream behind a frame that is dropped. What was held of a message is lost when ``held`` is 0 then.

    Returns the body of the command that the frame was, which is no part of what is lost.
    """
    if opened is None or opened.flags is None:  # if something is lost with it, the next nonce tells
        state.left_out = state.nonce, _left_out(state) + 1
        return None
    if opened.nonce <= state.nonce:
        return None  # it is known
    is_torn, state.nonce = opened.nonce != state.nonce + 1, opened.nonce
    if opened.command is None:
        state.held, state.discarding = 0, opened.more
    elif is_torn:
        state.held, state.discarding = 0, True
    return opened.command


def _left_out(state: CodecState) -> int:
    """How many frames were left out unopened behind the last one that opened."""
    nonce, frames = state.left_out
    return frames if nonce == state.nonce else 0


def _data_size(size: int) -> int:
    """The octets of data in a MESSAGE whose frame has ``size``."""
    header = spec.SHORT_HEADER if size <= spec.SHORT_HEADER + spec.SHORT_BODY_MAX else spec.LONG_HEADER
    return size - header - spec.MESSAGE_OVERHEAD
