"""A session: an admitted client, its own connection to the service, and the two pumps between them."""

from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

import trio

from curveproxy.policy.quotas import Quota
from curveproxy.policy.socket_types import known
from curveproxy.proxy.relay.commands import OUR_PING
from curveproxy.proxy.relay.filters.backend_filter import ForPublisher, filter_for
from curveproxy.proxy.relay.opener import Opener
from curveproxy.proxy.relay.pump import Peer
from curveproxy.proxy.relay.sealer import PublisherFilter, Sealer
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire.codec.select import BATCH, CodecState
from curveproxy.wire.curve import box
from curveproxy.wire.zmtp.frame import Dialect

if TYPE_CHECKING:
    from curveproxy.proxy.service import PendingSession

# How long the other side may take none of what it is owed, once one side has ended.
LINGER_SECONDS = 10.0
# How long the message may take that a revoked client is in, and how long a probe may stay.
AT_ONCE_SECONDS = 0.5
# An unfinished frame of which fewer octets come in ``idle_seconds`` does not keep its session from being idle.
LEAST_PROGRESS = 1024
# So often in ``idle_seconds`` is it looked whether a session is idle, which ends at most one such part late.
QUIET_LOOKS = 8


# The types of clients that wait for the replies of their service.
ASKING = frozenset({b"REQ", b"DEALER"})


class Leave(Enum):
    """When a session that is to leave may do so."""

    AT_ONCE = auto()
    NO_REPLY_OWED = auto()  # as far as is known: see ``Session.may_part``
    BEHIND_REPLY = auto()  # in the same segment as the reply to the last request


class Session:
    """One client's. It ends when both pumps have ended, or when nothing moves any more after one side has.

    client: the operator's name for it, else its key in Z85; peer: where it comes from.
    type_told, identity: what it says it is, and who it is to the service; server: the public key it was given.
    is_probe: it came to see whether it would be let in.
    messages_in, octets_in, messages_out, octets_out: what was relayed; ``in`` is from client to service.
    number: no other session of this process has it.
    reason: why the session ended; the first that is told wins.
    ends_by: when it is closed, once it is ending.
    quiet: how often it was looked at since a message came through, or enough of one.
    """

    __slots__ = (
        "_begun",
        "_far",
        "_is_closed",
        "_near",
        "_parting",
        "_replies",
        "_stays_until",
        "client",
        "ends_by",
        "identity",
        "is_probe",
        "key",
        "messages_in",
        "messages_out",
        "number",
        "octets_in",
        "octets_out",
        "opened_at",
        "peer",
        "quiet",
        "reason",
        "server",
        "service",
        "type_told",
    )

    def __init__(self, who: "PendingSession", near: Peer, far: Peer) -> None:
        service, initiate = who.service, who.initiate
        self.service, self.client, self.peer, self.identity = service, who.name, who.peer, who.identity
        self.key, self.server, self.type_told = initiate.client, who.server.public, near.side.socket_type
        self.is_probe = who.is_probe
        self.number, self.opened_at = who.number, trio.current_time()
        self.messages_in = self.messages_out = self.octets_in = self.octets_out = 0
        self.quiet = self._begun = 0
        self._parting, self._replies = Leave.AT_ONCE, 0
        self.reason: Closed | None = None
        self.ends_by = self._stays_until = inf
        self._near, self._far, self._is_closed = near, far, False
        messages, dialect = service.settings.messages, far.side.dialect
        the_filter = filter_for(
            far.side, drops=messages.on_invalid == "drop", xpub_messages=service.settings.xpub_messages
        )
        limit = messages.max_message_bytes
        opening = CodecState(
            initiate.shared,
            box.MESSAGE_FROM_CLIENT,
            initiate.nonce,
            limit,
            dialect,
            initiate.little_endian,
            batch=BATCH,
        )
        sealing = CodecState(initiate.shared, box.MESSAGE_FROM_SERVER, 1, limit, dialect, batch=BATCH)  # READY was 1
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
        reactor = self.service.reactor
        for end in (self._near, self._far):
            reactor.hand_over(end.socket.fileno(), end)
        if self._far.come:
            reactor.schedule(self._far.reader)

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

    def grow_quiet(self) -> None:
        """Look whether it is idle, as ``QUIET_LOOKS`` says: then it ends."""
        self.quiet = min(self.quiet + 1, QUIET_LOOKS + 1)
        ways = self._near.reader, self._near.writer
        begun = sum(way.begun for way in ways)
        if begun >= self._begun + LEAST_PROGRESS:
            self.quiet = 0
        if not self.quiet or begun < self._begun:
            self._begun = begun
        if self.quiet > QUIET_LOOKS and not self.awaits_reply and all(way.has_nothing_to_do for way in ways):
            self._leave(Closed.IDLE, LINGER_SECONDS)

    def ask_for_life(self) -> None:
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
        self.service.lingering.add(self)

    def progress(self) -> None:
        """Something was written. Only an ending session measures by it."""
        if self.ends_by < inf:
            self.linger()

    def pump_has_ended(self) -> None:
        if self._near.reader.has_ended and self._near.writer.has_ended:
            self.close()

    def invalid(self, reason: Invalid, detail: str = "") -> None:
        self.service.observer.invalid(self, reason, detail)

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
        if self.type_told not in ASKING or not self.messages_in:
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
        return not (is_owed and self.type_told == b"REQ")

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
        return self.type_told == b"REQ" and self.messages_in > self.messages_out

    def cut(self, reason: Closed) -> None:
        """End at once, whatever is owed."""
        if self.reason is None:
            self.reason = reason
        self.close()

    def failed(self, error: Exception) -> None:
        """An error of ours ends this session, and no other."""
        self.service.observer.unexpected(error)
        self.reason = Closed.INTERNAL
        self.close()

    def close(self) -> None:
        """Close both connections."""
        if self._is_closed:
            return
        self._is_closed = True
        for end in (self._near, self._far):
            end.reader.stop()
        self.service.reactor.unregister(self._near.socket.fileno())
        self._near.socket.close()
        self.service.backend.take_back(self._far.socket)
        self.service.session_has_ended(self)
