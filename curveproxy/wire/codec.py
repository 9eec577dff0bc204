"""All per-frame work after the handshake: two functions, each over a whole buffer.

``open_frames`` turns CURVE MESSAGEs into plain frames, ``seal_frames`` plain frames into MESSAGEs. They do the
ordinary case only; at the first thing that is not they stop and say why, and their caller judges. A box is opened
straight into the target, at the place where the flags within it fall on the last octet of the plain frame's header,
which is then written over them; sealing does the same the other way round. So nothing is copied.

# MESSAGE, 33 + n octets: name[8] nonce[8] Box [flags[1] + data[n]]
"""

import struct
from contextlib import suppress
from enum import IntEnum

from attrs import define, field

from curveproxy.wire import box, sodium, spec
from curveproxy.wire.frame import LONG_HEADER, Dialect, frame

CODEC = "python"

NAME_NONCE = struct.Struct(">8sQ")
U64 = struct.Struct(">Q")
_NONCE_PREFIX = 16
_BOX_AT = len(spec.MESSAGE_NAME) + spec.SHORT_NONCE
_NONCE_MAX = 2**64 - 1
_V1_SHORT_MAX = 253


class Stop(IntEnum):
    """Why a batch ended. All but the first three are about the frame at which it stopped, which was not consumed."""

    INCOMPLETE = 0  # the source holds no further whole frame
    FULL = 1  # the next frame does not fit into what is left of the target
    COMMAND = 2  # open: consumed, its body stands in the target (``command``); seal: not consumed, but whole
    FRAMING = 3
    OUTER_MORE = 4
    TOO_SHORT = 5
    TOO_LARGE = 6
    NOT_MESSAGE = 7
    NONCE = 8  # not the very next one
    BOX = 9


class Buffer:
    """A piece of memory and its address, which costs more to ask for than a frame costs to open."""

    __slots__ = ("data", "pointer", "view")

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.view = memoryview(self.data)
        self.pointer = sodium.address("unsigned char[]", self.data)

    def __len__(self) -> int:
        return len(self.data)


@define
class Direction:
    """One direction of a session: owned by one pump, unknown to the other.

    key: the session's, 32 octets.
    prefix: ``box.MESSAGE_FROM_CLIENT`` or ``box.MESSAGE_FROM_SERVER``.
    nonce: the last one that was used.
    limit: the largest message in octets, all its parts and their plain headers together.
    dialect: how the plain side frames.
    little_endian: the sealing side writes its nonces so, as libzmq 4.0 does.
    held: octets of the message that has begun and not ended, as they stand on the plain side.
    discarding: what is opened is thrown away, up to the end of the message that it belongs to.
    command: where in the target the body of a command stands: offset, size.
    """

    key: bytes = field(repr=False)
    prefix: bytes
    nonce: int
    limit: int
    dialect: Dialect = Dialect.V3
    little_endian: bool = False
    held: int = 0
    discarding: bool = False
    command: tuple[int, int] = (0, 0)
    nonce_octets: bytearray = field(init=False, repr=False)
    nonce_pointer: object = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.nonce_octets = bytearray(self.prefix + bytes(spec.SHORT_NONCE))
        self.nonce_pointer = sodium.address("unsigned char[]", self.nonce_octets)


Batch = tuple[int, int, int, int, Stop]


