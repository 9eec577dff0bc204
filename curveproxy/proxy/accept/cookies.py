"""The rotating keys of all cookies of this process. They are never stored and never leave the process."""

from collections.abc import Iterator

import trio

from curveproxy.wire.curve.cookie import cookie_key
from curveproxy.wire.sodium import randombytes
from curveproxy.wire.spec import KEY_SIZE

# Two generations are valid, so a cookie lives for one to two rotations: longer than any handshake may take.
ROTATION_SECONDS = 60


class CookieKeys:
    """The current key and the one before it. Older keys are wiped: one of them and a recorded handshake would be enough
    to read the session."""

    def __init__(self) -> None:
        self._keys = [bytearray(randombytes(KEY_SIZE)), bytearray(randombytes(KEY_SIZE))]

    def current(self, binding: bytes) -> bytes:
        """The key for a new cookie of one connection. binding: octets that no other connection has."""
        return cookie_key(self._keys[0], binding)

    def good(self, binding: bytes) -> Iterator[bytes]:
        """The keys with which a cookie of this connection may have been made."""
        return (cookie_key(key, binding) for key in self._keys)

    def rotate(self) -> None:
        self._keys.insert(0, bytearray(randombytes(KEY_SIZE)))
        expired = self._keys.pop()
        expired[:] = bytes(KEY_SIZE)

    async def run(self) -> None:
        """Rotate by the clock, also while nobody connects."""
        while True:
            await trio.sleep(ROTATION_SECONDS)
            self.rotate()
