"""A session: an admitted client, its own connection to the service, and the two pumps between them."""

import socket
from enum import Enum, auto
from math import inf
from typing import Protocol

import trio

from curveproxy.policy.limits import OnInvalid
from curveproxy.policy.quotas import Quota
from curveproxy.policy.socket_types import REQ, REQUESTERS, known
from curveproxy.proxy.established import Established
from curveproxy.proxy.relay.commands import OUR_PING
from curveproxy.proxy.relay.env import AdmittedClient, RelayEnv
from curveproxy.proxy.relay.filters.backend_filter import ForPublisher, filter_for
from curveproxy.proxy.relay.opener import Opener
from curveproxy.proxy.relay.pump import Peer
from curveproxy.proxy.relay.sealer import PublisherFilter, Sealer
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec.select import BATCH, CodecState
from curveproxy.wire.security import Curve
from curveproxy.wire.zmtp.frame import Dialect

# How long the other side may take none of what it is owed, once one side has ended.
LINGER_SECONDS = 10.0
# How long the message may take that a revoked client is in, and how long a probe may stay.
AT_ONCE_SECONDS = 0.5
# An unfinished frame of which fewer octets come in ``idle_seconds`` does not keep its session from being idle.
LEAST_PROGRESS = 1024
# Idle checks per ``idle_seconds``: an idle session ends at most one check late.
IDLE_CHECKS = 8


class Leave(Enum):
    """When a session that is to leave may do so."""

    AT_ONCE = auto()
    NO_REPLY_OWED = auto()  # as far as is known: see ``Session.may_part``
    BEHIND_REPLY = auto()  # in the same segment as the reply to the last request


class SessionOwner(Protocol):
    """A service, to its sessions."""

    def session_lingers(self, session: "Session") -> None:
        """It is ending: close it when ``ends_by`` has come."""

    def session_ended(self, session: "Session", upstream: socket.socket) -> None:
        """It has ended, and the connection to the service is given back."""


