"""What a pump owes its sink: the lowest of the three layers of a pump, above what it has in common with an engine.

``Outbox`` writes, ``Intake`` (``intake.py``) reads and has frames turned into what is owed, ``Pump`` (``pump.py``)
decides when. They are layers of one object, because further objects would cost memory in each session.
"""

import socket
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

from attrs import frozen

from curveproxy.proxy.net import sockets
from curveproxy.proxy.relay.engine import Flow
from curveproxy.proxy.relay.env import RelayEnv
from curveproxy.proxy.relay.flow import NEITHER, SINK, SOURCE
from curveproxy.proxy.relay.peer import Peer
from curveproxy.proxy.relay.transformed import Transform
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.zmtp import command

NOTHING = memoryview(b"")


class Blocked(Enum):
    """What a pump needs before it can go on."""

    ON_SOURCE = auto()  # something to read
    ON_SINK = auto()  # room to write
    YIELDED = auto()  # nothing, but it is others' turn
    IN_THREAD = auto()  # a thread, for a large frame
    THROTTLED = auto()  # its source's quota or memory: the service's throttle resumes it
    RESUMED = auto()  # nothing: it may read again
    ENDED = auto()  # nothing any more


# To look up a member of an enumeration takes half a microsecond in Python 3.11, and a turn does it all the time.
ON_SOURCE, ON_SINK, YIELDED, IN_THREAD, THROTTLED, RESUMED, ENDED = Blocked


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

    __slots__ = ()

    @property
    def env(self) -> RelayEnv: ...
    @property
    def key(self) -> bytes:
        """The client, whose share of memory a pump uses."""

    def invalid(self, reason: Invalid, detail: str) -> None:
        """Something was not relayed."""

    def repeated(self, reason: Invalid, count: int) -> None:
        """So much more of the same kind was not relayed."""

    def progress(self) -> None:
        """Something was written by a pump that is watched, or we keep one from writing."""

    def linger(self) -> None:
        """One side has ended: what is still owed must move."""

    def end(self, reason: Closed) -> None:
        """A pump is ending, for this reason."""

    def source_takes(self, pump: "Outbox") -> None:
        """This pump's source takes something."""

    def source_lost(self, pump: "Outbox") -> None:
        """Nothing can be sent to this pump's source any more."""

    def is_source_lost(self, pump: "Outbox") -> bool:
        """Whether what this pump's sink answers would be thrown away."""

    def sink_lost(self, pump: "Outbox") -> None:
        """This pump's sink is gone: the other pump may have nothing to wait for."""

    def reply(self, pump: "Outbox", command: bytes) -> None:
        """Send a command to this pump's source."""

    def presented(self, certificate: bytes) -> None:
        """The client has presented another certificate: its text."""

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


