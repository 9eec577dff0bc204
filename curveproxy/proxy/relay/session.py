"""A session: an admitted client, its own connection to the service, and the two pumps between them."""

import socket
from enum import Enum, auto
from math import inf
from typing import Protocol

import trio

from curveproxy.policy.quotas import Quota
from curveproxy.policy.socket_types import REQ, REQUESTERS
from curveproxy.proxy.established import Established
from curveproxy.proxy.relay.commands import OUR_PING
from curveproxy.proxy.relay.env import AdmittedClient, RelayEnv
from curveproxy.proxy.relay.pump_pair import PumpPair
from curveproxy.proxy.settings import ServiceSettings
from curveproxy.reasons import Closed

# How long the other side may take none of what it is owed, once one side has ended.
LINGER_SECONDS = 10.0
# How long a revoked client's last message may take, and how long a probe may stay.
AT_ONCE_SECONDS = 0.5
# Fewer octets of an unfinished message in ``idle_seconds`` do not keep a session from being idle; a message does.
LEAST_PROGRESS = 1024
# Idle checks per ``idle_seconds``: an idle session ends at most one check late.
IDLE_CHECKS = 8


class Leave(Enum):
    """When a session that is to leave may do so."""

    AT_ONCE = auto()
    NO_REPLY_OWED = auto()  # as far as is known: see ``Session.may_finish``
    BEHIND_REPLY = auto()  # in the same segment as the reply to the last request


class SessionOwner(Protocol):
    """A service, to its sessions."""

    def session_lingers(self, session: "Session") -> None:
        """It is ending: close it when ``ends_by`` has come."""

    def session_renews(self, session: "Session", certificate: bytes) -> None:
        """Its client has presented another certificate: its text."""

    def session_ended(self, session: "Session", upstream: socket.SocketType) -> None:
        """It has ended, and the connection to the service is given back."""


