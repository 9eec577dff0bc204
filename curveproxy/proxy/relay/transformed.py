"""What every transform is: one direction's work on frames, without sockets, sessions or a clock.

A transform turns the frames of its source into those of its sink, by the codec as long as they are ordinary. At the
first frame that is not, it decides what becomes of that frame. ``opener.py`` and ``sealer.py`` are the two kinds;
``records.py`` has the same two for records, which turn frames in parts; ``filters/`` has those that leave messages out;
``transform.py`` chooses.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from curveproxy.policy.invalid_budget import InvalidBudget
from curveproxy.policy.limits import MessageLimits
from curveproxy.proxy.relay.commands import decide_untrusted
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.record_state import RecordState
from curveproxy.wire.codec.resync import Probed
from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.codec.suites import MESSAGE

Clock = Callable[[], float]


class Transformed:
    """What became of a batch of frames.

    start: where the source stands.
    target, at: what goes on is ``target.data[:at]``. It is not always the buffer that was handed in.
    messages, octets: whole messages in the batch, and octets of data. frames: how many were turned.
    stop: why the batch ended. probed: what is known of the frame that ended it.
    skip: octets of a dropped frame that have not come yet.
    invalid: what was left out. fatal: for which of them the session has to end.
    off_topic: how much more was left out for its topic, behind the first of its session.
    reply: body of a command for the source.
    certificate: the text of another one that the source presents.
    knows_ping, answers_ping: what a command shows of the source (``Capabilities``).
    """

    skip = 0
    invalid: Sequence[Invalid] = ()
    fatal: Invalid | None = None
    off_topic = 0
    reply = certificate = b""
    knows_ping = answers_ping = False

    def __init__(self, batch: Batch, target: Buffer, frames: int, probed: Probed | None = None) -> None:
        self.start, self.at, self.messages, self.octets, self.stop = batch
        self.target, self.frames, self.probed = target, frames, probed

    @property
    def output(self) -> memoryview:
        """What goes on."""
        return self.target.view[: self.at]

    def set_output(self, target: Buffer, at: int) -> None:
        """Let ``target.data[:at]`` go on instead."""
        self.target, self.at = target, at

    def append(self, frame: bytes) -> None:
        """Let a frame go on behind the others. The target has room for it."""
        self.target.view[self.at : self.at + len(frame)] = frame
        self.at += len(frame)

    def wait(self) -> None:
        """The frame that ended the batch has not come far enough to be judged."""
        self.stop = Stop.INCOMPLETE

    def pass_by(self, start: int, skip: int = 0) -> None:
        """The source stands at ``start`` now, and ``skip`` octets more are to be left out."""
        self.start, self.skip = start, skip

    def leave_out(self, reason: Invalid) -> None:
        """Count something that does not go on."""
        self.invalid = (*self.invalid, reason)

    def leave_out_topic(self, *, is_first: bool) -> None:
        """Count something of a topic that does not go on. Of a session's only the first is told."""
        if is_first:
            self.leave_out(Invalid.TOPIC)
        else:
            self.off_topic += 1

    def end_session(self, reason: Invalid) -> None:
        """The session has to end for this; the first reason counts."""
        self.fatal = self.fatal or reason

    def show(self, *, knows_ping: bool, answers_ping: bool) -> None:
        """A command has shown this of the source."""
        self.knows_ping, self.answers_ping = knows_ping, answers_ping

    def answer(self, body: bytes) -> None:
        """Send the source a command."""
        self.reply = body

    def present(self, certificate: bytes) -> None:
        """Let the text of another certificate be judged."""
        self.certificate = certificate


