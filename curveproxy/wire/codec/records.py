"""Records in Python: the definition. The twin in C (``records.h``) does the same, octet by octet.

A record is a box of whatever part of the plain stream of frames there was: where it ends means nothing. A batch is
sealed into as few records as hold it, and the last one ends its key. A record is opened straight into the target, and
what the scan passes goes on, whole frames or not.

# record: header[2] Box [plain[n]]    header: REKEY 8000, n - 1; the box is longer by 16 (suite 1) or 32 (suite 2)
# padded: plain is content[m] zeros[n - 2 - m] m[2]
# nonce, suite 1: "curveproxy-rec"[14] header[2] counter[8]
# nonce, suite 2: "curveproxy-rec"[14] zeros[10] counter[8], and the header is the associated data
"""

import struct
from typing import Any

from curveproxy.wire import sodium, spec
from curveproxy.wire.codec.record_state import RECORD_WEIGHT, RecordState
from curveproxy.wire.codec.state import Batch, Buffer, Stop
from curveproxy.wire.codec.stream import Scan
from curveproxy.wire.codec.suites import Suite
from curveproxy.wire.spec import PAD_SIZE, RECORD_HEADER, RECORD_MAX, REKEY
from curveproxy.wire.zmtp.frame import Dialect

_U16 = struct.Struct(">H")
_XSALSA_NONCE = struct.Struct(">14sHQ")
_AEGIS_NONCE = struct.Struct(">14s10xQ")
_NONCE_PREFIX = b"curveproxy-rec"
_XSALSA, _V1, _INCOMPLETE = Suite.XSALSA20_POLY1305, Dialect.V1, Stop.INCOMPLETE

# To a 1.0 peer a header may have 8 octets more than it had, once in 256 octets. So what comes out of records stands so
# far ahead of what goes on: a 32nd part of it, and one header more.
_GROWTH, _HEADER_GROWTH = 32, 16
_new_tuple = tuple.__new__  # as in python.py


