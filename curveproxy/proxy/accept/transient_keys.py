"""Transient key pairs (S'), made ahead while nobody waits: in a burst a connection then costs a curve operation less.

A pair is used for one connection only.
"""

import trio

from curveproxy.wire.curve.keys import KeyPair

STOCK = 128
# The stock is refilled in small pieces, after a pause in which a burst can pass.
PIECE = 8
PAUSE_SECONDS = 0.25


class TransientKeys:
    """A stock of key pairs, shared by all services."""

    def __init__(self) -> None:
        self._stock: list[KeyPair] = []
        self._wanted = trio.Event()
        self._wanted.set()

    def take(self) -> KeyPair:
        """A pair that was not given out before."""
        self._wanted.set()
        return self._stock.pop() if self._stock else KeyPair.generate()

    async def run(self) -> None:
        """Keep the stock full."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.sleep(PAUSE_SECONDS)
            while len(self._stock) < STOCK and not self._wanted.is_set():
                self._stock += [KeyPair.generate() for _ in range(PIECE)]
                await trio.lowlevel.checkpoint()
