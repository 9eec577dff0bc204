"""The walk over frames that leaves whole messages out, and the filters of publish and subscribe."""

from abc import ABC, abstractmethod

from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.policy.topics import Prefixes
from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.zmtp.frame import Dialect, read_header

SUBSCRIBE, CANCEL = 1, 0


class Filter(ABC):
    """Follows the frames on their way to one sink, and leaves whole messages out.

    dialect: how they are framed.
    drops: it is shown whole messages only. Otherwise a session ends at a bad part behind a message's first part, which
        has gone on already, and at a subscription that is too large.
    has_ended: nothing may go on any more.
    passes_on: whether messages that are in order go on; if not, they are for this filter alone.
    """

    passes_on = True

    def __init__(self, dialect: Dialect, *, drops: bool) -> None:
        self.dialect, self.has_ended = dialect, False
        self._drops = drops
        self._is_first = self._passes = True  # the next frame begins a message; the message goes on
        self._was_off_topic = False

    def filter_untrusted(self, frames: Buffer, end: int) -> tuple[int, list[Invalid]]:
        """Take out of ``frames[:end]`` (plain, whole) what the sink must not be sent.

        Returns the new end, and a reason for each message that was left out: not_accepted, not_subscribed, too_large,
        topic.
        """
        at = kept = message_at = 0
        flaws = []
        while at < end and not self.has_ended:
            header = read_header(frames.data, at, end, self.dialect)
            assert header is not None
            body, behind, flags = header
            more = bool(flags & spec.MORE)
            if self._is_first:
                message_at, self._passes = kept, True
            if self._passes and (flaw := self._check(frames, body, behind, more)) is not None:
                flaws.append(flaw)
                kept, self._passes = message_at, False
                self.has_ended = not self._drops and (flaw == Invalid.TOO_LARGE or not self._is_first)
            self._is_first = not more
            if self._passes and self.passes_on:
                if kept < at:
                    frames.view[kept : kept + behind - at] = frames.view[at:behind]
                kept += behind - at
            at = behind
        return kept, flaws

    def is_first_off_topic(self) -> bool:
        """Note that something was left out for its topic. Whether it is the first such."""
        was_off_topic, self._was_off_topic = self._was_off_topic, True
        return not was_off_topic

    @abstractmethod
    def _check(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:
        """Why a message must not go on, whose next part is ``frames[begin:end]``; None when it may."""


class SubscriptionFilter(Filter):
    """To a publisher.

    takes_messages: it may be sent other messages than subscriptions, too.
    topics: what was subscribed to, where a cancellation of anything else must not go on; else None.
    allowed: to what its client may subscribe, and what it may cancel; None for anything.
    """

    topics: Subscriptions | None

    def __init__(
        self,
        dialect: Dialect,
        *,
        drops: bool,
        takes_messages: bool = False,
        topics: Subscriptions | None = None,
        allowed: Prefixes | None = None,
    ) -> None:
        super().__init__(dialect, drops=drops)
        self._takes_messages, self.topics, self._allowed = takes_messages, topics, allowed

    def _check(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:
        lead = frames.data[begin] if begin < end else None
        if lead not in (SUBSCRIBE, CANCEL):
            return None if self._takes_messages else Invalid.NOT_ACCEPTED
        if more or not self._is_first:
            return Invalid.NOT_ACCEPTED
        if end - begin > spec.SUBSCRIPTION_MAX:
            return Invalid.TOO_LARGE
        if self._allowed is not None and not self._allowed.allow(frames.view[begin + 1 : end]):
            return Invalid.TOPIC
        if self.topics is None:
            return None
        topic = bytes(frames.view[begin + 1 : end])
        if lead == SUBSCRIBE:
            return None if self.topics.add(topic) else Invalid.TOO_LARGE
        return None if self.topics.remove(topic) else Invalid.NOT_SUBSCRIBED


class PublicationFilter(Filter):
    """To a subscriber. What a message is about, its first part tells.

    allowed: what its client may publish.
    """

    def __init__(self, dialect: Dialect, *, drops: bool, allowed: Prefixes) -> None:
        super().__init__(dialect, drops=drops)
        self._allowed = allowed

    def _check(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:  # noqa: ARG002
        return Invalid.TOPIC if self._is_first and not self._allowed.allow(frames.view[begin:end]) else None
