"""The codec's two functions in C, with the face of those in Python. ImportError where it was not built."""

from curveproxy.wire import sodium
from curveproxy.wire.codec import _codec
from curveproxy.wire.codec.state import Batch, Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect

_codec.setup(sodium.address_of("crypto_box_open_easy_afternm"), sodium.address_of("crypto_box_easy_afternm"))

STOPS = tuple(Stop)


def open_frames(state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """See ``python.open_frames``."""
    start, at, messages, octets, stop, state.nonce, state.held, state.discarding, *command = _codec.open_frames(
        source.data,
        start,
        end,
        target.data,
        at,
        state.key,
        state.prefix,
        state.nonce,
        state.limit,
        state.held,
        state.dialect == Dialect.V1,
        state.little_endian,
        state.discarding,
        state.batch,
    )
    if stop == Stop.COMMAND:
        state.command = command[0], command[1]
    return Batch(start, at, messages, octets, STOPS[stop])


def seal_frames(state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int) -> Batch:
    """See ``python.seal_frames``."""
    start, at, messages, octets, stop, state.nonce, state.held, *_ = _codec.seal_frames(
        source.data,
        start,
        end,
        target.data,
        at,
        state.key,
        state.prefix,
        state.nonce,
        state.limit,
        state.held,
        state.dialect == Dialect.V1,
        False,
        False,
        state.batch,
    )
    return Batch(start, at, messages, octets, STOPS[stop])