def open_frames(state: Direction, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """Open the MESSAGEs in ``source[start:end]`` into plain frames at ``target[at:]``.

    Returns (start, at, messages, octets, stop): where source and target stand now, how many messages ended and how
    many octets of data came out. The next nonce is the only one that is opened (senders count without gaps).
    """
    frames, out, from_, to = source.data, target.data, source.pointer, target.pointer
    key, limit, held, dialect, discarding = state.key, state.limit, state.held, state.dialect, state.discarding
    nonce_octets, nonce_pointer = state.nonce_octets, state.nonce_pointer
    expected = _reversed(state.nonce + 1) if state.little_endian else state.nonce + 1
    capacity, messages, octets, opened = len(out), 0, 0, 0
    short_max, long_header = (_V1_SHORT_MAX, 10) if dialect == Dialect.V1 else (spec.SHORT_BODY_MAX, spec.LONG_HEADER)
    stop = Stop.INCOMPLETE
    while end - start >= spec.SHORT_HEADER:
        flags = frames[start]
        if flags & ~(spec.LONG | spec.COMMAND):
            stop = Stop.OUTER_MORE if flags & ~spec.LONG == spec.MORE else Stop.FRAMING
            break
        if flags & spec.LONG:
            body = start + spec.LONG_HEADER
            if body > end:
                break
            size = U64.unpack_from(frames, start + 1)[0]
        else:
            body = start + spec.SHORT_HEADER
            size = frames[start + 1]
        if size < spec.MESSAGE_OVERHEAD:
            stop = Stop.TOO_SHORT
            break
        plain = size - spec.MESSAGE_OVERHEAD
        header = spec.SHORT_HEADER if plain <= short_max else long_header
        if held + header + plain > limit:
            stop = Stop.FRAMING if size > spec.FRAME_MAX else Stop.TOO_LARGE
            break
        if body + size > end:
            break
        name, nonce = NAME_NONCE.unpack_from(frames, body)
        if name != spec.MESSAGE_NAME:
            stop = Stop.NOT_MESSAGE
            break
        if nonce != expected:
            stop = Stop.NONCE
            break
        if at + header + plain > capacity:
            stop = Stop.FULL
            break
        nonce_octets[_NONCE_PREFIX:] = frames[body + 8 : body + _BOX_AT]
        inner_at = at + header - 1
        if sodium.open_at(to + inner_at, from_ + (body + _BOX_AT), size - _BOX_AT, nonce_pointer, key):
            stop = Stop.BOX
            break
        start = body + size
        opened += 1
        expected = _reversed(state.nonce + opened + 1) if state.little_endian else expected + 1
        inner = out[inner_at]
        if inner & spec.INNER_COMMAND:
            state.command = inner_at + 1, plain
            stop = Stop.COMMAND
            break
        more = inner & spec.INNER_MORE
        if discarding:
            discarding = bool(more)
            continue
        if dialect == Dialect.V1:
            out[inner_at] = more
            if header == spec.SHORT_HEADER:
                out[at] = plain + 1
            else:
                LONG_HEADER.pack_into(out, at, 0xFF, plain + 1)
        elif header == spec.SHORT_HEADER:
            out[at], out[inner_at] = more, plain
        else:
            LONG_HEADER.pack_into(out, at, more | spec.LONG, plain)
        at = inner_at + 1 + plain
        octets += plain
        if more:
            held += header + plain
        else:
            held = 0
            messages += 1
    state.nonce += opened
    state.held, state.discarding = held, discarding
    return start, at, messages, octets, stop


def seal_frames(state: Direction, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """Seal the plain frames in ``source[start:end]`` as MESSAGEs at ``target[at:]``; see ``open_frames``.

    The last octet of each frame's header in the source is overwritten.
    """
    frames, out, from_, to = source.data, target.data, source.pointer, target.pointer
    key, limit, held, v1 = state.key, state.limit, state.held, state.dialect == Dialect.V1
    nonce_octets, nonce_pointer, nonce = state.nonce_octets, state.nonce_pointer, state.nonce
    capacity, messages, octets = len(out), 0, 0
    stop = Stop.INCOMPLETE
    while end - start >= spec.SHORT_HEADER:
        # 1.0: size first, flags last, of which MORE alone means something; FF is the long form.
        flags = frames[start]
        long = flags == 0xFF if v1 else flags & spec.LONG
        body = start + (10 if v1 else spec.LONG_HEADER) if long else start + spec.SHORT_HEADER
        if body > end:
            break
        if v1:
            size = (U64.unpack_from(frames, start + 1)[0] if long else flags) - 1
            flags = frames[body - 1] & spec.MORE
        else:
            size = U64.unpack_from(frames, start + 1)[0] if long else frames[start + 1]
            if flags & ~(spec.MORE | spec.LONG) and flags & ~spec.LONG != spec.COMMAND:
                stop = Stop.FRAMING
                break
        if not 0 <= size <= spec.FRAME_MAX:
            stop = Stop.FRAMING
            break
        weight = body - start + size
        if held + weight > limit:
            stop = Stop.TOO_LARGE
            break
        if body + size > end:
            break
        if flags & spec.COMMAND:
            stop = Stop.COMMAND
            break
        sealed = size + spec.MESSAGE_OVERHEAD
        header = spec.SHORT_HEADER if sealed <= spec.SHORT_BODY_MAX else spec.LONG_HEADER
        message_at = at + header
        if message_at + sealed > capacity:
            stop = Stop.FULL
            break
        nonce += 1
        more = flags & spec.MORE
        frames[body - 1] = more
        if header == spec.SHORT_HEADER:
            out[at], out[at + 1] = 0, sealed
        else:
            LONG_HEADER.pack_into(out, at, spec.LONG, sealed)
        NAME_NONCE.pack_into(out, message_at, spec.MESSAGE_NAME, nonce)
        nonce_octets[_NONCE_PREFIX:] = out[message_at + 8 : message_at + _BOX_AT]
        sodium.seal_at(to + (message_at + _BOX_AT), from_ + (body - 1), size + 1, nonce_pointer, key)
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
    return start, at, messages, octets, stop


def seal_one(state: Direction, flags: int, body: bytes) -> bytes:
    """One body, with its inner flags, as a MESSAGE's whole frame."""
    state.nonce += 1
    nonce = box.short_nonce(state.nonce)
    sealed = sodium.seal(bytes([flags]) + body, state.prefix + nonce, state.key)
    return frame(0, spec.MESSAGE_NAME + nonce + sealed)


def open_one(state: Direction, source: Buffer, start: int, size: int) -> tuple[int, bytes]:
    """The nonce that the MESSAGE of ``size`` octets at ``source[start:]`` names, and what its box holds.

    That is its inner flags and its data; nothing when it is no MESSAGE, or does not open with that nonce. ``state``
    stays as it is.
    """
    body = start + (spec.LONG_HEADER if source.data[start] & spec.LONG else spec.SHORT_HEADER)
    octets = bytes(source.view[body + len(spec.MESSAGE_NAME) : body + _BOX_AT])
    inner = b""
    if source.data.startswith(spec.MESSAGE_NAME, body):
        with suppress(sodium.BoxError):
            inner = sodium.open_box(bytes(source.view[body + _BOX_AT : start + size]), state.prefix + octets, state.key)
    return int.from_bytes(octets, "little" if state.little_endian else "big"), inner


def frame_size(source: Buffer, start: int, end: int, dialect: Dialect) -> int:
    """How many octets the frame at ``source[start:end]`` claims to have, header and all; 0 while that is not seen.

    CURVE's own frames are those of ``Dialect.V3``.
    """
    if end - start < spec.SHORT_HEADER:
        return 0
    first, second = source.data[start], source.data[start + 1]
    if dialect == Dialect.V1 and first != 0xFF:
        return 1 + first
    if dialect != Dialect.V1 and not first & spec.LONG:
        return spec.SHORT_HEADER + second
    if end - start < spec.LONG_HEADER:
        return 0
    size: int = U64.unpack_from(source.data, start + 1)[0]
    return spec.LONG_HEADER + size


def _reversed(counter: int) -> int:
    """A counter as a client shows it that counts in little-endian order, read big-endian; none behind the last."""
    return int.from_bytes(counter.to_bytes(8, "little"), "big") if counter <= _NONCE_MAX else counter
