"""Publishers before ZMTP 2.0, which publish everything and must be sent nothing: filtering is done here.

Their subscriber's subscriptions are kept (``SubscriptionSink``), and of what they publish only what was subscribed to
is sealed (``PublisherFilter``, ``RecordPublisherFilter``). The two share one set of topics.
"""

from curveproxy.policy.limits import MessageLimits
from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.relay.env import RecordCount
from curveproxy.proxy.relay.filters.message_filter import SubscriptionFilter
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.proxy.relay.records import RecordSealer
from curveproxy.proxy.relay.sealer import Sealer
from curveproxy.proxy.relay.transformed import Transformed
from curveproxy.wire import spec
from curveproxy.wire.codec.record_state import RecordState
from curveproxy.wire.codec.select import seal_frames, seal_records
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
        sink: Capabilities,
        limits: MessageLimits,
        topics: Subscriptions,
    ) -> None:
        super().__init__(state, sink, limits)
        self._topics, self._skips = topics, False  # in the middle of a message that is not wanted
        state.batch = BATCH_FRAMES_IN_PYTHON

    @property
    def for_engine(self) -> None:
        return None

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


class RecordPublisherFilter(RecordSealer):
    """Seals only what was subscribed to. Whether a message is, its beginning tells: no frame is kept for it.

    topics: the sink's subscriptions.
    """

    __slots__ = ("_left_out", "_skips", "_topics")

    def __init__(
        self,
        state: RecordState,
        sink: Capabilities,
        limits: MessageLimits,
        count: RecordCount,
        topics: Subscriptions,
    ) -> None:
        state.batch = BATCH_FRAMES_IN_PYTHON
        super().__init__(state, sink, limits, count)
        self._topics = topics
        self._skips, self._left_out = False, 0  # in a message that is not wanted; octets of its frame that are to come

    def apply(self, source: Buffer, start: int, end: int, target: Buffer) -> Transformed:
        state, counter, left, at, messages, octets = self._state, self._state.counter, self._batch, 0, 0, 0
        sealed = 0
        if self._seeks_boundary:
            self._seeks_boundary, left = False, self._frames_to_boundary(state.body_left)
        while True:
            step = min(self._left_out, end - start)
            start, self._left_out = start + step, self._left_out - step
            behind, wanted, looked_at = self._reach(source, start, end, left)
            left -= looked_at
            if start in (behind, end):
                stop = Stop.FULL if start < end and not left else Stop.INCOMPLETE
                break
            if not wanted:
                start, self._left_out = min(behind, end), max(0, behind - end)
                continue
            batch = seal_records(state, source, start, min(behind, end), target, at)
            sealed += batch.start - start
            start, at, stop = batch.start, batch.at, batch.stop
            messages, octets = messages + batch.messages, octets + batch.octets
            if stop != Stop.INCOMPLETE or start < min(behind, end):
                break
        return self._counted(Batch(start, at, messages, octets, stop), target, counter, sealed)

    def _reach(self, source: Buffer, start: int, end: int, most: int) -> tuple[int, bool, int]:
        """How far frames reach, no more than ``most``, that are all wanted, or all not; which; and how many.

        The last one may not have come as a whole. Nothing is known yet of one whose beginning is too short.
        """
        state, count = self._state, 0
        at, wanted = start + state.body_left, not self._skips
        begun = self._skips or (state.more if state.body_left else state.held > 0)
        while at < end and count < most and (header := read_header(source.data, at, end, Dialect.V1)) is not None:
            body, behind, flags = header
            if not body <= behind <= at + state.limit:  # sealing says what is wrong with it
                return (at, wanted, count) if at > start else (end, True, count)
            if not begun:
                if behind > end and end - body < self._topics.longest:
                    break
                matches = self._topics.match(source.view[body : min(behind, end)])
                if at > start and matches != wanted:
                    break
                wanted = matches
            begun = bool(flags & spec.MORE)
            at = behind
            count += 1
        if not wanted:
            self._skips = begun
        return at, wanted, count
