"""What the sessions of a service share, and what is known of an admitted client."""

from collections.abc import Iterable
from typing import Protocol

from attrs import define, field, frozen

from curveproxy.policy.access.terms import ANYBODY, Grant
from curveproxy.proxy.net.buffers import BufferPool
from curveproxy.proxy.net.memory import MemoryBudget
from curveproxy.proxy.net.reactor import Reactor, Spawn
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.relay.throttle import Throttle
from curveproxy.wire import z85


@define
class RecordCount:
    """Records in one direction, and their octets as they are sent: headers, tags and padding included."""

    records: int = 0
    octets: int = 0

    def add(self, records: int, octets: int) -> None:
        self.records += records
        self.octets += octets


class Relayed(Protocol):
    """What a session has relayed."""

    @property
    def messages_in(self) -> int: ...
    @property
    def octets_in(self) -> int: ...
    @property
    def messages_out(self) -> int: ...
    @property
    def octets_out(self) -> int: ...


@define
class Traffic:
    """What sessions have relayed that have ended: whole messages and plain octets. ``in`` is from client to service.

    records_in, records_out: of all sessions.
    """

    messages_in: int = 0
    octets_in: int = 0
    messages_out: int = 0
    octets_out: int = 0
    records_in: RecordCount = field(factory=RecordCount)
    records_out: RecordCount = field(factory=RecordCount)

    def add(self, sessions: Iterable[Relayed]) -> None:
        """Add what these have relayed."""
        for session in sessions:
            self.messages_in += session.messages_in
            self.octets_in += session.octets_in
            self.messages_out += session.messages_out
            self.octets_out += session.octets_out


@frozen
class RelayEnv:
    """What all sessions of a service share. A pump holds one reference to it. service: its name."""

    service: str
    reactor: Reactor
    pool: BufferPool
    memory: MemoryBudget
    throttle: Throttle
    traffic: Traffic
    observer: Observer
    spawn: Spawn


@frozen(weakref_slot=False)
class AdmittedClient:
    """A client that is allowed, having proved its key where it has one.

    given_name: the operator's name for it; of a client of an egress its user, or its address. Else empty.
    address: where it connects from.
    key: its public key; server_key: the public key that it was given. Both are empty for a client of an egress.
    identity: the one that no other client has; empty where it has none, or the remote of an egress judges it.
    number: no other client of this process has it.
    is_probe: it only wants to see whether it would be let in.
    grant: on what grounds it is in.
    """

    given_name: str
    address: str
    key: bytes
    server_key: bytes
    identity: bytes
    number: int
    is_probe: bool = False
    grant: Grant = ANYBODY

    @property
    def name(self) -> str:
        """What it is called: by its key in Z85 where it has been given no name. That is not kept for each session."""
        return self.given_name or z85.encode(self.key)
