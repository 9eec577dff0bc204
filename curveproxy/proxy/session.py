"""A session: an admitted client, its own connection to the service, and the two pumps between them."""

from typing import TYPE_CHECKING

import trio

from curveproxy.policy.topics import Topics
from curveproxy.proxy.inbound import Heeding, Inbound
from curveproxy.proxy.outbound import Choosing, Outbound
from curveproxy.proxy.pump import Peer
from curveproxy.proxy.waiting_room import READ, WRITE
from curveproxy.reasons import Closed, Invalid
from curveproxy.wire import box
from curveproxy.wire.codec import Direction
from curveproxy.wire.curve_server import Initiate
from curveproxy.wire.frame import Dialect

if TYPE_CHECKING:
    from curveproxy.proxy.service import Service

# How long the other side may take none of what it is owed, once one side has ended.
LINGER_SECONDS = 10.0


class Session:
    """One client's. It ends when both pumps have ended, or when nothing moves any more after one side has.

    client: the operator's name for it, else its key in Z85; peer: where it comes from.
    socket_type: what it says it is.
    reason: why the session ended; the first that is told wins.
    """

    __slots__ = (
        "_far",
        "_is_closed",
        "_near",
        "client",
        "key",
        "linger_until",
        "opened_at",
        "peer",
        "reason",
        "service",
        "socket_type",
    )

    def __init__(
        self,
        service: "Service",
        client: str,
        peer: str,
        socket_type: str,
        near: Peer,
        far: Peer,
        initiate: Initiate,
    ) -> None:
        self.service, self.client, self.key = service, client, initiate.client
        self.peer, self.socket_type = peer, socket_type
        self.opened_at = trio.current_time()
        self.reason: Closed | None = None
        self.linger_until: float | None = None
        self._near, self._far, self._is_closed = near, far, False
        limit = service.settings.messages.max_message_bytes
        dialect = far.side.dialect
        opening = Direction(
            initiate.shared, box.MESSAGE_FROM_CLIENT, initiate.nonce, limit, dialect, initiate.little_endian
        )
        sealing = Direction(initiate.shared, box.MESSAGE_FROM_SERVER, 1, limit, dialect)  # READY was 1
        inbound, outbound = Inbound(self, near, far, opening), Outbound(self, far, near, sealing)
        if far.side.publishes_all:
            opening.dialect, topics = Dialect.V3, Topics()
            inbound, outbound = Heeding(self, near, far, opening, topics), Choosing(self, far, near, sealing, topics)
        near.reader = far.writer = inbound
        far.reader = near.writer = outbound
        inbound.back, outbound.back = outbound, inbound
        if far.side.never_subscribes:
            outbound.subscribe_to_all()

    def begin(self) -> None:
        """Relay from now on."""
        room = self.service.room
        room.enter(self._near.socket.fileno(), self._near, READ | WRITE)
        room.replace(self._far.socket.fileno(), self._far)
        if self._far.come:
            room.wake_again(self._far.reader)

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
        self.linger_until = trio.current_time() + LINGER_SECONDS
        self.service.lingering.add(self)

    def progress(self) -> None:
        """Something was written. Only an ending session measures by it."""
        if self.linger_until is not None:
            self.linger()

    def pump_has_ended(self) -> None:
        if self._near.reader.has_ended and self._near.writer.has_ended:
            self.close()

    def invalid(self, reason: Invalid, detail: str = "") -> None:
        self.service.observer.invalid(self, reason, detail)

    # --- the end

    def cut(self, reason: Closed) -> None:
        """End at once, whatever is owed."""
        if self.reason is None:
            self.reason = reason
        self.close()

    def fail(self, error: Exception) -> None:
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
            self.service.room.leave(end.socket.fileno())
            end.socket.close()
        self.service.session_has_ended(self)
