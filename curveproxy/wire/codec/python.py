"""The codec's functions in Python: the definition. The twin in C (``core.h``) does the same, octet by octet.

Here are those for MESSAGEs; ``records.py`` has others, and ``curve/handshake.py`` those of the handshake.

A box is opened straight into the target, so that the flags in it fall on the last octet of the plain frame's header,
which is then written over them. Sealing does the same the other way round. So nothing is copied, and one frame with
long headers may have its other form where it lies (``framing.growth``). The loops read headers themselves:
``read_header`` would cost a tenth of what a frame does.

# MESSAGE, 33 + n octets: name[8] nonce[8] Box [flags[1] + data[n]]
"""

import struct

from curveproxy.wire import spec
from curveproxy.wire.codec.records import RecordState, open_records, seal_octets, seal_records
from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.curve import layout
from curveproxy.wire.curve.handshake import answer_hello_untrusted, open_initiate_untrusted
from curveproxy.wire.sodium import address, open_at, seal_at
from curveproxy.wire.spec import (
    COMMAND,
    FRAME_MAX,
    INNER_COMMAND,
    INNER_MORE,
    LONG,
    MESSAGE_NAME,
    MESSAGE_OVERHEAD,
    MORE,
    SHORT_BODY_MAX,
    SHORT_HEADER,
)
from curveproxy.wire.zmtp.frame import LONG_LAYOUT, Dialect

U64 = struct.Struct(">Q")
NAME_NONCE, NONCE_AT, BOX_AT = layout.MESSAGE, len(MESSAGE_NAME), layout.MESSAGE.size
_NONCE_MAX = 2**64 - 1
# The largest body behind a short header, and the size of a long one.
_PLAIN = SHORT_BODY_MAX, spec.LONG_HEADER
_V1_PLAIN = spec.V1_SHORT_BODY_MAX, spec.V1_LONG_HEADER
_PREFIX, _NO_NONCE = spec.LONG_NONCE, bytes(spec.SHORT_NONCE)
# Flags that most frames lack. A frame with one of them is looked at again.
_UNUSUAL_IN_PLAIN, _UNUSUAL_IN_CURVE = ~(MORE | LONG), ~(LONG | COMMAND)
_V1, _INCOMPLETE = Dialect.V1, Stop.INCOMPLETE  # a member of an enumeration is slow to find
_new_tuple = tuple.__new__  # a third of the time that calling Batch takes


