"""From the service to the client: messages are sealed."""

from typing import TYPE_CHECKING

from curveproxy.proxy.buffers import TARGET_ROOM
from curveproxy.proxy.pump import Peer, Places, Pump
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec import Batch, Buffer, Direction, Stop, frame_size, seal_frames, seal_one
from curveproxy.wire.errors import PeerError

if TYPE_CHECKING:
    from curveproxy.proxy.session import Session


class Outbound(Pump):
    """From the service to the client: seals."""

    __slots__ = ("_source_dialect",)
    _source_closed, _source_reset = Closed.BACKEND_CLOSED, Closed.BACKEND_RESET
    _sink_reset = Closed.CLIENT_RESET

    def __init__(self, session: "Session", source: Peer, sink: Peer, state: Direction) -> None:
        super().__init__(session, source, sink, state)
        self._source_dialect = state.dialect

    def _turn(self, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
        return seal_frames(self._state, source, start, end, target, at)

    def _judge(self, stop: Stop, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Places:
        if stop != Stop.COMMAND:
            self._refuse(Invalid[stop.name])
            return end, at, stop
        size = frame_size(source, start, end, self._source_dialect)
        if at + size + TARGET_ROOM > len(target):
            return start, at, stop  # once more, with an empty target
        body = start + (spec.LONG_HEADER if source.data[start] & spec.LONG else spec.SHORT_HEADER)
        try:
            passed = self._command_untrusted(bytes(source.view[body : start + size]))
        except PeerError as error:
            self._refuse(Invalid(error.reason))
            return end, at, stop
        target.view[at : at + len(passed)] = passed
        return start + size, at + len(passed), stop

    def _refuse(self, reason: Invalid) -> None:
        """What a service sends over the limit, or without frames, always ends the session."""
        self._session.invalid(reason, "from the service")
        self._cut(Closed.LIMIT if reason == Invalid.TOO_LARGE else Closed.INVALID_MESSAGE)

    def _frame(self, flags: int, body: bytes) -> bytes:
        return seal_one(self._state, spec.INNER_COMMAND if flags & spec.COMMAND else 0, body)

    def _count(self, messages: int, octets: int) -> None:
        traffic = self._session.service.traffic
        traffic.messages_out += messages
        traffic.octets_out += octets
