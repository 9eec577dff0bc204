"""The codec's state and functions in C, with the names of those in Python. ImportError where it was not built."""

from curveproxy.wire import sodium
from curveproxy.wire.codec._codec import CodecState, open_frames, seal_frames, setup
from curveproxy.wire.codec.state import Batch, Stop
from curveproxy.wire.zmtp.frame import Dialect

setup(
    sodium.address_of("crypto_box_open_easy_afternm"),
    sodium.address_of("crypto_box_easy_afternm"),
    Batch,
    tuple(Stop),
    tuple(Dialect),
)

__all__ = ["CodecState", "open_frames", "seal_frames"]
