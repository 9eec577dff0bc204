"""The codec's states and functions in C, with the names of those in Python. ImportError where it was not built."""

from curveproxy.wire import sodium
from curveproxy.wire.codec._codec import (
    CodecState,
    RecordState,
    open_frames,
    open_records,
    seal_frames,
    seal_octets,
    seal_records,
    setup,
)
from curveproxy.wire.codec.state import Batch, Stop
from curveproxy.wire.zmtp.frame import Dialect

setup(
    (
        sodium.address_of("crypto_box_open_easy_afternm"),
        sodium.address_of("crypto_box_easy_afternm"),
        sodium.address_of(sodium.AEGIS_OPEN),
        sodium.address_of(sodium.AEGIS_SEAL),
        sodium.address_of(sodium.BLAKE2B),
    ),
    Batch,
    tuple(Stop),
    tuple(Dialect),
)

__all__ = [
    "CodecState",
    "RecordState",
    "open_frames",
    "open_records",
    "seal_frames",
    "seal_octets",
    "seal_records",
]
