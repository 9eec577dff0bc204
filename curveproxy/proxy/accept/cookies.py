"""The rotating keys of all cookies of this process. Never stored, never shared with another process."""

from collections.abc import Iterator

import trio

from curveproxy.wire.curve.cookie import cookie_key
from curveproxy.wire.sodium import randombytes
from curveproxy.wire.spec import KEY_SIZE

# Two generations are good, so a cookie lives for one to two of these: longer than any handshake may take.
ROTATION_SECONDS = 60


class CookieKeys:
    """The key of this minute and the one before it. Older ones are wiped: with one of them and a recorded
    handshake, a session could be read."""

    def __init__(self) -> None:
        self._keys = [bytearray(randombytes(KEY_SIZE)), bytearray(randombytes(KEY_SIZE))]

    def current(self, binding: bytes) -> bytes:
        """The key for a new cookie of the connection that ``binding`` stands for."""
        return cookie_key(self._keys[0], binding)

    def good(self, binding: bytes) -> Iterator[bytes]:
        """The keys that a cookie of this connection may have."""
        return (cookie_key(key, binding) for key in self._keys)

    def rotate(self) -> None:
        self._keys.insert(0, bytearray(randombytes(KEY_SIZE)))
        expired = self._keys.pop()
        expired[:] = bytes(KEY_SIZE)

    async def run(self) -> None:
        """Rotate by the clock, also while nobody comes."""
        while True:
            await trio.sleep(ROTATION_SECONDS)
            self.rotate()
