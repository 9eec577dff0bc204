"""What a handshake leaves behind: the peer's version, its security and its metadata."""

from collections.abc import Mapping
from typing import NamedTuple

from attrs import field, frozen

from curveproxy.wire.zmtp.frame import Dialect


class Version(NamedTuple):
    """The version of ZMTP that a peer speaks. dialect: its major number; minor: 0 before ZMTP 3."""

    dialect: Dialect
    minor: int


@frozen
class Plain:
    """A peer whose frames are not in boxes."""


@frozen
class Curve:
    """A peer whose frames are boxes (RFC 26).

    key: of the session, 32 octets.
    seal_prefix, open_prefix: the first 16 octets of the nonces of our boxes, and of the peer's.
    seal_nonce, open_nonce: the last counter that each side has used.
    little_endian: the peer writes its counters so, as libzmq 4.0 does.
    """

    key: bytes = field(repr=False)
    seal_prefix: bytes
    seal_nonce: int
    open_prefix: bytes
    open_nonce: int
    little_endian: bool = False


@frozen
class Records:
    """A peer with which records were agreed: what a turn has read is in one box (``wire/codec/records.py``).

    suite: its number. seal_chain, open_chain: where the keys of our records begin, and of the peer's: 32 octets each.
    peer_pads: the peer's records are padded. pad_to: ours are, to a multiple of so many octets; 0 for not at all.
    """

    suite: int
    seal_chain: bytes = field(repr=False)
    open_chain: bytes = field(repr=False)
    peer_pads: bool = False
    pad_to: int = 0


Security = Plain | Curve | Records


@frozen
class Negotiated:
    """The result of a handshake. metadata: the peer's; leftover: octets that came behind the handshake."""

    metadata: Mapping[str, bytes]
    version: Version
    security: Security
    leftover: bytes = b""