def seal_records(state: RecordState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """Seal what is in order of the plain stream ``source[start:end]`` as records at ``target[at:]``.

    A frame in another form than the stream has is written anew, in the source. FULL: the target is, or there were
    ``batch`` frames. At a COMMAND, which is not consumed, ``state.command`` is its place in the source.
    """
    reach = min(end, start + _room(state, len(target) - at))
    scan = Scan(state, source.data, start, start, opened=False)
    stop = scan.advance_untrusted(reach)
    at = _seal(state, source, start, scan.write, target, at)
    if stop == _INCOMPLETE and reach < end:
        stop = Stop.FULL
    return _new_tuple(Batch, (scan.read, at, scan.messages, scan.octets, stop))


def seal_octets(state: RecordState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """Seal all of ``source[start:end]``: frames of our own, which are in order. FULL: nothing, for lack of room.

    Raises ValueError in the middle of a frame.
    """
    if state.body_left:
        raise ValueError("nothing can be put into a frame")
    if end - start > _room(state, len(target) - at):
        return _new_tuple(Batch, (start, at, 0, 0, Stop.FULL))
    return _new_tuple(Batch, (end, _seal(state, source, start, end, target, at), 0, 0, _INCOMPLETE))


def open_records(state: RecordState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """Open the records in ``source[start:end]``, and let what is in order of the plain stream go on at ``target[at:]``.

    What does not go on yet is ``state.rest``, and comes first at the next call: after any stop but INCOMPLETE there
    may be something, even where no record is. At a COMMAND, which is consumed, ``state.command`` is its place in the
    target, behind what goes on. FULL: the target has no room for the next record, or there was enough for one batch.
    """
    records, plain = source.data, target.data
    read = at if state.dialect != _V1 else at + (end - start + len(state.rest)) // _GROWTH + _HEADER_GROWTH
    opened = read + len(state.rest)
    if opened > len(plain):
        return _new_tuple(Batch, (start, at, 0, 0, Stop.FULL))
    plain[read:opened] = state.rest
    scan = Scan(state, plain, read, at, opened=True)
    stop = scan.advance_untrusted(opened)
    while stop == _INCOMPLETE and end - start >= RECORD_HEADER:
        (header,) = _U16.unpack_from(records, start)
        size = (header & ~REKEY) + 1
        behind = start + RECORD_HEADER + size + state.tag
        if behind > end:
            break
        if opened + size > len(plain) or not scan.frames:
            stop = Stop.FULL
            break
        content = _open_one(state, header, source, start, target, opened)
        if content is None:
            stop = Stop.RECORD
            break
        start, opened = behind, opened + content
        scan.frames = max(0, scan.frames - RECORD_WEIGHT)
        stop = scan.advance_untrusted(opened)
    state.rest = bytes(plain[scan.read : opened])
    return _new_tuple(Batch, (start, scan.write, scan.messages, scan.octets, stop))


def _room(state: RecordState, room: int) -> int:
    """How many octets of plain stream surely fit into so much of a target."""
    whole = RECORD_HEADER + RECORD_MAX + state.tag
    most = room // whole * (RECORD_MAX - PAD_SIZE if state.pad_to else RECORD_MAX)
    last = room % whole - RECORD_HEADER - state.tag
    if state.pad_to:
        last = last // state.pad_to * state.pad_to - PAD_SIZE
    return most + max(0, last)


def _seal(state: RecordState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> int:
    """Seal ``source[start:end]`` at ``target[at:]``, which has room for it. Returns where the records end."""
    most = RECORD_MAX - PAD_SIZE if state.pad_to else RECORD_MAX
    while start < end:
        behind = min(end, start + most)
        size, place = behind - start, source.pointer + start
        if state.pad_to:
            padded = _padded(source.data[start:behind], state.pad_to)
            size, place = len(padded), sodium.address("unsigned char[]", padded)
        header = size - 1 | (REKEY if behind == end else 0)
        _seal_one(state, header, place, size, target, at)
        at += RECORD_HEADER + size + state.tag
        start = behind
    return at


def _padded(content: bytearray, pad_to: int) -> bytearray:
    size = len(content) + PAD_SIZE
    size = min(RECORD_MAX, size + -size % pad_to)
    padded = bytearray(size)
    padded[: len(content)] = content
    _U16.pack_into(padded, size - PAD_SIZE, len(content))
    return padded


def _seal_one(state: RecordState, header: int, plain: Any, size: int, target: Buffer, at: int) -> None:
    """Seal one record. plain: an address."""
    _U16.pack_into(target.data, at, header)
    place, box = target.pointer + at, target.pointer + (at + RECORD_HEADER)
    if state.suite == _XSALSA:
        sodium.seal_at(box, plain, size, _XSALSA_NONCE.pack(_NONCE_PREFIX, header, state.counter), state.key)
    else:
        nonce = _AEGIS_NONCE.pack(_NONCE_PREFIX, state.counter)
        sodium.seal_aegis_at(box, plain, size, place, nonce, state.key)
    _count(state, header)


def _open_one(state: RecordState, header: int, source: Buffer, start: int, target: Buffer, at: int) -> int | None:
    """Open the record at ``source[start:]`` into ``target[at:]``.

    Returns how many octets of stream were in it; None where it is none, and nothing is changed then.
    """
    if not header & REKEY and state.since_step >= spec.RECORDS_A_KEY - 1:
        return None
    size = (header & ~REKEY) + 1
    to, place, box = target.pointer + at, source.pointer + start, source.pointer + (start + RECORD_HEADER)
    if state.suite == _XSALSA:
        nonce = _XSALSA_NONCE.pack(_NONCE_PREFIX, header, state.counter)
        failed = sodium.open_at(to, box, size + state.tag, nonce, state.key)
    else:
        nonce = _AEGIS_NONCE.pack(_NONCE_PREFIX, state.counter)
        failed = sodium.open_aegis_at(to, box, size + state.tag, place, nonce, state.key)
    if failed:
        return None
    content = size
    if state.pad_to:
        if size < PAD_SIZE:
            return None
        (content,) = _U16.unpack_from(target.data, at + size - PAD_SIZE)
        if content > size - PAD_SIZE:
            return None
    _count(state, header)
    return content


def _count(state: RecordState, header: int) -> None:
    """A record has been sealed or opened."""
    state.counter += 1
    if header & REKEY:
        state.step()
    else:
        state.since_step += 1


__all__ = ["RecordState", "open_records", "seal_octets", "seal_records"]
