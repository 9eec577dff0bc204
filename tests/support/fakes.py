"""Small stand-ins for the collaborators of the proxy room's modules: they keep what they are told."""

from math import inf

from curveproxy.policy.access import AccessList
from curveproxy.proxy.observer import SessionView
from curveproxy.proxy.relay.env import AdmittedClient
from curveproxy.reasons import BackendFailure, Closed, Invalid, Outcome

CLIENT, OTHER_CLIENT = b"c" * 32, b"o" * 32
ANYBODY = AccessList(allow_any=True)


def admitted(identity: bytes = b"", *, key: bytes = CLIENT, number: int = 1, is_probe: bool = False) -> AdmittedClient:
    """A client that is allowed."""
    return AdmittedClient("alice", "192.0.2.1:4242", key, bytes(32), identity, number, is_probe)


class RecordingObserver:
    """Keeps each event as its name and the facts that decide something: reasons, and our own words."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.errors: list[BaseException] = []
        self.seconds = inf  # what the last session or dial took

    def take(self) -> list[tuple[object, ...]]:
        """What has happened since the last time."""
        events, self.events = self.events, []
        return events

    def accepted(self) -> None:
        self.events.append(("accepted",))

    def refused(self, outcome: Outcome, peer: str, detail: str = "", client: str = "") -> None:
        assert peer
        self.events.append(("refused", outcome, detail, client))

    def admitted(self, session: SessionView, seconds: float) -> None:
        self.seconds = seconds
        self.events.append(("admitted", session.client))

    def closed(self, session: SessionView, reason: Closed) -> None:
        self.events.append(("closed", reason))

    def invalid(self, session: SessionView, reason: Invalid, detail: str = "") -> None:
        self.events.append(("invalid", reason, detail))

    def backend_up(self, seconds: float) -> None:
        self.seconds = seconds
        self.events.append(("backend_up",))

    def backend_failed(self, reason: BackendFailure, detail: str = "") -> None:
        self.events.append(("backend_failed", reason, detail))

    def rivals(self, session: SessionView) -> None:
        self.events.append(("rivals", session.number))

    def unexpected(self, error: BaseException) -> None:
        self.errors.append(error)
        self.events.append(("unexpected", str(error)))

    def notice(self, event: str, **facts: object) -> None:
        self.events.append(("notice", event))
