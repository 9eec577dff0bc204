"""A session as in ``relaying.py``, whose pumps are served by a real reactor: by themselves, or behind an engine."""

from math import inf
from typing import Any

import trio

from curveproxy.proxy.net.ready import ReadyQueue
from curveproxy.proxy.relay import engine
from support.reactor import LoneReactor
from support.relaying import Relay, Side

# Whether an engine is ahead of the pumps, by its name in tests.
QUEUES = {"pumps alone": False} | ({"engine ahead": True} if engine.is_built() else {})
TURN = 64


class Served(Relay):
    """ahead: whether an engine makes the ordinary turns."""

    ahead = False

    def new_room(self) -> Any:
        return LoneReactor(TURN, ready=engine.ready_queue(self.pool, self.memory) if self.ahead else ReadyQueue)

    def wake(self, side: Side, events: int) -> None:
        """The reactor knows what its socket is ready for."""

    def go_on(self) -> None:
        has_more = True
        while has_more or self.jobs:
            while self.jobs:
                trio.run(self.jobs.pop())
            has_more = self.room.serve(inf) or self.room.is_busy

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        assert not len(self.room)
        self.room.close()
