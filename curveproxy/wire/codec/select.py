"""The choice between the codec's two twins, which do all work on frames, and a server's two turns of the handshake.

``open_frames`` turns CURVE MESSAGEs into plain frames, ``seal_frames`` plain frames into MESSAGEs, each over a whole
buffer. ``open_records`` and ``seal_records`` do so with records. They do the ordinary case only: at the first frame
that is not ordinary they stop and say why, and their caller judges. ``answer_hello_untrusted`` and
``open_initiate_untrusted`` are the turns: from HELLO to WELCOME, and INITIATE opened.

The twin in C is chosen where it was built and does what the one in Python does on a fixed batch. ``CURVEPROXY_CODEC``,
c or python, demands one of them.
"""

from importlib import import_module
from itertools import product
from os import environ
from types import ModuleType

from curveproxy.wire import spec
from curveproxy.wire.codec import python
from curveproxy.wire.codec.framing import plain_frame
from curveproxy.wire.codec.record_state import STREAM_BATCH, STREAM_BATCH_IN_PYTHON, RecordCall, RecordState
from curveproxy.wire.codec.state import (
    BATCH_FRAMES,
    BATCH_FRAMES_IN_PYTHON,
    Batch,
    Buffer,
    CodecCall,
    CodecState,
)
from curveproxy.wire.codec.suites import available_suites
from curveproxy.wire.curve import box
from curveproxy.wire.curve.client import CurveInitiator
from curveproxy.wire.curve.handshake import AnswerHello, OpenInitiate
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.curve.server import GREETING
from curveproxy.wire.errors import CodecError, PeerError
from curveproxy.wire.zmtp.frame import Dialect

VARIABLE = "CURVEPROXY_CODEC"

_PARTS = ((b"", 1), (b"one", 0), (bytes(253), 0), (bytes(range(256)), 1), (bytes(700), 1))
_ROOM = 2000
_COMMAND = plain_frame(spec.COMMAND, b"\4PING\0\0", Dialect.V3)


def trial(twin: ModuleType) -> list[object]:
    """What a twin makes of a fixed batch, and the states that it leaves: sealed, opened, and stopped by damage."""
    found: list[object] = []

    def turned(turn: CodecCall, source: Buffer, end: int, dialect: Dialect) -> tuple[Batch, Buffer]:
        state = twin.CodecState(bytes(range(spec.KEY_SIZE)), box.MESSAGE_FROM_SERVER, 5, _ROOM, dialect)
        target = Buffer(_ROOM)
        batch = turn(state, source, 0, end, target, 0)
        found.extend((batch, bytes(target.view[: batch.at]), repr(state)))
        return batch, target

    for dialect in Dialect:
        plain = b"".join(plain_frame(more, body, dialect) for body, more in _PARTS)
        batch, sealed = turned(twin.seal_frames, Buffer(bytearray(plain)), len(plain), dialect)
        second = spec.SHORT_HEADER + spec.MESSAGE_OVERHEAD  # where the second frame begins
        # The last is damage to nothing. MORE in a header is no damage to the first frame, whose box agrees.
        for damaged, bit in ((0, 0x20), (12, 0x20), (batch.at - 1, 0x20), (0, spec.MORE), (second, spec.MORE), (0, 0)):
            sealed.data[damaged] ^= bit
            turned(twin.open_frames, sealed, batch.at, dialect)
            sealed.data[damaged] ^= bit
    state = twin.CodecState(bytes(range(spec.KEY_SIZE)), box.MESSAGE_FROM_CLIENT, 5, _ROOM)
    single, target = Buffer(bytearray(state.seal_one(spec.INNER_COMMAND, b"\4PING\0\0"))), Buffer(_ROOM)
    found.extend((single.data, state.open_one(single, 0, len(single), target, 0), target.data))
    return found


