"""Two established peers, and the two pumps between them."""

from curveproxy.policy.socket_types import REQ
from curveproxy.proxy.established import Established
from curveproxy.proxy.net import sockets
from curveproxy.proxy.relay.env import AdmittedClient, RelayEnv
from curveproxy.proxy.relay.facts import DOWNWARDS, FROM_REMOTE, UPWARDS, SessionFacts
from curveproxy.proxy.relay.outbox import Outbox, PumpOwner
from curveproxy.proxy.relay.peer import Peer
from curveproxy.proxy.relay.pump import Pump
from curveproxy.proxy.relay.transform import transforms
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec.suites import MESSAGE
from curveproxy.wire.zmtp import command
from curveproxy.wire.zmtp.frame import Dialect

SUBSCRIBE_TO_ALL = b"\1"


class PumpPair(SessionFacts, PumpOwner):
    """The pumps of a session, and what one tells the other. When and how they end is for ``Session`` to say."""

    __slots__ = ("_to_downstream", "_to_upstream")

    def __init__(
        self,
        client: AdmittedClient,
        downstream: Established,
        upstream: Established,
        settings: ServiceSettings,
        env: RelayEnv,
    ) -> None:
        """downstream: the side that has connected to us; upstream: the side to which we have connected."""
        below, above = Peer(downstream), Peer(upstream)
        super().__init__(client, env, below, above)
        upwards, downwards = transforms(
            (downstream.security, below),
            (upstream.security, above),
            settings.messages,
            env.traffic,
            xpub_messages=settings.xpub_messages,
            terms=client.grant.terms,
        )
        self._to_upstream = Pump(self, UPWARDS, below, above, upwards, downstream.leftover)
        labels = DOWNWARDS if settings.egress is None else FROM_REMOTE
        self._to_downstream = Pump(self, labels, above, below, downwards, upstream.leftover)
        self._to_upstream.skip(downstream.skip)
        if above.never_subscribes:
            self._to_downstream.begin_with(SUBSCRIBE_TO_ALL)
        if below.never_subscribes:
            self._to_upstream.begin_with(SUBSCRIBE_TO_ALL)

    def begin(self) -> None:
        """Relay from now on. Both sockets are registered already."""
        self.env.reactor.hand_over(self._downstream.socket.fileno(), self._to_upstream)
        self.env.reactor.hand_over(self._upstream.socket.fileno(), self._to_downstream)
        self._to_upstream.begin()
        self._to_downstream.begin()

    def present(self, certificate: bytes) -> None:
        """Present another certificate of ours to the remote, where it is a curveproxy: others do not know that."""
        if self.form != MESSAGE and not self._to_upstream.opens:
            self._to_upstream.send_command(command.body_of(command.CERTIFICATE, certificate))

    # --- what was relayed; ``in`` is from client to service

    @property
    def messages_in(self) -> int:
        return self._to_upstream.messages

    @property
    def octets_in(self) -> int:
        return self._to_upstream.octets

    @property
    def messages_out(self) -> int:
        return self._to_downstream.messages

    @property
    def octets_out(self) -> int:
        return self._to_downstream.octets

    @property
    def awaits_reply(self) -> bool:
        """Whether a request of a REQ has no reply yet. It would wait for that for ever."""
        return self.claimed_type == REQ and self.messages_in > self.messages_out

    # --- its two sides

    @property
    def form(self) -> str:
        """How messages of the side that speaks CURVE are sealed: one of ``suites.FORMS``."""
        return self._to_upstream.form

    @property
    def dialect(self) -> str:
        """The version of ZMTP that the side speaks which has no CURVE."""
        plain = self._upstream if self._to_upstream.opens else self._downstream
        return f"{plain.dialect}.{plain.minor if plain.dialect == Dialect.V3 else 0}"

    @property
    def _boxed(self) -> tuple[Peer, Pump]:
        """The side that speaks CURVE, and the pump that reads from it."""
        if self._to_upstream.opens:
            return self._downstream, self._to_upstream
        return self._upstream, self._to_downstream

    def _who_has_gone(self) -> Closed | None:
        """Why it ends where a side has gone of which more is unread; None while both are there."""
        sides = (self._downstream, self._to_upstream, UPWARDS), (self._upstream, self._to_downstream, DOWNWARDS)
        for peer, pump, labels in sides:
            if pump.is_finishing:
                return labels.source_reset if sockets.was_reset(peer.socket) else labels.source_closed
        return None

    def source_takes(self, pump: Outbox) -> None:
        self._other(pump).sink_ready()

    def source_lost(self, pump: Outbox) -> None:
        self._other(pump).lose_sink()

    def is_source_lost(self, pump: Outbox) -> bool:
        return self._other(pump).has_lost_sink

    def sink_lost(self, pump: Outbox) -> None:
        other = self._other(pump)
        if other.has_ended:
            other.close_if_unheard()

    def reply(self, pump: Outbox, command: bytes) -> None:
        self._other(pump).send_command(command)

    def invalid(self, reason: Invalid, detail: str = "") -> None:
        self.env.observer.invalid(self, reason, detail)

    def repeated(self, reason: Invalid, count: int) -> None:
        self.env.observer.repeated(reason, count)

    def _other(self, pump: Outbox) -> Pump:
        return self._to_downstream if pump is self._to_upstream else self._to_upstream
