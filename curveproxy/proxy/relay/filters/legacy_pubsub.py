"""Publishers before ZMTP 2.0, which publish everything and must be sent nothing: filtering is done here.

Their subscriber's subscriptions are kept (``SubscriptionSink``), and of what they publish only what was subscribed to
is sealed (``PublisherFilter``). The two share one set of topics.
"""

from curveproxy.policy.limits import MessageLimits
from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.relay.filters.message_filter import SubscriptionFilter
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.proxy.relay.transformed import Transformed
from curveproxy.wire import spec
from curveproxy.wire.codec.select import seal_frames
from curveproxy.wire.codec.state import BATCH_FRAMES_IN_PYTHON, Batch, Buffer, CodecState, Stop
from curveproxy.wire.zmtp.frame import Dialect, read_header


class SubscriptionSink(SubscriptionFilter):
    """Keeps the subscriptions to a publisher, and lets nothing go on to it."""

    topics: Subscriptions
    passes_on = False


class PublisherFilter(Sealer):
    """Seals only what was subscribed to.

    topics: the sink's subscriptions.
    """

    __slots__ = ("_skips", "_topics")

    def __init__(
        self,
        state: CodecState,
        source: Capabilities,
        sink: Capabilities,
        limits: MessageLimits,
        topics: Subscriptions,
    ) -> None:
        super().__init__(state, source, sink, limits)
        self._topics, self._skips = topics, False  # in the middle of a message that is not wanted
        state.batch = BATCH_FRAMES_IN_PYTHON

    def apply(self, source: Buffer, start: int, end: int, target: Buffer) -> Transformed:
        state = self._state
        nonce, left, at, messages, octets = state.nonce, state.batch, 0, 0, 0
        stop = Stop.FULL
        while left:
            behind, wanted, looked_at = self._reach(source, start, end, left)
            left -= looked_at
            if behind > start and not wanted:
                start = behind
                continue
            if behind == start:
                behind = end  # no whole frame, or one over the limit: sealing says which
            batch = seal_frames(state, source, start, behind, target, at)
            start, at = batch.start, batch.at
            messages, octets = messages + batch.messages, octets + batch.octets
            if batch.stop != Stop.INCOMPLETE or behind == end:
                stop = batch.stop
                break
        return Transformed(Batch(start, at, messages, octets, stop), target, state.nonce - nonce)

    def _reach(self, source: Buffer, start: int, end: int, most: int) -> tuple[int, bool, int]:
        """How far whole frames reach, no more than ``most``, that are all wanted, or all not; which; and how many."""
        at, begun, wanted, count = start, self._skips or self._state.held > 0, not self._skips, 0
        limit = self._state.limit
        while count < most and (header := read_header(source.data, at, end, Dialect.V1)) is not None:
            body, behind, flags = header
            if not body <= behind <= min(end, at + limit):
                break
            if not begun:
                matches = self._topics.match(source.view[body:behind])
                if at > start and matches != wanted:
                    break
                wanted = matches
            begun = bool(flags & spec.MORE)
            at = behind
            count += 1
        if not wanted:
            self._skips = begun
        return at, wanted, count