class Session(PumpPair):
    """One client's. It ends when both pumps have ended, or when nothing moves any more after one side has.

    reason: why the session ended; the first one counts.
    ends_by: when it is closed, once it is ending.
    """

    __slots__ = (
        "_idle_checks",
        "_is_closed",
        "_leave_when",
        "_owner",
        "_progress",
        "_replies",
        "_stays_until",
        "ends_by",
        "reason",
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
        """downstream: the side that has connected to us; upstream: the side to which we have connected."""
        super().__init__(client, downstream, upstream, settings, env)
        self._owner = owner
        self._idle_checks = 0  # how often it was idle in a row
        self._progress = 0  # how far it had come when that last kept it from being idle
        self._leave_when, self._replies, self._is_closed = Leave.AT_ONCE, 0, False
        self.reason: Closed | None = None
        self.ends_by = self._stays_until = inf

    # --- limits

    def share(self, quota: "Quota[Session] | None") -> None:
        """What its client may send from now on, in all its sessions."""
        self._to_upstream.limit(quota)

    def end_over_limit(self) -> None:
        """Its client has more sessions than it may."""
        self._leave(Closed.LIMIT, LINGER_SECONDS)

    def check_idle(self) -> None:
        """Count that it was idle, as ``IDLE_CHECKS`` says; end it when it was so often."""
        pumps = self._to_upstream, self._to_downstream
        progress = sum(pump.messages * LEAST_PROGRESS + pump.octets + pump.begun for pump in pumps)
        has_moved = progress >= self._progress + LEAST_PROGRESS
        self._idle_checks = 1 if has_moved else min(self._idle_checks + 1, IDLE_CHECKS + 1)
        if has_moved or progress < self._progress:  # what had begun was left out
            self._progress = progress
        if self._idle_checks > IDLE_CHECKS and not self.awaits_reply and all(pump.is_idle for pump in pumps):
            self._leave(Closed.IDLE, LINGER_SECONDS)

    def check_alive(self) -> None:
        """PING the side that speaks CURVE, for that one is across the network: the client, or the remote of an egress.

        The session ends if it has answered a PING before, and nothing has come since the last.
        """
        peer, reader = self._boxed
        writer = self._other(reader)
        if peer.minor < 1:  # it may be libzmq 4.1, which takes a PING for data
            return
        if reader.is_silent and peer.answers_ping and reader.waits_in_vain and not writer.is_blocked_on_sink:
            self.abort(Closed.HEARTBEAT)
        elif self.reason is None:
            reader.await_sign(asked=writer.try_send_command(OUR_PING))

    # --- told by the pumps

    def presented(self, certificate: bytes) -> None:
        self._owner.session_renews(self, certificate)

    def end(self, reason: Closed) -> None:
        """The session is ending: whatever is still owed must move, or is given up after a while."""
        self.reason = self.reason or reason
        self.linger()

    def linger(self) -> None:
        """One side has ended, or something has moved since."""
        if self._is_closed:
            return
        if self.ends_by == inf:
            self._to_upstream.watch()
            self._to_downstream.watch()
            self._owner.session_lingers(self)
        self.ends_by = min(trio.current_time() + LINGER_SECONDS, self._stays_until)

    def progress(self) -> None:
        """Something was written. Only an ending session measures by it."""
        if self.ends_by < inf:
            self.linger()

    def pump_ended(self) -> None:
        if self._to_upstream.has_ended and self._to_downstream.has_ended:
            self.close()

    # --- the end

    def revoke(self, reason: Closed = Closed.REVOKED) -> None:
        """Its client is no longer allowed: both directions end behind the message that has begun, or very soon."""
        self._leave_at_once(reason)

    def dismiss(self) -> None:
        """It is a probe, which has its READY: both directions end at once, and nothing is relayed."""
        self._leave_at_once(Closed.PROBE)

    @property
    def is_finishing(self) -> bool:
        """Whether its client has closed: what it has sent is still delivered, and nothing follows."""
        return self._to_upstream.is_finishing

    def hurry(self) -> None:
        """Its client has closed and connected again: finish within ``LINGER_SECONDS`` from the first such time on."""
        self._stays_until = min(self._stays_until, trio.current_time() + LINGER_SECONDS)
        self.linger()

    def _leave_at_once(self, reason: Closed) -> None:
        self._leave_when = Leave.AT_ONCE
        self._leave(reason, AT_ONCE_SECONDS)
        self._to_upstream.finish()

    def drain(self) -> None:
        """Send the client away behind a whole message, and behind the reply that a REQ waits for.

        What the client sends before it sees the end is delivered.
        """
        self._leave_when = Leave.NO_REPLY_OWED
        self._leave(Closed.DRAINED, LINGER_SECONDS)

    def drain_behind_reply(self) -> None:
        """Send a client that asks away behind its next reply, if no other request of it is open then.

        Between two requests is too late: the next one may be on its way already.
        """
        if self.claimed_type not in REQUESTERS or not self.messages_in:
            self.drain()
        elif self._leave_when == Leave.AT_ONCE:
            self._leave_when, self._replies = Leave.BEHIND_REPLY, self.messages_out
            self._to_downstream.finish()

    def may_finish(self) -> bool:
        """Whether the client's connection may end now, between two whole messages.

        A reply is owed when more requests have come than replies have gone, which is true of services that answer each
        message once, and when something of the client's is still unread.
        """
        if self._leave_when == Leave.AT_ONCE:
            return True
        is_owed = self.messages_in > self.messages_out or not self._to_upstream.is_idle
        if self._leave_when == Leave.BEHIND_REPLY:
            return not is_owed and self.messages_out > self._replies
        return not (is_owed and self.claimed_type == REQ)

    def finished(self) -> None:
        """The client has been told that nothing follows."""
        if self.reason is None:
            self._stays_until = trio.current_time() + LINGER_SECONDS
            self.end(Closed.DRAINED)

    def _leave(self, reason: Closed, seconds: float) -> None:
        self._stays_until = min(self._stays_until, trio.current_time() + seconds)
        self.end(reason)
        self._to_downstream.finish()

    def abort(self, reason: Closed) -> None:
        """End at once, whatever is owed."""
        self.reason = self.reason or reason
        self.close()

    def expire(self) -> None:
        """Nothing has moved for too long since it began to end: one side takes no more, and the other has gone."""
        self.reason = self.reason or self._who_has_gone()
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
        self._to_upstream.stop()
        self._to_downstream.stop()
        self.env.reactor.unregister(self._downstream.socket.fileno())
        self._downstream.socket.close()
        self._owner.session_ended(self, self._upstream.socket)
