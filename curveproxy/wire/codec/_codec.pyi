_Batch = tuple[int, int, int, int, int, int, int, bool, int, int]

def setup(open_box: int, seal_box: int, /) -> None: ...
def open_frames(
    source: bytearray,
    start: int,
    end: int,
    target: bytearray,
    at: int,
    key: bytes,
    prefix: bytes,
    nonce: int,
    limit: int,
    held: int,
    v1: bool,
    little_endian: bool,
    discarding: bool,
    frames: int,
    /,
) -> _Batch: ...
def seal_frames(
    source: bytearray,
    start: int,
    end: int,
    target: bytearray,
    at: int,
    key: bytes,
    prefix: bytes,
    nonce: int,
    limit: int,
    held: int,
    v1: bool,
    little_endian: bool,
    discarding: bool,
    frames: int,
    /,
) -> _Batch: ...
