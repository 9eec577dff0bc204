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

    def peek(self) -> KeyPair:
        """A pair that was not used before. It stays until it is used: a HELLO that does not open costs none."""
        if not self._stock:
            self._stock.append(KeyPair.generate())
        return self._stock[-1]

    def used(self) -> None:
        """Forget the pair that was peeked at."""
        self._stock.pop()
        self._wanted.set()

    async def run(self) -> None:
        """Keep the stock full."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.sleep(PAUSE_SECONDS)
            while len(self._stock) < STOCK and not self._wanted.is_set():
                self._stock += [KeyPair.generate() for _ in range(PIECE)]
                await trio.lowlevel.checkpoint()