class Outbox(Flow):
    """Octets that the sink has not taken, and commands that are sent at the next boundary of frames.

    held, partial, and moved of a flow: see ``net.memory.Holder``.
    """

    __slots__ = (
        "_blocked",
        "_env",
        "_labels",
        "_owed",
        "_owner",
        "_pending_commands",
        "_sink",
        "_transform",
        "held",
        "partial",
    )

    def __init__(self, owner: PumpOwner, labels: Labels, source: Peer, sink: Peer, transform: Transform) -> None:
        super().__init__(source.socket.fileno(), sink.socket.fileno(), transform.for_engine, transform.opens)
        self._owner, self._env, self._labels = owner, owner.env, labels
        self._sink, self._transform = sink, transform
        self._owed = NOTHING  # turned and not written
        self._pending_commands: tuple[bytes, ...] = ()  # at most one of a name
        self.held = self.partial = 0
        self._enter(ON_SOURCE)

    def _enter(self, blocked: Blocked) -> None:
        self._blocked = blocked
        self._awaits = SINK if blocked is ON_SINK else NEITHER

    def _leave_engine(self) -> None:
        """There is something that is not ordinary."""
        if self._awaits == SOURCE:
            self._awaits = NEITHER

    def watch(self) -> None:
        """Tell the owner from now on that something is written."""
        self._is_watched = True

    @property
    def opens(self) -> bool:
        """Whether its source speaks CURVE, and its sink does not."""
        return self._transform.opens

    @property
    def form(self) -> str:
        """How the frames of the side that speaks CURVE are sealed: one of ``suites.FORMS``."""
        return self._transform.form

    @property
    def owed(self) -> int:
        """Octets that the sink has not taken yet."""
        return len(self._owed)

    @property
    def has_lost_sink(self) -> bool:
        return self._sink_gone

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

    @property
    def has_ended(self) -> bool:
        return self._blocked is ENDED

    @property
    def is_blocked_on_sink(self) -> bool:
        return self._blocked is ON_SINK

    def begin_with(self, body: bytes) -> None:
        """Before anything else, send the sink this message."""
        self._owed = memoryview(self._transform.message(body))

    # --- its commands

    def send_command(self, body: bytes) -> None:
        """Send a command to the sink at the next boundary of frames. A newer one of the same name replaces it."""
        if not self._pending_commands:
            self._env.reactor.schedule(self)
        name = command.name_in(body)
        others = (each for each in self._pending_commands if not each.startswith(name))
        self._pending_commands = (*others, body)
        self._leave_engine()

    def try_send_command(self, body: bytes) -> bool:
        """Send a command, or leave it out while the sink takes none. Whether it is sent."""
        if self._pending_commands or self._blocked is ON_SINK or not self._transform.is_between_frames:
            return False
        self.send_command(body)
        return True

    @property
    def _may_say_more(self) -> bool:
        """Whether there is a command, and it may be sent behind what is owed."""
        return bool(self._pending_commands) and self._transform.is_between_frames

    # --- what the memory's budget may see and do

    @property
    def key(self) -> bytes:
        return self._owner.key

    @property
    def is_held_up(self) -> bool:
        """Whether we, and not its peers, keep it from moving."""
        return self._blocked in (THROTTLED, RESUMED, YIELDED, IN_THREAD)

    def _book(self, held: int, partial: int) -> None:
        self._env.memory.charge(self, held, partial)
        self.held, self.partial = held, partial

    def give_up(self) -> None:
        """It holds what others wait for, and does not turn it over."""
        self._owner.abort(Closed.MEMORY)

    # --- turns

    def resume(self) -> None:
        """Go on: see ``Pump``."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        self._owner.failed(error)

    def _flush(self) -> bool:
        """Write what is owed, and the commands; False when some is still owed."""
        if self._owed and not self._write(self._owed):
            return False
        if self._may_say_more:
            commands, self._pending_commands = self._pending_commands, ()
            return self._write(memoryview(b"".join(map(self._transform.command, commands))))
        return True

    def _write(self, octets: memoryview, *, is_ours: bool = False, is_last: bool = False) -> bool:
        """Write, or throw away for a sink that is gone. False when some is owed.

        is_ours: nobody else uses their memory; is_last: the sink's end is told right behind.
        """
        is_ours = is_ours or octets is self._owed
        self._owed = NOTHING
        if self._sink_gone:
            return True
        try:
            # A last message travels with the end of the connection: its reader must not answer what is gone by then.
            is_last = is_last or (self._finishing and self._may_finish())
            sent = self._sink.socket.send(octets, socket.MSG_MORE if is_last else 0)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._sink_gone = True
            self._owner.end(self._labels.sink_reset)
            return True
        if sent:
            self.moved += sent
            if self._is_watched:
                self._owner.progress()
        if sent == len(octets):
            return True
        self._owed = self._env.pool.remainder(octets, sent, is_ours=is_ours)
        return False

    def _may_finish(self) -> bool:
        """Whether a pump that is finishing may end now."""
        return not self._transform.held and self._owner.may_finish()

    def _finish_early(self) -> None:
        """Tell the sink that nothing follows, and read and throw away what the source sends until it ends as well."""
        self._finishing, self._sink_gone = False, True
        self._owner.finished()
        with suppress(OSError):
            self._sink.socket.shutdown(socket.SHUT_WR)