class Transform(ABC):
    """One direction's work on frames.

    sink: what it speaks. limits: what the source may send.
    opens: whether the source speaks CURVE, and the sink does not; else it is the other way round.
    filters: whether each batch has to be resolved, and not only one that ended at an extraordinary frame.
    keeps: whether something of the source may be kept here.
    """

    __slots__ = ("_budget", "_limits", "_sink", "_state")
    _state: CodecState | RecordState
    opens = filters = keeps = False

    def __init__(self, state: CodecState | RecordState, sink: Capabilities, limits: MessageLimits) -> None:
        self._state, self._sink, self._limits = state, sink, limits
        self._budget: InvalidBudget | None = None

    @property
    def held(self) -> int:
        """Octets of the message that has begun and not ended; 0 between two messages."""
        return self._state.held

    @property
    def form(self) -> str:
        """How the frames of the side that speaks CURVE are sealed: one of ``suites.FORMS``."""
        return MESSAGE

    @property
    def is_between_frames(self) -> bool:
        """Whether a command of our own may go to the sink now."""
        return True

    @property
    def for_engine(self) -> CodecState | None:
        """The state by which an engine may turn frames as ``apply`` does; None where there is more to that."""
        return None

    def partial(self) -> int:
        """Octets of messages that are kept here until they are whole; of interest only where it ``keeps`` any."""
        return 0

    @property
    def batch(self) -> int:
        """How many frames are turned at once, at most."""
        return self._state.batch

    @property
    @abstractmethod
    def shift(self) -> int:
        """Where a frame that is larger than the buffers has its other form: so many octets behind its own beginning."""

    @abstractmethod
    def frame_size(self, source: Buffer, start: int, end: int) -> int:
        """Octets of the frame at ``source[start:end]``, header and all; 0 while that is not known."""

    @abstractmethod
    def apply(self, source: Buffer, start: int, end: int, target: Buffer) -> Transformed:
        """Turn frames of ``source[start:end]`` into the sink's: whole ones, but for records. It may run in a thread.

        The target may be the same memory where ``source[start:end]`` is one large frame: see ``shift``.
        """

    def judge(self, batch: Batch, frames: int, source: Buffer, end: int, target: Buffer) -> Transformed:  # noqa: ARG002
        """What ``apply`` returns, where so many frames have been turned from ``source[:end]`` already."""
        return Transformed(batch, target, frames)

    @abstractmethod
    def resolve(self, result: Transformed, source: Buffer, end: int, clock: Clock) -> None:
        """Decide on the frame at which ``apply`` ended (when ``filters``, also on those before), in its result.

        clock: tells seconds, and does not go back.
        """

    @abstractmethod
    def command(self, body: bytes) -> bytes:
        """A command of our own as a frame for the sink."""

    @abstractmethod
    def message(self, body: bytes) -> bytes:
        """A message of our own, of one part, as a frame for the sink."""

    def seek_boundary(self) -> None:  # noqa: B027
        """Let the next batch end behind a frame: behind the one that has begun, where one has."""

    def discard(self) -> None:  # noqa: B027
        """Forget what is kept of a message that has not ended."""

    def _resolve_command(self, result: Transformed, body: bytes, clock: Clock) -> bytes | Invalid:
        """The frame by which the source's command goes on, which may be empty; or what is wrong with it."""
        action = decide_untrusted(body, self._sink)
        if action.invalid is not None:
            return action.invalid
        result.show(knows_ping=action.knows_ping, answers_ping=action.answers_ping)
        if action.pass_on and not action.flags and self._state.held:
            return Invalid.COMMAND  # a subscription between two parts of a message
        if action.dropped and not self._within_budget(result, Invalid.COMMAND, clock):
            result.end_session(Invalid.COMMAND)
        result.answer(action.answer)
        if not action.pass_on:
            return b""
        return self.command(action.pass_on) if action.flags else self._pass_on(result, action.pass_on, clock)

    def _pass_on(self, result: Transformed, body: bytes, clock: Clock) -> bytes:  # noqa: ARG002
        """A message that a command became, as a frame for the sink."""
        return self.message(body)

    def _take_command(self, result: Transformed, body: bytes, end: int, clock: Clock) -> bool:
        """Let a command of the source go on, where it may; whether it is valid. If it is not, the session ends."""
        frame = self._resolve_command(result, body, clock)
        if isinstance(frame, Invalid):
            self._refuse(result, frame, end)
            return False
        result.append(frame)
        return True

    def _survives(self, result: Transformed, reason: Invalid, clock: Clock) -> bool:
        """Count an invalid message; whether the session goes on without it."""
        self._within_budget(result, reason, clock)
        result.end_session(reason)
        return False

    def _refuse(self, result: Transformed, reason: Invalid, end: int) -> None:
        """What is invalid ends the session, and nothing behind it is looked at."""
        result.leave_out(reason)
        result.end_session(reason)
        result.pass_by(end)

    def _within_budget(self, result: Transformed, reason: Invalid, clock: Clock) -> bool:
        """Count what does not go on; False when there has been more of it in a minute than a session may send."""
        result.leave_out(reason)
        if self._budget is None:
            self._budget = InvalidBudget(self._limits.max_invalid_per_minute)
        return self._budget.spend(clock())
