"""The scan of a plain stream of frames: how far it is in order, which is how far it may go on, whole frames or not.

Inside of records frames are as ZMTP 3 has them, in the shorter one of the two forms: their receiver passes headers on
as they are. A plain peer's frame in another form is written anew. Where that changes a header's size, what is behind
it is moved.

Nothing of a frame goes on before its header has been judged, and of a command nothing at all.
"""

import struct

from curveproxy.wire import spec
from curveproxy.wire.codec.record_state import RecordState
from curveproxy.wire.codec.state import Stop
from curveproxy.wire.spec import COMMAND, FRAME_MAX, LONG, LONG_HEADER, MORE, SHORT_BODY_MAX, SHORT_HEADER
from curveproxy.wire.zmtp.frame import LONG_LAYOUT, Dialect

U64 = struct.Struct(">Q")
_FLAGS = MORE | LONG
_V1, _INCOMPLETE = Dialect.V1, Stop.INCOMPLETE


class Scan:
    """One scan, which goes on as octets come.

    read, write: where in the data it stands, and where what goes on ends. Nothing is moved while they are the same.
    frames: how many it may look at yet.
    messages, octets: whole messages that have ended, and octets of data that have gone on.
    opened: the stream comes from records, and goes to a plain peer; else the reverse.
    """

    __slots__ = (
        "_data", "_is_passed_on", "_state", "_v1_in", "_v1_out", "frames", "messages", "octets", "opened", "read",
        "write",
    )  # fmt: skip

    def __init__(self, state: RecordState, data: bytearray, read: int, write: int, *, opened: bool) -> None:
        self._state, self._data, self.read, self.write, self.opened = state, data, read, write, opened
        self._v1_out = opened and state.dialect == _V1
        self._v1_in = state.dialect == _V1 and not opened
        self._is_passed_on = state.dialect != _V1
        self.frames, self.messages, self.octets = state.batch, 0, 0

    def advance_untrusted(self, end: int) -> Stop:
        """Go on as far as the stream is in order, and has come: ``data[read:end]``. FULL: enough frames for now."""
        state, data, v1 = self._state, self._data, self._v1_in
        read, write, frames, octets = self.read, self.write, self.frames, self.octets
        left, held, more, limit, messages = state.body_left, state.held, state.more, state.limit, self.messages
        stop, header = _INCOMPLETE, SHORT_HEADER
        while True:
            if left:
                step = min(left, end - read)
                if read != write:
                    data[write : write + step] = data[read : read + step]
                read, write, left, octets = read + step, write + step, left - step, octets + step
                if left:
                    break
                if not more:
                    messages += 1
                    held = 0
            if self._is_passed_on and read == write:  # most frames are small and whole: those first, and fast
                begun, count, parts, last = read, frames, 0, end - header
                while read <= last and frames:
                    flags = data[read]
                    if flags > MORE:
                        break
                    weight = header + data[read + 1]
                    if read + weight > end or held + weight > limit:
                        break
                    read += weight
                    frames -= 1
                    if flags:
                        held += weight
                        parts += 1
                    else:
                        held = 0
                if read != begun:
                    write, more = read, held != 0
                    count -= frames
                    octets += read - begun - header * count
                    messages += count - parts
            if end - read < header:
                break
            if not frames:
                stop = Stop.FULL
                break
            flags = data[read]
            if v1:
                long = flags == spec.V1_LONG
                body = read + (spec.V1_LONG_HEADER if long else SHORT_HEADER)
            else:
                long = flags & LONG != 0
                body = read + (LONG_HEADER if long else SHORT_HEADER)
                if flags & ~_FLAGS and flags & ~LONG != COMMAND:
                    stop = Stop.FRAMING
                    break
            if body > end:
                break
            if v1:  # its size counts the flags, which stand last
                size = (U64.unpack_from(data, read + 1)[0] if long else flags) - 1
                flags = data[body - 1] & MORE
            else:
                size = U64.unpack_from(data, read + 1)[0] if long else data[read + 1]
            if not 0 <= size <= FRAME_MAX or (self.opened and long and size <= SHORT_BODY_MAX):
                stop = Stop.FRAMING
                break
            if flags & COMMAND:
                stop = self._command(body, size, end)
                if stop == Stop.COMMAND and self.opened and size <= spec.STREAM_COMMAND_MAX:
                    read = body + size
                break
            behind = self._header_size(size)
            weight = size + (behind if self.opened else body - read)
            if held + weight > limit:
                stop = Stop.TOO_LARGE
                break
            more = flags & MORE != 0
            if read != write or v1 or self._v1_out or body - read != behind:
                self._write_header(write, behind, size, flags & MORE)
            read, write = body, write + behind
            frames -= 1
            if size or more:
                held += weight
                left = size
            else:
                messages += 1
                held = 0
        self.read, self.write, self.frames, self.messages, self.octets = read, write, frames, messages, octets
        state.body_left, state.held, state.more = left, held, more
        return stop

    def _command(self, body: int, size: int, end: int) -> Stop:
        """What becomes of a command, of which as much has come as there is before ``end``."""
        if size > spec.STREAM_COMMAND_MAX:
            self._state.command = body, 0
            return Stop.COMMAND
        if size > self._state.limit:
            return Stop.TOO_LARGE
        if body + size > end:
            return _INCOMPLETE
        self._state.command = body, size
        return Stop.COMMAND

    def _header_size(self, size: int) -> int:
        """The size of the header with which a frame goes on."""
        if self._v1_out:
            return SHORT_HEADER if size <= spec.V1_SHORT_BODY_MAX else spec.V1_LONG_HEADER
        return SHORT_HEADER if size <= SHORT_BODY_MAX else LONG_HEADER

    def _write_header(self, at: int, header: int, size: int, more: int) -> None:
        data = self._data
        if self._v1_out:
            if header == SHORT_HEADER:
                data[at] = size + 1
            else:
                LONG_LAYOUT.pack_into(data, at, spec.V1_LONG, size + 1)
            data[at + header - 1] = more
        elif header == SHORT_HEADER:
            data[at], data[at + 1] = more, size
        else:
            LONG_LAYOUT.pack_into(data, at, more | LONG, size)
