"""Small stand-ins for the collaborators of the proxy room's modules: they keep what they are told."""

import socket
from collections.abc import Callable, Mapping
from math import inf

from curveproxy.policy.access.access_list import AccessList
from curveproxy.policy.access.terms import Grant
from curveproxy.policy.metadata import Said
from curveproxy.policy.quotas import Quota
from curveproxy.proxy.applying import Applicant
from curveproxy.proxy.established import Established
from curveproxy.proxy.observer import SessionView
from curveproxy.proxy.relay.env import AdmittedClient
from curveproxy.proxy.relay.session import Session
from curveproxy.reasons import Closed, DialFailure, Invalid, Outcome
from curveproxy.wire.security import Curve, Plain, Version
from curveproxy.wire.zmtp.frame import Dialect
from support.curve import FROM_CLIENT, FROM_SERVER

CLIENT, OTHER_CLIENT = b"c" * 32, b"o" * 32
ANYBODY = AccessList(allow_any=True)


def admitted(
    identity: bytes = b"",
    *,
    key: bytes = CLIENT,
    number: int = 1,
    is_probe: bool = False,
    grant: Grant | None = None,
) -> AdmittedClient:
    """A client that is allowed."""
    return AdmittedClient("alice", "192.0.2.1:4242", key, bytes(32), identity, number, is_probe, grant or Grant())


def applicant(
    identity: bytes = b"",
    *,
    key: bytes = CLIENT,
    socket_type: bytes = b"DEALER",
    accepted_at: float = 0.0,
    more: Mapping[str, bytes] | None = None,
) -> Applicant:
    """Who has proved its key. more: of its metadata."""
    metadata = {"Socket-Type": socket_type, "Identity": identity, **(more or {})}
    return Applicant("192.0.2.1:4242", accepted_at, key, bytes(32), Said.of(metadata))


class RecordingSession(Session):
    """A session without its pumps: it keeps what it is asked to do. What it says of itself may be set.

    finishes: its client has closed; asks: a REQ waits for its reply; kind: its socket type.
    on_end: is called when it is aborted or closed.
    """

    messages_in = octets_in = messages_out = octets_out = 0
    form, service = "message", "test"

    def __init__(
        self, who: AdmittedClient, *, finishes: bool = False, asks: bool = False, kind: bytes = b"REQ"
    ) -> None:
        self.who, self.reason, self.ends_by = who, None, inf
        self.finishes, self.asks, self.kind = finishes, asks, b"REQ"
        self.calls: list[object] = []
        self.quota: Quota[Session] | None = None
        self.on_end: Callable[[Session], object] = lambda _: None

    @property
    def is_finishing(self) -> bool:
        return self.finishes

    @property
    def awaits_reply(self) -> bool:
        return self.asks

    @property
    def claimed_type(self) -> bytes:
        return self.kind

    def share(self, quota: Quota[Session] | None) -> None:
        self.quota = quota

    def hurry(self) -> None:
        self.calls.append("hurry")

    def present(self, certificate: bytes) -> None:
        self.calls.append(certificate)

    def revoke(self, reason: Closed = Closed.REVOKED) -> None:
        self.calls.append("revoke" if reason == Closed.REVOKED else reason)

    def end_over_limit(self) -> None:
        self.calls.append("end_over_limit")

    def check_idle(self) -> None:
        self.calls.append("check_idle")

    def check_alive(self) -> None:
        self.calls.append("check_alive")

    def drain(self) -> None:
        self.calls.append("drain")

    def drain_behind_reply(self) -> None:
        self.calls.append("drain_behind_reply")

    def abort(self, reason: Closed) -> None:
        self.calls.append(reason)
        self.on_end(self)

    def expire(self) -> None:
        self.calls.append("expire")
        self.on_end(self)


class RecordingApplying:
    """An applicant on one end of a socket pair, of which ``client`` is the other.

    welcomed: the metadata of its READY; refused: why it was not let in; error: what READY raises.
    """

    def __init__(self, who: Applicant, grant: Grant | None = None) -> None:
        self.applicant, self.grant = who, grant or Grant()
        self.socket, self.client = socket.socketpair()
        self.socket.setblocking(False)
        self.client.settimeout(10)
        self.welcomed: Mapping[str, bytes] | None = None
        self.refused: list[Outcome] = []
        self.error: Exception | None = None

    def welcome(self, metadata: Mapping[str, bytes]) -> Established:
        if self.error is not None:
            raise self.error
        self.welcomed = metadata
        has_key = bool(self.applicant.key)
        security = Curve(bytes(range(32)), FROM_SERVER, 1, FROM_CLIENT, 2) if has_key else Plain()
        return Established(self.socket, self.applicant.metadata, Version(Dialect.V3, 1), security)

    def refuse(self, outcome: Outcome) -> None:
        self.refused.append(outcome)
        self.socket.close()

    def close(self) -> None:
        """Close both ends."""
        self.socket.close()
        self.client.close()


class RecordingRegistry:
    """The identities of all processes. grants: whether a claim is answered with a yes; calls: what it was asked."""

    def __init__(self, *, grants: bool = True) -> None:
        self.grants = grants
        self.calls: list[tuple[object, ...]] = []

    async def claim(self, service: str, identity: bytes, key: bytes, number: int) -> bool:
        self.calls.append(("claim", service, identity, key, number))
        return self.grants

    def release(self, service: str, identity: bytes, key: bytes, number: int) -> None:
        self.calls.append(("release", service, identity, key, number))


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

    def certificate_judged(self, result: str) -> None:
        self.events.append(("certificate", result))

    def admitted(self, session: SessionView, seconds: float) -> None:
        self.seconds = seconds
        self.events.append(("admitted", session.client))

    def closed(self, session: SessionView, reason: Closed) -> None:
        self.events.append(("closed", reason))

    def invalid(self, session: SessionView, reason: Invalid, detail: str = "") -> None:
        self.events.append(("invalid", reason, detail))

    def repeated(self, reason: Invalid, count: int) -> None:
        self.events.append(("repeated", reason, count))

    def backend_up(self, seconds: float) -> None:
        self.seconds = seconds
        self.events.append(("backend_up",))

    def backend_failed(self, reason: DialFailure, detail: str = "") -> None:
        self.events.append(("backend_failed", reason, detail))

    def rivals(self, session: SessionView) -> None:
        self.events.append(("rivals", session.number))

    def unexpected(self, error: BaseException) -> None:
        self.errors.append(error)
        self.events.append(("unexpected", str(error)))

    def notice(self, event: str, **facts: object) -> None:
        self.events.append(("notice", event))