def trial_of_records(twin: ModuleType) -> list[object]:
    """The same of records: of each suite, padded and not, from and to peers of each age."""
    found: list[object] = []

    def turned(turn: RecordCall, state: RecordState, source: Buffer, end: int) -> Buffer:
        target = Buffer(_ROOM)
        batch = turn(state, source, 0, end, target, 0)
        counts = state.counter, state.since_step, state.held, state.body_left, state.more, state.command, state.rest
        found.extend((batch, bytes(target.view[: batch.at]), counts))
        return Buffer(bytearray(target.view[: batch.at] or b"\0"))

    for suite in available_suites():
        for dialect, pad_to in product(Dialect, (0, 64)):
            chain = bytes(range(spec.KEY_SIZE))
            sealing, opening = (twin.RecordState(chain, suite, _ROOM, dialect, pad_to) for _ in range(2))
            plain = b"".join(plain_frame(more, body, dialect) for body, more in _PARTS)
            records = turned(twin.seal_records, sealing, Buffer(bytearray(plain)), len(plain))
            last = turned(twin.seal_octets, sealing, Buffer(bytearray(_COMMAND)), len(_COMMAND))
            records = Buffer(records.data + last.data)
            for damaged in (len(records) - 1, 0):
                records.data[damaged] ^= 1
                turned(twin.open_records, opening, records, len(records))
                records.data[damaged] ^= 1
    return found


def trial_of_handshake(twin: ModuleType) -> list[object]:
    """The same of the handshake: each turn, and what is wrong with it when an octet of each field is."""
    found: list[object] = []
    other, server, client, client_transient, transient = (KeyPair.from_secret(bytes([n] * 32)) for n in range(1, 6))
    rotating, binding, chance = (bytes(spec.KEY_SIZE), bytearray(range(spec.KEY_SIZE))), b"a socket", bytes(range(32))
    rest_of_hello = (other, server), rotating[1], binding, transient, chance

    def turned(name: str, body: bytes, damaged: int | None, *rest: object) -> None:
        if damaged is not None:
            body = b"".join((body[:damaged], bytes([body[damaged] ^ 1]), body[damaged + 1 :]))
        try:
            found.append(getattr(twin, name)(body, *rest))
        except PeerError as error:
            found.append((error.fault, error.detail))

    initiator = CurveInitiator(server.public, client, client_transient, bytes(spec.LONG_NONCE), {"Identity": b"me"})
    hello = initiator.receive_untrusted(GREETING)[spec.SHORT_HEADER :]
    for damaged in (None, 6, 8, 80, 112, 120):  # version, padding, C', nonce, box
        turned("answer_hello_untrusted", hello, damaged, *rest_of_hello)
    _, nonce, welcome = python.answer_hello_untrusted(hello, *rest_of_hello)
    initiate = initiator.receive_untrusted(welcome)[spec.LONG_HEADER :]
    for damaged in (None, 9, 105, 113):  # cookie, nonce, box
        turned("open_initiate_untrusted", initiate, damaged, server.public, rotating, binding, nonce)
    turned("open_initiate_untrusted", initiate, None, other.public, rotating, binding, nonce)
    return found


def _choose() -> tuple[ModuleType, str, str]:
    """The twin, its name, and why it is not the one that was built. Raises CodecError."""
    wanted = environ.get(VARIABLE, "")
    if wanted not in ("", "c", "python"):
        raise CodecError(f"{VARIABLE} is {wanted!r}: it is c, python, or not set")
    if wanted == "python":
        return python, "python", ""
    try:
        native = import_module("curveproxy.wire.codec.native")
    except ImportError as error:
        if wanted:
            raise CodecError(f"{VARIABLE} demands the C codec, which was not built: install with a compiler") from error
        return python, "python", ""
    if all(each(native) == each(python) for each in (trial, trial_of_records, trial_of_handshake)):
        return native, "c", ""
    if wanted:
        raise CodecError(f"{VARIABLE} demands the C codec, which is not the one of this version: install again")
    return python, "python", "the C codec does not do what the one in Python does"


_TWIN, CODEC, CODEC_FAULT = _choose()
CodecState = _TWIN.CodecState  # type: ignore[misc]  # noqa: F811  # both have the same members
open_frames: CodecCall = _TWIN.open_frames
seal_frames: CodecCall = _TWIN.seal_frames
BATCH = BATCH_FRAMES if CODEC == "c" else BATCH_FRAMES_IN_PYTHON

RecordState = _TWIN.RecordState  # type: ignore[misc]  # noqa: F811
open_records: RecordCall = _TWIN.open_records
seal_records: RecordCall = _TWIN.seal_records
seal_octets: RecordCall = _TWIN.seal_octets
BATCH_OF_STREAM = STREAM_BATCH if CODEC == "c" else STREAM_BATCH_IN_PYTHON

answer_hello_untrusted: AnswerHello = _TWIN.answer_hello_untrusted
open_initiate_untrusted: OpenInitiate = _TWIN.open_initiate_untrusted

__all__ = [
    "BATCH",
    "BATCH_OF_STREAM",
    "CODEC",
    "CODEC_FAULT",
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
