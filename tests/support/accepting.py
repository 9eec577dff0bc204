"""A listener with its admission, at work in the test's own process, before services that only keep who applies."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from curveproxy.proxy.accept.admission import Admission
from curveproxy.proxy.accept.cookies import CookieKeys
from curveproxy.proxy.accept.curve_mechanism import CurveMechanism
from curveproxy.proxy.accept.half_open import Mechanism
from curveproxy.proxy.accept.listener import Listener
from curveproxy.proxy.accept.plain_mechanism import PlainMechanism
from curveproxy.proxy.accept.transient_keys import TransientKeys
from curveproxy.proxy.capacity import Capacity
from curveproxy.proxy.net.linger import LingeringCloses
from curveproxy.proxy.net.listening import listen
from curveproxy.proxy.settings import ServiceKind
from support.client import RawClient
from support.gates import RecordingGate
from support.reactor import LoneReactor


class Accepting:
    """A listener for these services. make_room: as a server's; it evicts the oldest unless the test sets it."""

    def __init__(self, *gates: RecordingGate, descriptors: int = 1000) -> None:
        self.gates = gates
        self.reactor, self.capacity = LoneReactor(8), Capacity(descriptors)
        self.lingering = LingeringCloses(self.reactor, self.capacity.half_open)
        is_egress = gates[0].settings.kind == ServiceKind.EGRESS
        self.mechanism: Mechanism = PlainMechanism() if is_egress else CurveMechanism(CookieKeys(), TransientKeys())
        self.admission = Admission(
            gates, self.mechanism, self.reactor, self.lingering, self.capacity, lambda: self.make_room()
        )
        self.make_room: Callable[[], bool] = self.admission.evict_oldest
        self.listening = listen(gates[0].settings.listen)
        self.listener = Listener(self.listening, gates, self.admission, self.reactor, lambda: self.make_room())

    @property
    def endpoint(self) -> str:
        return str(self.listener.bound)

    def client(self, gate: RecordingGate | None = None, **options: Any) -> RawClient:
        """A client that has connected, and has said nothing yet."""
        return RawClient(self.endpoint, (gate or self.gates[0]).keys.public, **options)

    async def has_asked(self, client: RawClient) -> None:
        """Greet, and take WELCOME."""
        await trio.to_thread.run_sync(client.greeting)
        client.hello()
        await trio.to_thread.run_sync(client.welcome)

    async def applies(self, client: RawClient) -> None:
        """The whole of a handshake, but for READY."""
        await self.has_asked(client)
        client.initiate()


@asynccontextmanager
async def accepting(*gates: RecordingGate, **options: Any) -> AsyncIterator[Accepting]:
    """It accepts; whoever has applied is closed in the end, and nothing is left."""
    at_work = Accepting(*(gates or (RecordingGate(),)), **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work.reactor.run)
        at_work.listener.start()
        yield at_work
        at_work.listener.close()
        at_work.lingering.close_all()
        nursery.cancel_scope.cancel()
    for gate in at_work.gates:
        for applying in gate.applied:
            with suppress(OSError):
                applying.socket.close()
    assert (len(at_work.reactor), at_work.admission.half_open, at_work.capacity.half_open.number) == (0, 0, 0)
    at_work.reactor.close()
