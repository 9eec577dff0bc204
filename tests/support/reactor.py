"""A reactor for the tests of those whom it serves."""

from typing import Any

from curveproxy.proxy.net.reactor import Reactor
from curveproxy.proxy.net.sleep import Sleep
from curveproxy.proxy.net.turns import Turns


class LoneReactor(Reactor):
    """A reactor with a task of its own."""

    def __init__(self, turn: int, **queue: Any) -> None:
        self.sleep = Sleep()
        super().__init__(turn, self.sleep, **queue)
        self._nobody = Reactor(1, self.sleep)
        self._turns = Turns(self.sleep, self, self._nobody)

    async def run(self) -> None:
        await self._turns.run()

    def close(self) -> None:
        super().close()
        self._nobody.close()
        self.sleep.close()
