"""Records, written from their description and without curveproxy: keys, sealing and opening, for the tests' own use.

What is written here is slow and whole: octets in, octets out.
"""

import struct
from hashlib import blake2b

from nacl import bindings
from nacl.exceptions import CryptoError

XSALSA, AEGIS = 1, 2
TAG = {XSALSA: 16, AEGIS: 32}
REKEY, MOST = 0x8000, 32768
PERSON = b"curveproxy-rec-1"


class Unopened(Exception):  # noqa: N818 - named for what the octets are
    """A record that does not open."""


def derived(key: bytes, octets: bytes, size: int = 32) -> bytes:
    """BLAKE2b as records use it."""
    return blake2b(octets, key=key, digest_size=size, person=PERSON).digest()


def root(shared: bytes, initiate: bytes, ready: bytes, client: bytes, server: bytes, suite: int) -> bytes:
    """What both directions' chains come from."""
    sized = [struct.pack(">I", len(octets)) + octets for octets in (initiate, ready)]
    return derived(shared, b"".join([*sized, client, server, bytes([suite])]))


class Direction:
    """One direction: its keys and counter.

    chain: that of the direction's beginning. padded: its records are.
    """

    def __init__(self, chain: bytes, suite: int, *, padded: bool = False) -> None:
        self.chain, self.suite, self.padded, self.counter = chain, suite, padded, 0
        self.step()

    def step(self) -> None:
        """Go to the next key."""
        following = derived(self.chain, b"step", 64)
        self.key, self.chain = following[:32], following[32:]

    def seal(self, plain: bytes, *, rekey: bool = True) -> bytes:
        """One record of what is in its box."""
        header = struct.pack(">H", len(plain) - 1 | REKEY * rekey)
        if self.suite == XSALSA:
            box = bindings.crypto_box_easy_afternm(plain, self._nonce(header), self.key)
        else:
            box = bindings.crypto_aead_aegis256_encrypt(plain, header, self._nonce(header), self.key)
        self._count(rekey=rekey)
        return header + bytes(box)

    def batch(self, stream: bytes, pad_to: int = 0) -> bytes:
        """A batch as it is sealed: in as few records as hold it."""
        most = MOST - 2 * self.padded
        octets = b""
        for at in range(0, len(stream), most):
            content = stream[at : at + most]
            octets += self.seal(padded(content, pad_to) if self.padded else content, rekey=at + most >= len(stream))
        return octets

    def open(self, octets: bytes) -> tuple[bytes, bytes]:
        """What is in the whole records, and what is behind them. Raises Unopened."""
        stream = b""
        while len(octets) >= 2:
            header = octets[:2]
            size = (struct.unpack(">H", header)[0] & ~REKEY) + 1
            behind = 2 + size + TAG[self.suite]
            if behind > len(octets):
                break
            plain, octets = self._opened(header, octets[2:behind]), octets[behind:]
            stream += self._content(plain) if self.padded else plain
        return stream, octets

    def _opened(self, header: bytes, box: bytes) -> bytes:
        try:
            if self.suite == XSALSA:
                plain = bindings.crypto_box_open_easy_afternm(box, self._nonce(header), self.key)
            else:
                plain = bindings.crypto_aead_aegis256_decrypt(box, header, self._nonce(header), self.key)
        except CryptoError as error:
            raise Unopened from error
        self._count(rekey=bool(header[0] & 0x80))
        return bytes(plain)

    def _content(self, plain: bytes) -> bytes:
        size = int.from_bytes(plain[-2:], "big")
        if len(plain) < 2 or size > len(plain) - 2:
            raise Unopened
        return plain[:size]

    def _nonce(self, header: bytes) -> bytes:
        counter = struct.pack(">Q", self.counter)
        return b"curveproxy-rec" + (header if self.suite == XSALSA else bytes(10)) + counter

    def _count(self, *, rekey: bool) -> None:
        self.counter += 1
        if rekey:
            self.step()


def padded(content: bytes, pad_to: int) -> bytes:
    """What is in a padded record's box."""
    size = len(content) + 2
    size = min(MOST, size + -size % pad_to)
    return content + bytes(size - len(content) - 2) + struct.pack(">H", len(content))
