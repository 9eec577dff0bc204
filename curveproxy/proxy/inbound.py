"""From the client to the service: boxes are opened, and what may not reach the service is stopped."""

from typing import TYPE_CHECKING

import trio

from curveproxy.policy.sockettypes import PUBLISHERS
from curveproxy.policy.topics import Topics
from curveproxy.proxy.dropping import Dropping
from curveproxy.proxy.pump import Peer, Places, Pump
from curveproxy.proxy.strainer import Strainer
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec import Batch, Buffer, Direction, Stop, frame_size, open_frames, plain_frame, plain_header
from curveproxy.wire.errors import PeerError
from curveproxy.wire.flaw import Opened, examine, go_on_behind, has_room, look_into
from curveproxy.wire.frame import Dialect

if TYPE_CHECKING:
    from curveproxy.proxy.session import Session


class Inbound(Pump):
    """From the client to the service: opens.

    Invalid messages are dropped, in a service that wants that, and end the session in any other (``wire/flaw.py``).
    """

    __slots__ = ("_dropping", "_opened", "_strainer")
    _source_dialect = Dialect.V3
    _source_closed, _source_reset = Closed.CLIENT_CLOSED, Closed.CLIENT_RESET
    _sink_reset = Closed.BACKEND_RESET

    def __init__(self, session: "Session", source: Peer, sink: Peer, state: Direction) -> None:
        super().__init__(session, source, sink, state)
        limits = session.service.settings.messages
        drops, takes_messages = limits.on_invalid == "drop", sink.side.socket_type == b"XPUB"
        publishes = sink.side.socket_type in PUBLISHERS
        self._dropping = Dropping(limits.max_invalid_per_minute) if drops else None
        self._strainer = Strainer(takes_messages=takes_messages, drops=drops) if publishes else None
        self._opened: Opened | None = None  # what stopped the batch

    def stop(self) -> None:
        super().stop()
        if self._dropping is not None:
            self._dropping.give_up_parts()

    def _turn(self, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        batch = open_frames(self._state, source, start, end, target, at)
        self._opened = None
        if batch[-1] > Stop.FULL:
            if not has_room(self._state, batch, source, end, target):
                return (*batch[:-1], Stop.FULL)  # once more, with an empty target
            self._opened = look_into(self._state, batch, source, end, target)
        return batch

    def _sift(self, target: Buffer, at: int, messages: int) -> tuple[Buffer, int]:
        if self._dropping is not None:
            target, at = self._dropping.whole_messages(target, at, messages, self._state.held)
        if self._strainer is not None:
            at, flaws = self._strainer.strain_untrusted(target, at)
            for flaw in flaws:
                if flaw == Invalid.NOT_MESSAGE:
                    self._session.invalid(flaw)  # a service of that kind would not look at it
                elif not self._tolerates(flaw):
                    break
        return target, at

    def _judge(self, stop: Stop, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Places:
        opened, self._opened = self._opened, None
        if stop == Stop.COMMAND:
            command = opened.command if opened else None
        else:
            flaw = examine(self._state, stop, opened, source, start, end)
            if flaw is None:
                return start, at, Stop.INCOMPLETE
            if flaw.reason is not None and not self._tolerates(flaw.reason):
                return end, at, stop
            command = go_on_behind(self._state, flaw, opened)
            if self._dropping is not None and not self._state.held:
                self._dropping.give_up_parts()
            self._to_skip = max(0, start + flaw.size - end)
            start = min(start + flaw.size, end)
        if command is not None:
            try:
                passed = self._command_untrusted(command)
            except PeerError as error:
                if not self._tolerates(Invalid(error.reason)):
                    return end, at, stop
            else:
                target.view[at : at + len(passed)] = passed  # no longer than what it was opened from
                at += len(passed)
        return start, at, stop

    def _tolerates(self, reason: Invalid) -> bool:
        """Count an invalid message; whether the session goes on without it."""
        self._session.invalid(reason)
        tolerance = self._dropping.tolerance if self._dropping and reason != Invalid.FRAMING else None
        if tolerance is not None and tolerance.admit(trio.current_time()):
            return True
        self._cut(Closed.INVALID_MESSAGE)
        return False

    def _octets_partial(self) -> int:
        parts = self._state.held if self._dropping is not None else 0
        return super()._octets_partial() + parts

    def _frame(self, flags: int, body: bytes) -> bytes:
        return plain_frame(flags, body, self._state.dialect)

    def _count(self, messages: int, octets: int) -> None:
        traffic = self._session.service.traffic
        self._session.messages_in += messages
        self._session.octets_in += octets
        traffic.messages_in += messages
        traffic.octets_in += octets


class Heeding(Inbound):
    """To a service that takes no subscriptions, and must be sent nothing at all: they are heeded here.

    libzmq 2.x stops reading for good, and so seeing an end, when its PUB is sent a message.

    topics: what the client wants to hear, for ``outbound.Choosing``.
    """

    __slots__ = ("_begun", "_topics")

    def __init__(self, session: "Session", source: Peer, sink: Peer, state: Direction, topics: Topics) -> None:
        super().__init__(session, source, sink, state)
        self._topics, self._begun = topics, False

    def _sift(self, target: Buffer, at: int, messages: int) -> tuple[Buffer, int]:
        target, end = super()._sift(target, at, messages)
        at = 0
        while at < end and not self._ending:
            size = frame_size(target, at, end, Dialect.V3)
            body, more = plain_header(target, at, Dialect.V3)
            if not self._begun:
                self._frame(0, bytes(target.view[body : at + size]))
            self._begun = more
            at += size
        return target, 0

    def _frame(self, flags: int, body: bytes) -> bytes:  # noqa: ARG002  subscriptions are all that comes here
        if not self._topics.heed(body):
            self._tolerates(Invalid.TOO_LARGE)
        return b""
