"""Key pairs, and the counters that number the boxes of one direction."""

from typing import Self

from attrs import field, frozen

from curveproxy.wire import sodium, spec


@frozen
class KeyPair:
    """A public key and the secret one that belongs to it, 32 octets each."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        return cls(*sodium.keypair())

    @classmethod
    def from_secret(cls, secret: bytes) -> Self:
        return cls(sodium.public_of(secret), secret)


def short_nonce(counter: int) -> bytes:
    """A counter as it stands on the wire: big-endian, 8 octets. HELLO and READY count as 1."""
    return counter.to_bytes(spec.SHORT_NONCE, "big")
