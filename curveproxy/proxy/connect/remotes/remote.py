"""One remote of an egress: what is remembered of it, and how it is learned which key it has."""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf

import trio

from curveproxy.policy.access.known_server import Disbelief, KnownServer
from curveproxy.policy.circuit_breaker import REST_SECONDS
from curveproxy.proxy.connect.address import Address, Target
from curveproxy.proxy.connect.remotes.inquiry import Connector, Inquiry
from curveproxy.proxy.errors import DialError
from curveproxy.proxy.net.endpoint import Endpoint
from curveproxy.proxy.observer import Observer
from curveproxy.proxy.settings import EgressSettings
from curveproxy.reasons import ClientFailure

# A remote that has failed rests so many times as long as that took: who waits for its time-out is one of many.
REST_FACTOR = 4
# How often one is asked for certificates while it has shown one that is believed.
ASK_SECONDS = 10.0


class Remote:
    """One CURVE server, and what is remembered of it.

    server_key: the one that worked last, socket_type: what it said then; nothing before.
    has_failed: no dial has succeeded since one came to nothing.
    wall_clock: Unix seconds.
    """

    def __init__(
        self, endpoint: Endpoint, observer: Observer, connector: Connector, wall_clock: Callable[[], float]
    ) -> None:
        self.target, self._host = Target(endpoint, allow_remote=True), endpoint.host
        self.server_key = self.socket_type = b""
        self.has_failed, self._rests_until = False, -inf
        self._observer, self._connector, self._wall_clock = observer, connector, wall_clock
        self._known = KnownServer("")
        self._inquiry: Inquiry | None = None
        self._asked_at = -inf

    def rests(self, now: float) -> bool:
        """Whether it has failed, and others are tried first: one dial at a time finds out whether that has passed."""
        return self.has_failed and now < self._rests_until

    def begun(self, ends: float) -> None:
        """A dial begins with it, which must have ended then."""
        self._rests_until = ends

    def failed(self, now: float, seconds: float) -> None:
        """A dial has come to nothing here, after ``seconds``."""
        self.has_failed, self._rests_until = True, now + max(REST_SECONDS, REST_FACTOR * seconds)

    def succeeded(self, server_key: bytes, socket_type: bytes) -> None:
        """It has taken a handshake with this key of its own, and has said this type."""
        self.has_failed, self.server_key, self.socket_type = False, server_key, socket_type

    # --- the key that a certificate tells

    def certified_key(self, egress: EgressSettings) -> bytes | DialError:
        """The key that it has by its newest certificate; why there is none that is believed now."""
        trust, now = egress.trust, self._wall_clock()
        assert trust is not None
        known = self._known_as(egress.server_name or self._host)
        if egress.server_certificate:
            disbelief = known.learn([egress.server_certificate], trust, now)
            if disbelief is not None:
                return _error(disbelief)
        if (key := known.key(trust, now)) is not None:
            return key
        return _error(known.disbelief(trust, now))

    def _known_as(self, name: str) -> KnownServer:
        """What is known of the server of that name, which may be another than before."""
        if name != self._known.name:
            self._known = KnownServer(name)
        return self._known

    @property
    def may_be_asked(self) -> bool:
        """Whether it may be asked for another certificate now, or is being asked."""
        return self._is_asked or trio.current_time() >= self._asked_at + ASK_SECONDS

    @property
    def _is_asked(self) -> bool:
        return self._inquiry is not None and not self._inquiry.is_over

    def ask(self, addresses: Sequence[Address], egress: EgressSettings, seconds: float) -> Inquiry:
        """Ask at these addresses, unless it is being asked. Returns what can be waited for."""
        inquiry = self._inquiry
        if inquiry is None or inquiry.is_over:
            inquiry = self._inquiry = Inquiry(addresses, self._connector, partial(self._learn, egress), seconds)
            self._asked_at = trio.current_time()
            self._connector.spawn(inquiry, partial(self._run, inquiry, egress))
        return inquiry

    def ask_if_due(self, address: Address, egress: EgressSettings, seconds: float) -> None:
        """Ask while the certificate that it has shown is still good, where most of its life is over."""
        if not egress.server_certificate and self._known.is_due(self._wall_clock()) and self.may_be_asked:
            self.ask([address], egress, seconds)

    def _learn(self, egress: EgressSettings, texts: Sequence[bytes]) -> DialError | None:
        assert egress.trust is not None
        known = self._known_as(egress.server_name or self._host)
        disbelief = known.learn(texts, egress.trust, self._wall_clock())
        return None if disbelief is None else _error(disbelief)

    async def _run(self, inquiry: Inquiry, egress: EgressSettings) -> None:
        await inquiry.run()
        if inquiry.address is None and inquiry.failures and isinstance(self.certified_key(egress), bytes):
            _, error = inquiry.failures[-1]
            assert isinstance(error.failure, ClientFailure)
            facts = {"remote": str(self.target.endpoint), "reason": str(error.failure), "hint": error.failure.hint}
            if error.detail:
                facts["detail"] = error.detail
            self._observer.notice("a remote has shown no newer certificate", **facts)


def _error(disbelief: Disbelief) -> DialError:
    return DialError(disbelief.failure, disbelief.detail)
