"""A session whose two outer ends are in a test's hands: the pumps are the real ones, between two real socket pairs.

Either side may be the one that speaks CURVE. The buffers may be made small, so that short streams meet every path.
"""

import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Self, cast

import trio
from attrs import define, field, frozen

from curveproxy.policy.access.terms import NO_TERMS, Grant, KeyTerms
from curveproxy.policy.limits import MessageLimits
from curveproxy.proxy.established import Established
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.net.reactor import READ, WRITE
from curveproxy.proxy.relay.env import AdmittedClient, RelayEnv, Traffic
from curveproxy.proxy.relay.pump import Pump
from curveproxy.proxy.relay.session import Session
from curveproxy.proxy.relay.throttle import Throttle
from curveproxy.proxy.settings import EgressSettings, ServiceSettings
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.security import Curve, Plain, Records, Security, Version
from curveproxy.wire.zmtp.frame import Dialect
from support import curve, zmtp
from support.records import Direction

KEY = bytes(range(32))
LIMIT = 2000
CHAINS = bytes(range(32, 64)), bytes(range(64, 96))  # of records: from downstream, and from upstream
FIRST_NONCE = 3  # of the peer that speaks CURVE: those of its handshake were 1 and 2


def sealed(nonce: int, body: bytes, flags: int = 0) -> bytes:
    """A MESSAGE of the client, as a frame; where there are records, one for each, and several for a large one."""
    if Relay.suite:
        sends = Direction(CHAINS[0], Relay.suite)
        for _ in range(nonce - FIRST_NONCE):
            sends.step()
            sends.counter += 1
        outer = zmtp.MORE * bool(flags & curve.INNER_MORE) + zmtp.COMMAND * bool(flags & curve.INNER_COMMAND)
        octets = zmtp.frame(body, outer)
        return b"".join(sends.seal(octets[at : at + 600]) for at in range(0, len(octets), 600))
    return zmtp.frame(curve.message(KEY, curve.FROM_CLIENT, nonce, body, flags))


@define
class Room:
    """Remembers who is to be woken again, and who waits for which descriptor."""

    again: list[Any] = field(factory=list)
    handlers: dict[int, Any] = field(factory=dict)

    def schedule(self, who: Any) -> None:
        self.again.append(who)

    def hand_over(self, descriptor: int, handler: Any) -> None:
        self.handlers[descriptor] = handler

    def register(self, *_: object) -> None: ...

    unregister = register


class LargePool(BufferPool):
    """Remembers what is lent."""

    def __init__(self) -> None:
        super().__init__()
        self.lent = list[Buffer]()

    def borrow(self, size: int, least: int = 0) -> Buffer:
        self.lent.append(buffer := super().borrow(size, least))
        return buffer

    def give_back(self, buffer: Buffer) -> None:
        self.lent.remove(buffer)
        super().give_back(buffer)


class SmallPool(LargePool):
    """Its buffers are small."""

    read_size, read_size_max, large_kept, grain = 512, 700, 100, 1


class Allowance:
    """A quota of so many octets, which a test refills."""

    def __init__(self, octets: float) -> None:
        self.octets, self.spent = octets, 0

    def available(self, now: float, smallest: int) -> float:
        return self.octets

    def spend(self, messages: float, octets: int, now: float) -> None:
        self.spent += octets


V31 = Version(Dialect.V3, 1)


@frozen
class Side:
    """One side of a session: its socket here, and the pumps that read from it and write to it."""

    socket: socket.SocketType
    reader: Pump
    writer: Pump

    def ready(self, events: int) -> None:
        """As of a reactor: its socket is ready."""
        self.reader.ready(events)


