"""Seals: plain frames of the source become boxes for the sink."""

from curveproxy.proxy.net.buffers import TARGET_ROOM
from curveproxy.proxy.relay.transformed import Clock, Transform, Transformed
from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.framing import frame_size, growth
from curveproxy.wire.codec.select import seal_frames
from curveproxy.wire.codec.state import Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect, read_header


class Sealer(Transform):
    """Seals, and ends at the first invalid frame."""

    __slots__ = ()
    _state: CodecState

    @property
    def for_engine(self) -> CodecState | None:
        return self._state

    @property
    def shift(self) -> int:
        return -growth(self._state.dialect)

    def frame_size(self, source: Buffer, start: int, end: int) -> int:
        return frame_size(source, start, end, self._state.dialect)

    def apply(self, source: Buffer, start: int, end: int, target: Buffer) -> Transformed:
        state = self._state
        nonce = state.nonce
        batch = seal_frames(state, source, start, end, target, 0)
        return Transformed(batch, target, state.nonce - nonce)

    def resolve(self, result: Transformed, source: Buffer, end: int, clock: Clock) -> None:
        start, stop, dialect = result.start, result.stop, self._state.dialect
        if stop != Stop.COMMAND or dialect != Dialect.V3:
            self._refuse(result, Invalid.FRAMING if stop == Stop.COMMAND else Invalid[stop.name], end)
            return
        header = read_header(source.data, start, end)
        assert header is not None
        body, behind, _ = header
        if result.at + behind - start + TARGET_ROOM > len(result.target):
            return  # once more, with an empty target
        if self._take_command(result, bytes(source.view[body:behind]), end, clock):
            result.pass_by(behind)

    def command(self, body: bytes) -> bytes:
        return self._state.seal_one(spec.INNER_COMMAND, body)

    def message(self, body: bytes) -> bytes:
        return self._state.seal_one(0, body)
