"""An authenticated client that waits to be let in: the seam between who accepts it and who decides about it."""

import socket
from collections.abc import Mapping
from typing import Protocol

from attrs import frozen

from curveproxy.proxy.established import Established
from curveproxy.reasons import Outcome


@frozen
class Applicant:
    """Who asks to be let in, with what has been proved.

    address: where it comes from, for the log; accepted_at: when, on trio's clock.
    key: its public key, 32 octets; server_key: the public key that it was given.
    metadata: what it says of itself.
    """

    address: str
    accepted_at: float
    key: bytes
    server_key: bytes
    metadata: Mapping[str, bytes]


class Applying(Protocol):
    """One connection of an applicant. ``welcome`` or ``refuse`` is called, once."""

    @property
    def applicant(self) -> Applicant: ...

    @property
    def socket(self) -> socket.socket: ...

    def welcome(self, metadata: Mapping[str, bytes]) -> Established:
        """Answer READY with the service's metadata. Raises OSError, and RefusedError when the peer takes no READY."""

    def refuse(self, outcome: Outcome) -> None:
        """Tell the client if it is to know, and close."""