class Session:
    """One client's. It ends when both pumps have ended, or when nothing moves any more after one side has.

    who: the client.
    type_told: the socket type that the client says it is.
    messages_in, octets_in, messages_out, octets_out: what was relayed; ``in`` is from client to service.
    service: the name of its service.
    reason: why the session ended; the first that is told wins.
    ends_by: when it is closed, once it is ending.
    quiet: how often it was looked at since a message came through, or enough of one.
    """

    __slots__ = (
        "_begun",
        "_far",
        "_is_closed",
        "_near",
        "_owner",
        "_parting",
        "_replies",
        "_stays_until",
        "drops_invalid",
        "ends_by",
        "env",
        "max_invalid_per_minute",
        "messages_in",
        "messages_out",
        "octets_in",
        "octets_out",
        "opened_at",
        "quiet",
        "reason",
        "service",
        "type_told",
        "who",
    )

    def __init__(
        self,
        client: AdmittedClient,
        downstream: Established,
        upstream: Established,
        settings: ServiceSettings,
        env: RelayEnv,
        owner: SessionOwner,
    ) -> None:
        self.env, self._owner, self.service = env, owner, settings.name
        self.who = client
        self.type_told = downstream.socket_type
        self.opened_at = trio.current_time()
        self.messages_in = self.messages_out = self.octets_in = self.octets_out = 0
        self.quiet = self._begun = 0
        self._parting, self._replies = Leave.AT_ONCE, 0
        self.reason: Closed | None = None
        self.ends_by = self._stays_until = inf
        self._is_closed = False
        messages = settings.messages
        self.drops_invalid = messages.on_invalid == OnInvalid.DROP
        self.max_invalid_per_minute = messages.max_invalid_per_minute
        self._near, self._far = near, far = Peer(downstream), Peer(upstream)
        dialect = far.side.dialect
        the_filter = filter_for(far.side, drops=self.drops_invalid, xpub_messages=settings.xpub_messages)
        curve = downstream.security
        assert isinstance(curve, Curve)
        opening = CodecState(
            curve.key,
            curve.open_prefix,
            curve.open_nonce,
            messages.max_message_bytes,
            dialect,
            curve.little_endian,
            batch=BATCH,
        )
        sealing = CodecState(
            curve.key, curve.seal_prefix, curve.seal_nonce, messages.max_message_bytes, dialect, batch=BATCH
        )
        inbound, outbound = Opener(self, near, far, opening, the_filter), Sealer(self, far, near, sealing)
        if isinstance(the_filter, ForPublisher):
            opening.dialect = the_filter.dialect
            outbound = PublisherFilter(self, far, near, sealing, the_filter.topics)
        near.reader = far.writer = inbound
        far.reader = near.writer = outbound
        inbound.back, outbound.back = outbound, inbound
        if far.side.never_subscribes:
            outbound.subscribe_to_all()

    def begin(self) -> None:
        """Relay from now on. Both sockets are registered already."""
        reactor = self.env.reactor
        for end in (self._near, self._far):
            reactor.hand_over(end.socket.fileno(), end)
        if self._far.come:
            reactor.schedule(self._far.reader)

    @property
    def client(self) -> str:
        """The operator's name for the client, else its key in Z85."""
        return self.who.name

    @property
    def peer(self) -> str:
        """Where the client comes from."""
        return self.who.address

    @property
    def number(self) -> int:
        """No other session of this process has it."""
        return self.who.number

    @property
    def server_key(self) -> bytes:
        """The public key that the client was given."""
        return self.who.server_key

    @property
    def is_probe(self) -> bool:
        """Whether it came to see whether it would be let in."""
        return self.who.is_probe

    @property
    def socket_type(self) -> str:
        """What the client says it is, for the log."""
        return known(self.type_told)

    @property
    def seconds(self) -> float:
        """How long it is open."""
        return trio.current_time() - self.opened_at

    @property
    def dialect(self) -> str:
        """The version of ZMTP that the service speaks with it."""
        side = self._far.side
        return f"{side.dialect}.{side.minor if side.dialect == Dialect.V3 else 0}"

    # --- limits

    def share(self, quota: "Quota[Session] | None") -> None:
        """What its client may send from now on, in all its sessions."""
        self._near.reader.quota = quota

    def give_way(self) -> None:
        """Its client has more sessions than it may."""
        self._leave(Closed.LIMIT, LINGER_SECONDS)

    def check_idle(self) -> None:
        """Look whether it is idle, as ``IDLE_CHECKS`` says: then it ends."""
        self.quiet = min(self.quiet + 1, IDLE_CHECKS + 1)
        ways = self._near.reader, self._near.writer
        begun = sum(way.begun for way in ways)
        if begun >= self._begun + LEAST_PROGRESS:
            self.quiet = 0
        if not self.quiet or begun < self._begun:
            self._begun = begun
        if self.quiet > IDLE_CHECKS and not self.awaits_reply and all(way.has_nothing_to_do for way in ways):
            self._leave(Closed.IDLE, LINGER_SECONDS)

    def check_alive(self) -> None:
        """PING the client. It ends if it has answered one before, and nothing has come since the last."""
        near = self._near
        if near.side.minor < 1:  # it may be libzmq 4.1, which takes a PING for data
            return
        if near.is_silent and near.side.pongs and near.reader.hears_nothing:
            self.cut(Closed.HEARTBEAT)
        elif self.reason is None:
            near.is_silent = near.writer.ask(OUR_PING)

    # --- told by the pumps

    def end(self, reason: Closed) -> None:
        """The session is ending: whatever is still owed must move, or is given up after a while."""
        if self.reason is None:
            self.reason = reason
        self.linger()

    def linger(self) -> None:
        """One side has ended, or something has moved since."""
        if self._is_closed:
            return
        self.ends_by = min(trio.current_time() + LINGER_SECONDS, self._stays_until)
        self._owner.session_lingers(self)

    def progress(self) -> None:
        """Something was written. Only an ending session measures by it."""
        if self.ends_by < inf:
            self.linger()

    def pump_has_ended(self) -> None:
        if self._near.reader.has_ended and self._near.writer.has_ended:
            self.close()

    def invalid(self, reason: Invalid, detail: str = "") -> None:
        self.env.observer.invalid(self, reason, detail)

    # --- the end

    def revoke(self) -> None:
        """Its client may not be here any more: both ways end behind the message that has begun, or very soon."""
        self._leave_at_once(Closed.REVOKED)

    def dismiss(self) -> None:
        """It is a probe, which has its READY: both ways end before a message has begun, and nothing is relayed."""
        self._leave_at_once(Closed.PROBE)

    @property
    def is_finishing(self) -> bool:
        """Whether its client has closed: what it has said goes on to the service, and nothing follows."""
        return self._near.reader.is_finishing

    def hurry(self) -> None:
        """Its client, which has closed, has come again: it may take so long to finish from the first time on."""
        self._stays_until = min(self._stays_until, trio.current_time() + LINGER_SECONDS)
        self.linger()

    def _leave_at_once(self, reason: Closed) -> None:
        self._parting = Leave.AT_ONCE
        self._leave(reason, AT_ONCE_SECONDS)
        self._near.reader.retire()

    def drain(self) -> None:
        """Send the client away behind a whole message, and behind the reply that a REQ waits for.

        What it has said until it has heard of that is delivered.
        """
        self._parting = Leave.NO_REPLY_OWED
        self._leave(Closed.DRAINED, LINGER_SECONDS)

    def drain_behind_reply(self) -> None:
        """Send a client that asks away behind its next reply, if no other request of it is open then.

        Between two requests is too late: the next one may be on its way already.
        """
        if self.type_told not in REQUESTERS or not self.messages_in:
            self.drain()
        elif self._parting == Leave.AT_ONCE:
            self._parting, self._replies = Leave.BEHIND_REPLY, self.messages_out
            self._far.reader.retire()

    def may_part(self) -> bool:
        """Whether the client's connection may end now, between two whole messages.

        A reply is owed when more requests have come than replies have gone, which is true of services that answer each
        message once, and when something of the client's is still unread.
        """
        if self._parting == Leave.AT_ONCE:
            return True
        is_owed = self.messages_in > self.messages_out or not self._near.reader.has_nothing_to_do
        if self._parting == Leave.BEHIND_REPLY:
            return not is_owed and self.messages_out > self._replies
        return not (is_owed and self.type_told == REQ)

    def has_parted(self) -> None:
        """The client has been told that nothing follows."""
        if self.reason is None:
            self._stays_until = trio.current_time() + LINGER_SECONDS
            self.end(Closed.DRAINED)

    def _leave(self, reason: Closed, seconds: float) -> None:
        self._stays_until = min(self._stays_until, trio.current_time() + seconds)
        self.end(reason)
        self._far.reader.retire()

    @property
    def awaits_reply(self) -> bool:
        """Whether the client has asked what it has not been answered, and would wait for it for ever."""
        return self.type_told == REQ and self.messages_in > self.messages_out

    def cut(self, reason: Closed) -> None:
        """End at once, whatever is owed."""
        if self.reason is None:
            self.reason = reason
        self.close()

    def failed(self, error: Exception) -> None:
        """An error of ours ends this session, and no other."""
        self.env.observer.unexpected(error)
        self.reason = Closed.INTERNAL
        self.close()

    def close(self) -> None:
        """Close both connections."""
        if self._is_closed:
            return
        self._is_closed = True
        for end in (self._near, self._far):
            end.reader.stop()
        self.env.reactor.unregister(self._near.socket.fileno())
        self._near.socket.close()
        self._owner.session_ended(self, self._far.socket)
