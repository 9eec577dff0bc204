"""One frame by itself: a command of ours, or a frame at which a batch stopped."""

from curveproxy.wire import sodium, spec
from curveproxy.wire.codec.framing import BOX_AT, NONCE_AT
from curveproxy.wire.codec.state import Buffer, CodecState
from curveproxy.wire.curve.keys import short_nonce
from curveproxy.wire.zmtp.frame import frame, read_header


def seal_one(state: CodecState, flags: int, body: bytes) -> bytes:
    """Seal one body as a MESSAGE, and return its whole frame. flags: those in the box."""
    state.nonce += 1
    nonce = short_nonce(state.nonce)
    sealed = sodium.seal(bytes([flags]) + body, state.prefix + nonce, state.key)
    return frame(0, spec.MESSAGE_NAME + nonce + sealed)


def open_one(state: CodecState, source: Buffer, start: int, size: int, target: Buffer, at: int) -> tuple[int, int]:
    """Open the frame of ``size`` octets at ``source[start:]`` into ``target[at:]``: the flags in its box, then data.

    The target must have room for ``size`` octets there. Returns the nonce that the frame names, and how many octets its
    box held: 0 when it is no MESSAGE, or does not open with that nonce. The state is not changed.
    """
    header = read_header(source.data, start, start + size)
    assert header is not None
    body, end, _ = header
    octets = bytes(source.view[body + NONCE_AT : body + BOX_AT])
    sealed, opened = end - (body + BOX_AT), 0
    if source.data.startswith(spec.MESSAGE_NAME, body):
        nonce = state.prefix + octets
        if not sodium.open_at(target.pointer + at, source.pointer + (body + BOX_AT), sealed, nonce, state.key):
            opened = sealed - spec.MAC_SIZE
    return int.from_bytes(octets, "little" if state.little_endian else "big"), opened
