"""The rotating keys of all cookies of this process. They are never stored and never leave the process."""

import trio

from curveproxy.wire.sodium import randombytes
from curveproxy.wire.spec import KEY_SIZE

# Two generations are valid, so a cookie lives for one to two rotations: longer than any handshake may take.
ROTATION_SECONDS = 60


class CookieKeys:
    """The current key and the one before it. Older keys are wiped: one of them and a recorded handshake would be enough
    to read the session.

    current: makes new cookies; good: those by which a cookie may have been made.
    """

    def __init__(self) -> None:
        self.current, former = _fresh(), _fresh()
        self.good = self.current, former

    def rotate(self) -> None:
        _, expired = self.good
        self.good = _fresh(), self.current
        self.current, _ = self.good
        expired[:] = bytes(KEY_SIZE)

    async def run(self) -> None:
        """Rotate by the clock, also while nobody connects."""
        while True:
            await trio.sleep(ROTATION_SECONDS)
            self.rotate()


def _fresh() -> bytearray:
    return bytearray(randombytes(KEY_SIZE))
