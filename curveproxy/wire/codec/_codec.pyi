from curveproxy.wire.codec.record_state import (
    RecordState as RecordState,
)  # the types in C have the same members, but no keys
from curveproxy.wire.codec.state import Batch, Buffer, Stop
from curveproxy.wire.codec.state import CodecState as CodecState
from curveproxy.wire.curve.handshake import OpenedInitiate
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import Dialect

def setup(
    functions: tuple[int, ...],
    batch: type[Batch],
    stops: tuple[Stop, ...],
    dialects: tuple[Dialect, ...],
    error: type[PeerError],
    flaws: tuple[tuple[Fault, str], ...],
    /,
) -> None: ...
def open_frames(state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int, /) -> Batch: ...
def seal_frames(state: CodecState, source: Buffer, start: int, end: int, target: Buffer, at: int, /) -> Batch: ...
def open_records(state: RecordState, source: Buffer, start: int, end: int, target: Buffer, at: int, /) -> Batch: ...
def seal_records(state: RecordState, source: Buffer, start: int, end: int, target: Buffer, at: int, /) -> Batch: ...
def seal_octets(state: RecordState, source: Buffer, start: int, end: int, target: Buffer, at: int, /) -> Batch: ...
def answer_hello_untrusted(
    body: bytes,
    servers: tuple[KeyPair, ...],
    rotating: bytes | bytearray,
    binding: bytes,
    transient: KeyPair,
    chance: bytes,
    /,
) -> tuple[KeyPair, bytes, bytes]: ...
def open_initiate_untrusted(
    body: bytes, server: bytes, rotating: tuple[bytes | bytearray, ...], binding: bytes, hello_nonce: bytes, /
) -> OpenedInitiate: ...
