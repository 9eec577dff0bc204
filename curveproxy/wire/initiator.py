"""The connecting side of a handshake, without I/O: one shape for every version and mechanism."""

from abc import ABC, abstractmethod

from curveproxy.wire.errors import LocalError
from curveproxy.wire.security import Negotiated


class Initiator(ABC):
    """One handshake. Send ``start()`` after connecting, then feed ``receive_untrusted`` until ``done``.

    It may be fed in pieces of any size, and answers the same to the same octets.
    """

    def __init__(self) -> None:
        self._seen = b""  # what has come and is not yet read
        self._negotiated: Negotiated | None = None

    @abstractmethod
    def start(self) -> bytes:
        """What to send first."""

    def receive_untrusted(self, octets: bytes) -> bytes:
        """Give octets that the peer sent. Returns octets to send back.

        Raises PeerError, and LocalError when the handshake is over.
        """
        if self._negotiated is not None:
            raise LocalError("the handshake is over")
        self._seen += octets
        return self._advance_untrusted()

    @abstractmethod
    def _advance_untrusted(self) -> bytes:
        """Read what can be read of ``_seen``; set ``_negotiated`` at the end. Returns octets to send back."""

    @property
    def done(self) -> bool:
        return self._negotiated is not None

    @property
    def negotiated(self) -> Negotiated:
        """What both sides have agreed on. Raises LocalError before the handshake is done."""
        if self._negotiated is None:
            raise LocalError("the handshake is not over")
        return self._negotiated
