"""What differs between the backend of a service and the remotes of an egress, to those who dial them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from curveproxy.policy.metadata import is_safe_identity
from curveproxy.proxy.connect.address import Address, Target
from curveproxy.proxy.connect.attempt import AttemptError
from curveproxy.proxy.errors import DialError, RefusedError
from curveproxy.proxy.established import Established
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.wire import spec
from curveproxy.wire.initiator import Initiator
from curveproxy.wire.security import Negotiated
from curveproxy.wire.zmtp.metadata import find


class Progress(Enum):
    """How far a dial has come with its present target."""

    RESOLVING = auto()
    CONNECTING = auto()
    GREETING = auto()  # a connection stands, and its handshake is under way


class Then(Enum):
    """What follows a failed attempt."""

    AGAIN = auto()  # another at the same address, with the next initiator
    AFRESH = auto()  # another at the same address, when what it needs is known
    NEXT = auto()  # the next address, and behind the last the next target
    LEAVE = auto()  # the next target
    END = auto()


class Judgement(NamedTuple):
    """What a failed attempt is called, and what follows. RefusedError: the target is not at fault."""

    error: DialError | RefusedError
    then: Then


class Approach(ABC):
    """How one target is greeted for one client: its addresses in turn.

    endpoint: the target's; addresses: those still to be tried, the present one first.
    failures: of those that were tried or must not be dialled; is_of_a_name: the addresses are a resolver's.
    hurries: also an address that has accepted, and does not go on, is given up while there is time for the next.
    """

    hurries = False

    def __init__(self, target: Target) -> None:
        self.endpoint = target.endpoint
        self.addresses = [] if target.fixed is None else [target.fixed]
        self.failures: list[tuple[Address, DialError]] = []
        self.is_of_a_name = target.fixed is None
        self._target = target

    @property
    def is_prepared(self) -> bool:
        """Whether all is known that an attempt needs."""
        return bool(self.addresses)

    async def prepare(self) -> Judgement | None:
        """Find out what an attempt needs. Returns a judgement where there is nothing to be tried."""
        await self.resolve()
        return None if self.addresses else Judgement(self.conclude(), Then.LEAVE)

    async def resolve(self) -> None:
        """Find the addresses of a name."""
        for address in await self._target.resolve():
            if (objection := self.objection_to(address)) is None:
                self.addresses.append(address)
            else:
                self.failures.append((address, objection))

    def leave_address(self, error: DialError) -> bool:
        """The present address can not be had. Returns whether there is another."""
        self.failures.append((self.addresses.pop(0), error))
        return bool(self.addresses)

    def objection_to(self, _address: Address) -> DialError | None:
        """Why an address must not be dialled."""
        return None

    @abstractmethod
    def initiator(self) -> Initiator:
        """The handshake of the next attempt."""

    @abstractmethod
    def accept(self, negotiated: Negotiated) -> bytes | Judgement | None:
        """The target's socket type, None where it may be any; a judgement when it is not what it should be."""

    @abstractmethod
    def judge(self, error: AttemptError, progress: Progress) -> Judgement:
        """What an error is called, and what follows it."""

    @abstractmethod
    def late(self, progress: Progress) -> DialError:
        """Its time is over."""

    @abstractmethod
    def conclude(self) -> DialError:
        """One failure for all addresses of a name; there may have been none."""

    @abstractmethod
    def succeeded(self, peer: Established) -> None:
        """Remember how it was reached."""

    @abstractmethod
    def failed(self) -> None:
        """Remember that it was not."""


class Destination(Protocol):
    """What lies behind a service, and what is remembered of it."""

    def configure(self, settings: ServiceSettings) -> bool:
        """Use other settings from the next dial on. Returns whether it may answer otherwise than before."""

    def misfit(self, metadata: Mapping[str, bytes]) -> DialError | RefusedError | None:
        """Why a client must not even be dialled for."""

    def takes_one(self, metadata: Mapping[str, bytes]) -> bool | None:
        """Whether it must not have two connections; None where this client tells nothing about that."""

    def approaches(self, metadata: Mapping[str, bytes]) -> Sequence[Approach]:
        """At least one, in the order in which they are tried."""


def fault_of(metadata: Mapping[str, bytes]) -> str:
    """What a client must not be shown of a peer's metadata; empty when it may see all."""
    if not is_safe_identity(find(metadata, "Identity")):
        return "its identity is too long or begins with a zero octet"
    if len(find(metadata, "Socket-Type") or b"") > spec.SOCKET_TYPE_MAX:
        return "its socket type is too long"
    return ""