def open_frames(state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """Open the MESSAGEs in ``source[start:end]`` into plain frames at ``target[at:]``.

    The next nonce is the only one that is opened: senders count without gaps.
    """
    frames, out, from_, to = source.data, target.data, source.pointer, target.pointer
    key, limit, held, v1, discarding = state.key, state.limit, state.held, state.dialect == _V1, state.discarding
    nonce_octets = bytearray(state.prefix + _NO_NONCE)
    nonce_pointer = address("unsigned char[]", nonce_octets)
    expected = _reversed(state.nonce + 1) if state.little_endian else state.nonce + 1
    capacity, messages, octets, opened = len(out), 0, 0, 0
    short_max, long_header = _V1_PLAIN if v1 else _PLAIN
    stop = _INCOMPLETE
    while end - start >= SHORT_HEADER:
        if opened == state.batch:
            stop = Stop.FULL
            break
        flags = frames[start]
        if flags & _UNUSUAL_IN_CURVE and flags & ~LONG != MORE:
            stop = Stop.FRAMING
            break
        if flags & LONG:
            body = start + spec.LONG_HEADER
            if body > end:
                break
            size = U64.unpack_from(frames, start + 1)[0]
        else:
            body = start + SHORT_HEADER
            size = frames[start + 1]
        if size < MESSAGE_OVERHEAD:
            stop = Stop.TOO_SHORT
            break
        plain = size - MESSAGE_OVERHEAD
        header = SHORT_HEADER if plain <= short_max else long_header
        if held + header + plain > limit:
            stop = Stop.FRAMING if size > FRAME_MAX else Stop.TOO_LARGE
            break
        if body + size > end:
            break
        name, nonce = NAME_NONCE.unpack_from(frames, body)
        if name != MESSAGE_NAME:
            stop = Stop.NOT_MESSAGE
            break
        if nonce != expected:
            stop = Stop.NONCE
            break
        if at + header + plain > capacity:
            stop = Stop.FULL
            break
        nonce_octets[_PREFIX:] = frames[body + NONCE_AT : body + BOX_AT]
        inner_at = at + header - 1
        if open_at(to + inner_at, from_ + (body + BOX_AT), size - BOX_AT, nonce_pointer, key):
            stop = Stop.BOX
            break
        inner = out[inner_at]
        if flags & MORE and inner & (INNER_MORE | INNER_COMMAND) != INNER_MORE:
            stop = Stop.OUTER_MORE
            break
        start = body + size
        opened += 1
        expected = _reversed(state.nonce + opened + 1) if state.little_endian else expected + 1
        if inner & INNER_COMMAND:
            state.command = inner_at + 1, plain
            stop = Stop.COMMAND
            break
        more = inner & INNER_MORE
        if discarding:
            discarding = bool(more)
            continue
        if v1:
            out[inner_at] = more
            if header == SHORT_HEADER:
                out[at] = plain + 1
            else:
                LONG_LAYOUT.pack_into(out, at, spec.V1_LONG, plain + 1)
        elif header == SHORT_HEADER:
            out[at], out[inner_at] = more, plain
        else:
            LONG_LAYOUT.pack_into(out, at, more | LONG, plain)
        at = inner_at + 1 + plain
        octets += plain
        if more:
            held += header + plain
        else:
            held = 0
            messages += 1
    state.nonce += opened
    state.held, state.discarding = held, discarding
    return _new_tuple(Batch, (start, at, messages, octets, stop))


def seal_frames(state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """Seal the plain frames in ``source[start:end]`` as MESSAGEs at ``target[at:]``; see ``open_frames``.

    The last octet of each frame's header in the source is overwritten.
    """
    frames, out, from_, to = source.data, target.data, source.pointer, target.pointer
    key, limit, held, v1 = state.key, state.limit, state.held, state.dialect == _V1
    nonce, nonce_octets = state.nonce, bytearray(state.prefix + _NO_NONCE)
    last = nonce + state.batch
    nonce_pointer = address("unsigned char[]", nonce_octets)
    capacity, messages, octets = len(out), 0, 0
    stop = _INCOMPLETE
    while end - start >= SHORT_HEADER:
        if nonce == last:
            stop = Stop.FULL
            break
        # 1.0: size first, flags last, of which MORE alone means something; FF is the long form.
        flags = frames[start]
        long = flags == spec.V1_LONG if v1 else flags & LONG
        body = start + (spec.V1_LONG_HEADER if v1 else spec.LONG_HEADER) if long else start + SHORT_HEADER
        if body > end:
            break
        if v1:
            size = (U64.unpack_from(frames, start + 1)[0] if long else flags) - 1
            flags = frames[body - 1] & MORE
        else:
            size = U64.unpack_from(frames, start + 1)[0] if long else frames[start + 1]
            if flags & _UNUSUAL_IN_PLAIN and flags & ~LONG != COMMAND:
                stop = Stop.FRAMING
                break
        if not 0 <= size <= FRAME_MAX:
            stop = Stop.FRAMING
            break
        weight = body - start + size
        if held + weight > limit:
            stop = Stop.TOO_LARGE
            break
        if body + size > end:
            break
        if flags & COMMAND:
            stop = Stop.COMMAND
            break
        sealed = size + MESSAGE_OVERHEAD
        header = SHORT_HEADER if sealed <= SHORT_BODY_MAX else spec.LONG_HEADER
        message_at = at + header
        if message_at + sealed > capacity:
            stop = Stop.FULL
            break
        nonce += 1
        more = flags & MORE
        frames[body - 1] = more
        if header == SHORT_HEADER:
            out[at], out[at + 1] = 0, sealed
        else:
            LONG_LAYOUT.pack_into(out, at, LONG, sealed)
        NAME_NONCE.pack_into(out, message_at, MESSAGE_NAME, nonce)
        U64.pack_into(nonce_octets, _PREFIX, nonce)
        seal_at(to + (message_at + BOX_AT), from_ + (body - 1), size + 1, nonce_pointer, key)
        at = message_at + sealed
        start = body + size
        octets += size
        if more:
            held += weight
        else:
            held = 0
            messages += 1
    state.nonce = nonce
    state.held = held
    return _new_tuple(Batch, (start, at, messages, octets, stop))


def _reversed(counter: int) -> int:
    """Read big-endian what a client writes that counts in little-endian order. Nothing follows the largest counter."""
    return int.from_bytes(counter.to_bytes(8, "little"), "big") if counter <= _NONCE_MAX else counter


__all__ = [
    "CodecState",
    "RecordState",
    "answer_hello_untrusted",
    "open_frames",
    "open_initiate_untrusted",
    "open_records",
    "seal_frames",
    "seal_octets",
    "seal_records",
]