class Relay:
    """One session whose two outer ends are in the test's hands, and what it told its service.

    suite: of records, between the session and the side that speaks CURVE; 0 for MESSAGEs.
    padded: that side's are; pad_to: ours.
    """

    suite, padded, pad_to = 0, False, 0

    def __init__(
        self,
        *,
        pool: type[LargePool] = SmallPool,
        boxed: str = "downstream",
        kinds: tuple[bytes, bytes] = (b"DEALER", b"ROUTER"),
        versions: tuple[Version, Version] = (V31, V31),
        skip: int = 0,
        terms: KeyTerms = NO_TERMS,
        xpub_messages: bool = False,
        **messages: Any,
    ) -> None:
        """boxed: the side that speaks CURVE; kinds, versions: of downstream and upstream; skip: see ``Established``.

        terms: of the client's key.
        """
        drop: dict[str, Any] = {"on_invalid": "disconnect" if self.suite else "drop", "max_invalid_per_minute": 10**6}
        limits = MessageLimits(**{"max_message_bytes": LIMIT} | drop | messages)
        self.invalid: list[Invalid] = []
        self.details: list[str] = []  # of what was invalid: who has sent it
        self.again = Counter[Invalid]()  # what was left out and not told of each
        self.errors: list[BaseException] = []
        self.ended: Closed | None = None
        self.presented: list[bytes] = []  # certificates, to its service
        self.pool, self.memory = pool(), MemoryBudget()
        self.room = self.new_room()
        self.jobs = list[Callable[[], Awaitable[None]]]()
        observer = SimpleNamespace(
            invalid=self.note_invalid, repeated=self.note_repeated, unexpected=self.errors.append
        )
        self.client, near = socket.socketpair()
        self.service, far = socket.socketpair()
        for sock in (self.client, near, self.service, far):
            sock.setblocking(False)
        behind = Endpoint("ipc", "b")
        egress = EgressSettings((behind,), (bytes(32),), KeyPair(bytes(32), bytes(32))) if boxed == "upstream" else None
        service: dict[str, Any] = {"messages": limits, "egress": egress, "xpub_messages": xpub_messages}
        settings = ServiceSettings("s", Endpoint("ipc", "a"), behind, (), **service)
        reactor: Any = self.room
        told = cast("Any", observer)
        env = RelayEnv(settings.name, reactor, self.pool, self.memory, Throttle(), Traffic(), told, self.spawn)
        ours, theirs = curve.FROM_SERVER, curve.FROM_CLIENT
        if boxed == "upstream":  # there we are the client
            ours, theirs = theirs, ours
        secure: Security = Curve(KEY, ours, 1, theirs, FIRST_NONCE - 1)
        below, above = CHAINS
        if self.suite:
            sealing, opening = (above, below) if boxed == "downstream" else (below, above)
            secure = Records(self.suite, sealing, opening, self.padded, self.pad_to)
            self.hears = Direction(sealing, self.suite)  # at the outer end of that side
        sides = (secure, Plain()) if boxed == "downstream" else (Plain(), secure)
        downstream, upstream = (
            Established(sock, {"Socket-Type": kind}, version, security)
            for sock, kind, version, security in zip((near, far), kinds, versions, sides, strict=True)
        )
        downstream = downstream._replace(skip=skip)
        client = AdmittedClient("a", "b", bytes(32), bytes(32), b"", 1, grant=Grant(terms=terms))
        self.session = Session(client, downstream, upstream, settings, env, self)
        self.to_service, to_client = self.session._to_upstream, self.session._to_downstream
        self.near, self.far = Side(near, self.to_service, to_client), Side(far, to_client, self.to_service)
        for side in (self.near, self.far):
            self.room.register(side.socket.fileno(), side, READ | WRITE)
        self.session.begin()
        self.came = b""

    def new_room(self) -> Any:
        """In the place of the reactor."""
        return Room()

    def wake(self, side: Side, events: int) -> None:
        """Tell one side what its socket is ready for."""
        side.ready(events)

    def spawn(self, _: object, work: Callable[[], Awaitable[None]]) -> None:
        self.jobs.append(work)

    def note_invalid(self, _: object, reason: Invalid, detail: str = "") -> None:
        """As of an observer."""
        self.invalid.append(reason)
        self.details.append(detail)

    def note_repeated(self, reason: Invalid, count: int) -> None:
        """As of an observer."""
        self.again[reason] += count

    def session_lingers(self, session: Session) -> None:
        """As of a service."""

    def session_renews(self, session: Session, certificate: bytes) -> None:
        """As of a service."""
        self.presented.append(certificate)

    def session_ended(self, session: Session, upstream: socket.SocketType) -> None:
        """As of a service."""
        self.ended = session.reason
        self.room.unregister(upstream.fileno())
        upstream.close()

    def send(self, octets: bytes) -> None:
        """Let the proxy have these, and do all that it then wants to do."""
        self.client.send(octets)
        self.wake(self.near, READ)
        self.go_on()
        with suppress(BlockingIOError):
            while got := self.service.recv(1 << 20):
                self.came += got

    def go_on(self) -> None:
        """Let it do all that it wants to do."""
        while self.jobs or self.room.again:
            while self.jobs:
                trio.run(self.jobs.pop())
            if self.room.again:
                self.room.again.pop().resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self.client.close()
        self.service.close()
        assert self.errors == []

    @property
    def messages(self) -> list[list[bytes]]:
        """The whole messages that came out; the last one has ended."""
        messages: list[list[bytes]] = [[]]
        for flags, body in zmtp.read_frames(self.came):
            if not flags & zmtp.COMMAND:
                messages[-1].append(body)
                if not flags & zmtp.MORE:
                    messages.append([])
        assert messages.pop() == []
        return messages

    @property
    def commands(self) -> list[bytes]:
        return [frame.body for frame in zmtp.read_frames(self.came) if frame.flags & zmtp.COMMAND]
