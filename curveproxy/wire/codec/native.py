"""The codec's states and functions in C, and the handshake's, with the names of those in Python.

ImportError where they were not built.
"""

from curveproxy.wire import sodium
from curveproxy.wire.codec._codec import (
    CodecState,
    RecordState,
    answer_hello_untrusted,
    open_frames,
    open_initiate_untrusted,
    open_records,
    seal_frames,
    seal_octets,
    seal_records,
    setup,
)
from curveproxy.wire.codec.state import Batch, Stop
from curveproxy.wire.curve.handshake import FLAWS
from curveproxy.wire.errors import PeerError
from curveproxy.wire.zmtp.frame import Dialect

# In the order of codec_crypto in wire.h.
FUNCTIONS = (
    "crypto_box_open_easy_afternm",
    "crypto_box_easy_afternm",
    "crypto_core_hsalsa20",
    "crypto_stream_salsa20_xor_ic",
    "crypto_onetimeauth_poly1305",
    "crypto_onetimeauth_poly1305_verify",
    sodium.AEGIS_OPEN,
    sodium.AEGIS_SEAL,
    sodium.BLAKE2B,
    "crypto_box_beforenm",
)

# What is returned, and what is raised.
RESULTS = (Batch, tuple(Stop), tuple(Dialect), PeerError, FLAWS)

setup(tuple(map(sodium.address_of, FUNCTIONS)), *RESULTS)

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
