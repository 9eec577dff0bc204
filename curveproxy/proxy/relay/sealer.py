"""From the service to the client: messages are sealed."""

from typing import TYPE_CHECKING

from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.errors import InvalidError
from curveproxy.proxy.net.buffers import TARGET_ROOM
from curveproxy.proxy.relay.pump import Blocked, Peer, Places, Pump
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.framing import frame_size, plain_header
from curveproxy.wire.codec.select import seal_frames
from curveproxy.wire.codec.single import seal_one
from curveproxy.wire.codec.state import BATCH_FRAMES_IN_PYTHON, Batch, Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect

if TYPE_CHECKING:
    from curveproxy.proxy.relay.session import Session


class Sealer(Pump):
    """From the service to the client: seals."""

    __slots__ = ("_source_dialect",)
    _source_name = "from the service"
    _source_closed, _source_reset = Closed.BACKEND_CLOSED, Closed.BACKEND_RESET
    _sink_reset = Closed.CLIENT_RESET

    def __init__(self, session: "Session", source: Peer, sink: Peer, state: CodecState) -> None:
        super().__init__(session, source, sink, state)
        self._source_dialect = state.dialect

    def _turn(self, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        return seal_frames(self._state, source, start, end, target, at)

    def _judge(self, stop: Stop, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Places:
        if stop != Stop.COMMAND or self._source_dialect != Dialect.V3:
            self._refuse(Invalid.FRAMING if stop == Stop.COMMAND else Invalid[stop.name])
            return end, at, stop
        size = frame_size(source, start, end, self._source_dialect)
        if at + size + TARGET_ROOM > len(target):
            return start, at, stop  # once more, with an empty target
        body = start + (spec.LONG_HEADER if source.data[start] & spec.LONG else spec.SHORT_HEADER)
        try:
            passed = self._command_untrusted(bytes(source.view[body : start + size]))
        except InvalidError as error:
            self._refuse(error.reason)
            return end, at, stop
        target.view[at : at + len(passed)] = passed
        return start + size, at + len(passed), stop

    def subscribe_to_all(self) -> None:
        """Before anything else, ask the client for all that it publishes."""
        self._owed, self._wants = memoryview(self._frame(0, b"\1")), Blocked.SINK

    def _refuse(self, reason: Invalid) -> None:
        """What a service sends over the limit, or without frames, always ends the session."""
        self._session.invalid(reason, self._source_name)
        self._cut(Closed.LIMIT if reason == Invalid.TOO_LARGE else Closed.INVALID_MESSAGE)

    def _frame(self, flags: int, body: bytes) -> bytes:
        return seal_one(self._state, spec.INNER_COMMAND if flags & spec.COMMAND else 0, body)

    def _count(self, messages: int, octets: int) -> None:
        traffic = self._env.traffic
        self._session.messages_out += messages
        self._session.octets_out += octets
        traffic.messages_out += messages
        traffic.octets_out += octets


class PublisherFilter(Sealer):
    """From a service that publishes everything: what nobody subscribed to is left out before it is sealed.

    topics: what the client wants to hear.
    """

    __slots__ = ("_skips", "_topics")

    def __init__(self, session: "Session", source: Peer, sink: Peer, state: CodecState, topics: Subscriptions) -> None:
        super().__init__(session, source, sink, state)
        self._topics, self._skips = topics, False  # in the middle of a message that is not wanted
        state.batch = BATCH_FRAMES_IN_PYTHON

    def _turn(self, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        messages = octets = 0
        left = self._state.batch
        while left:
            behind, wanted, looked_at = self._reach(source, start, end, left)
            left -= looked_at
            if behind > start and not wanted:
                start = behind
                continue
            if behind == start:
                behind = end  # no whole frame, or over the limit: that is judged where it is sealed
            start, at, ended, data, stop = super()._turn(source, start, behind, target, at)
            messages, octets = messages + ended, octets + data
            if stop != Stop.INCOMPLETE or behind == end:
                return Batch(start, at, messages, octets, stop)
        return Batch(start, at, messages, octets, Stop.FULL)

    def _reach(self, source: Buffer, start: int, end: int, most: int) -> tuple[int, bool, int]:
        """How far whole frames reach, no more than ``most``, that are all wanted, or all not; which; and how many."""
        at, begun, wanted, count = start, self._skips or self._state.held > 0, not self._skips, 0
        while count < most and 1 < (size := frame_size(source, at, end, Dialect.V1)) <= min(
            end - at, self._state.limit
        ):
            body, more = plain_header(source, at, Dialect.V1)
            if not begun:
                matches = self._topics.match(source.view[body : at + size])
                if at > start and matches != wanted:
                    break
                wanted = matches
            begun = more
            at += size
            count += 1
        if not wanted:
            self._skips = begun
        return at, wanted, count
