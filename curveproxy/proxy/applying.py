"""An authenticated client that applies to a service: the seam between ``accept`` and ``service``."""

import socket
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from curveproxy.policy.access.terms import Bearer, Grant
from curveproxy.policy.metadata import Said
from curveproxy.proxy.established import Established
from curveproxy.reasons import Outcome


class Applicant(NamedTuple):
    """A client whose handshake is complete but for our last word, and who asks to be let in.

    address: for the log; accepted_at: on trio's clock.
    key: its public key, 32 octets; server_key: the public key that it was given. Both are empty for a client of an
        egress, which has none.
    user: whose process it is, as ``uid 1000``, where a Unix socket tells that; else empty.
    has_records: it is another curveproxy, with which records are agreed on.
    """

    address: str
    accepted_at: float
    key: bytes
    server_key: bytes
    said: Said
    user: str = ""
    has_records: bool = False

    @property
    def metadata(self) -> Mapping[str, bytes]:
        """All that it says of itself."""
        return self.said.properties

    def bearer(self, service: str) -> Bearer:
        """Who it is, to the list of clients of that service."""
        return Bearer(self.key, service, self.said.socket_type, self.said.identity)


class Applying(Protocol):
    """The connection of an applicant. Either ``welcome`` or ``refuse`` is called, once."""

    @property
    def applicant(self) -> Applicant: ...

    @property
    def grant(self) -> Grant:
        """On what grounds it may come in."""

    @property
    def socket(self) -> socket.SocketType: ...

    def welcome(self, metadata: Mapping[str, bytes]) -> Established:
        """Answer READY with this metadata. Raises OSError, and RefusedError when READY can not be sent."""

    def refuse(self, outcome: Outcome) -> None:
        """Tell the client if it is to know, and close."""
