"""What clients without CURVE say in a handshake, unit by unit: each waits for an answer before its next."""

from collections.abc import Mapping

from support import old, zmtp
from support.old import TYPES

NAME = b"me"


def signature(size: int = 1) -> bytes:
    """Ten octets. size: of the sender's identity and one more, as libzmq and JeroMQ tell it."""
    return b"\xff" + size.to_bytes(8, "big") + b"\x7f"


def version_2(kind: str = "DEALER") -> bytes:
    """What a client of 2.0 says behind its signature."""
    return bytes([1, TYPES.index(kind)])


def ready(properties: Mapping[str, bytes]) -> bytes:
    """READY, a frame."""
    return zmtp.frame(zmtp.null_ready(zmtp.metadata(properties)), zmtp.COMMAND)


GREETING = zmtp.greeting(b"NULL", version=(3, 1))
READY = ready({"Socket-Type": b"DEALER", "Identity": NAME, "X-Colour": b"green"})

# An honest client of each version.
HONEST = {
    "1.0": [old.frame1(NAME)],
    "1.0, long": [old.frame1(NAME * 127, 0x00)],
    "2.0": [signature(), version_2()],
    "2.0, named": [signature(3), version_2(), zmtp.frame(NAME)],
    "2.0, of unknown name": [signature(0), version_2(), zmtp.frame(b"")],
    "3.1": [GREETING[:10], GREETING[10:11], GREETING[11:], READY],
}
