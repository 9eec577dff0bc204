"""The one narrow object to which the proxy room reports. Metrics and logs are two readers of it.

What is counted by the frame (messages, octets) is not reported: it stands in ``Service.traffic`` and is
read when somebody asks.
"""

from typing import TYPE_CHECKING, Protocol

from curveproxy.reasons import BackendFailure, Closed, Invalid, Outcome

if TYPE_CHECKING:
    from curveproxy.proxy.relay.session import Session


class Observer(Protocol):
    """Hears what happens to one service. None of its methods blocks or raises."""

    def accepted(self) -> None:
        """A connection came in. Exactly one ``refused`` or ``admitted`` follows."""

    def refused(self, outcome: Outcome, peer: str, detail: str = "", client: str = "") -> None:
        """A handshake ended otherwise than by READY.

        peer: the source's address; detail: our own words, never a peer's.
        client: of one that has proved its key, the operator's name for it, else the key in Z85.
        """

    def admitted(self, session: "Session", seconds: float) -> None:
        """READY has been written, ``seconds`` after accept."""

    def closed(self, session: "Session", reason: Closed) -> None:
        """A session that was admitted has ended."""

    def invalid(self, session: "Session", reason: Invalid, detail: str = "") -> None:
        """A frame after the handshake was invalid, or a command was dropped."""

    def backend_up(self, seconds: float) -> None:
        """A backend has been dialled and greeted within ``seconds``."""

    def backend_failed(self, reason: BackendFailure, detail: str = "") -> None:
        """A backend could not be dialled or greeted."""

    def rivals(self, session: "Session") -> None:
        """Sessions of one key and identity replace each other again and again; this is the last that was replaced."""

    def unexpected(self, error: BaseException) -> None:
        """An error of ours ended one connection."""

    def notice(self, event: str, **facts: object) -> None:
        """Something that the operator should read, as a warning."""
