"""A dialer at work: what becomes of its dials, and what it tells."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from curveproxy.proxy.connect.dialer import DialEnv, Dialer
from curveproxy.proxy.connect.recovery import Recovery
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.settings import ServiceSettings
from support.fakes import RecordingObserver
from support.reactor import LoneReactor
from support.tasks import spawner, until
from support.trust import NOW

DEALER, SUB, PAIR = ({"Socket-Type": kind} for kind in (b"DEALER", b"SUB", b"PAIR"))


class Wanting:
    """Who wants the service: it keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def connected(self, peer: Established) -> None:
        self.heard.append(peer)

    def refused(self, error: DialError | RefusedError) -> None:
        self.heard.append(error.failure if isinstance(error, DialError) else error.outcome)

    def failed(self, error: Exception) -> None:
        self.heard.append(error)


class Dialling:
    """A dialer in a reactor that runs. wall_time: Unix seconds."""

    def __init__(self, backend: str, nursery: trio.Nursery, **more: Any) -> None:
        self.observer, self.reactor, self.recovered = RecordingObserver(), LoneReactor(8), 0
        self.wall_time = NOW
        self.room = 0  # how often a descriptor can be freed
        self.settings = ServiceSettings("test", Endpoint("tcp", "*"), Endpoint.parse(backend), (), **more)

        spawn = spawner(nursery)

        self.recovery = Recovery(self.observer, spawn, self._has_recovered)
        env = DialEnv(self.reactor, spawn, self._make_room, lambda: self.wall_time)
        self.dialer = Dialer(self.settings, self.observer, env, self.recovery)

    def _has_recovered(self) -> None:
        self.recovered += 1

    def _make_room(self) -> bool:
        self.room -= 1
        return self.room >= 0

    async def end(self, metadata: dict[str, bytes] = DEALER) -> Any:
        """What a client hears."""
        wanting = Wanting()
        self.dialer.dial(wanting, metadata)
        await until(lambda: wanting.heard)
        [end] = wanting.heard
        return end

    async def serves(self, metadata: dict[str, bytes] = DEALER) -> bool:
        """Whether a client gets the service; it gives it back at once."""
        end = await self.end(metadata)
        if not isinstance(end, Established):
            return False
        self.dialer.take_back(end.socket)
        return True


@asynccontextmanager
async def dialling(backend: str, **more: Any) -> AsyncIterator[Dialling]:
    async with trio.open_nursery() as nursery:
        at_work = Dialling(backend, nursery, **more)
        nursery.start_soon(at_work.reactor.run)
        yield at_work
        await until(lambda: not len(at_work.reactor))
        nursery.cancel_scope.cancel()
    at_work.reactor.close()
