"""What a service may be sent: the one place that decides it, by its socket type and the version of ZMTP it speaks.

All frames of messages on their way to a service pass the session's filter, those included that a client's command
becomes (``commands.py`` decides what a command becomes). Services that survive whatever they are sent have no filter.

What is left out, as read in the sources of libzmq. Sessions that attack were tried behind this filter on 2.0.10, 2.1.7,
2.1.11, 2.2.0, 3.2.2, 4.0.3, 4.1.6, 4.2.5, 4.3.2 and 4.3.4; which versions between those are concerned was only read.

* To PUB and XPUB go subscriptions and cancellations: messages of one frame whose first octet is 1 or 0. libzmq looks at
  each frame by itself, so a frame of that kind among several would be another subscription.
    - Before 4.3.3 it walks a subscription by recursion, one level an octet: there is a bound on its size.
    - From 3.2 to 4.2.3 it aborts at the cancellation of what that connection has not subscribed to (``erased == 1`` in
      mtrie.cpp). It speaks ZMTP 2.0 or 3.0, in which 4.2.4 to 4.3.2 can not be told from it.
    - Before 4.3.3 its PUB keeps other messages for ever, and 4.3.0 to 4.3.2 have XPUB dereference a null pointer
      (``data - 1`` in xpub.cpp). The few services that take such messages need ``xpub_messages``.
* 2.x stops reading for good, and so seeing an end, when its PUB, XPUB or PUSH is sent anything. Subscriptions are
  heeded here.
* PUSH, SCATTER and RADIO read no messages in any version, and would queue them.
* 2.0 to 2.1.7 have REQ abort at a reply that does not begin with an empty part (``zmq_msg_size (msg_) == 0``, req.cpp).
* 2.0 has REP abort at a request without an empty part before its last (``fetched`` in rep.cpp).

Elsewhere: identities, properties (``policy/metadata.py``), PINGs and groups (``wire/zmtp/command.py``), and that a
PAIR of 2.x has one connection (``connect/dialer.py``).
"""

from abc import ABC, abstractmethod

from curveproxy.policy.socket_types import PUBLISHERS, REP, REQ, SENDERS, XPUB
from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.proxy.relay.commands import Side
from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec.framing import frame_size, plain_header
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.zmtp.frame import Dialect

SUBSCRIBE, CANCEL = 1, 0


class Filter(ABC):
    """Follows the frames on their way to one service, and leaves whole messages out.

    dialect: how they are framed.
    drops: it is shown whole messages only. Else what is wrong behind a message's first part, which has gone on, ends
        the session, as a subscription does that is too large.
    has_ended: nothing may go on any more.
    """

    def __init__(self, dialect: Dialect, *, drops: bool) -> None:
        self.dialect, self.has_ended = dialect, False
        self._drops = drops
        self._is_first = self._passes = True  # the next frame begins a message; the message goes on

    def filter_untrusted(self, frames: Buffer, end: int) -> tuple[int, list[Invalid]]:
        """Take out of ``frames[:end]`` (plain, whole) what the service must not see.

        Returns the new end, and why for each message that was left out: not_accepted, not_subscribed, too_large.
        """
        at = kept = message_at = 0
        flaws = []
        while at < end and not self.has_ended:
            behind = at + frame_size(frames, at, end, self.dialect)
            body, more = plain_header(frames, at, self.dialect)
            if self._is_first:
                message_at, self._passes = kept, True
            if self._passes and (flaw := self._judge(frames, body, behind, more)) is not None:
                flaws.append(flaw)
                kept, self._passes = message_at, False
                self.has_ended = not self._drops and (flaw == Invalid.TOO_LARGE or not self._is_first)
            self._is_first = not more
            if self._passes and self._goes_on:
                if kept < at:
                    frames.view[kept : kept + behind - at] = frames.view[at:behind]
                kept += behind - at
            at = behind
        return kept, flaws

    _goes_on = True  # what is in order; else it was meant for this filter

    @abstractmethod
    def _judge(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:
        """Why the message may not go on whose next part is ``frames[begin:end]``."""


class ToPublisher(Filter):
    """takes_messages: not only subscriptions; topics: what the client has subscribed to, where that must be known."""

    topics: Subscriptions | None

    def __init__(
        self, dialect: Dialect, *, drops: bool, takes_messages: bool = False, topics: Subscriptions | None = None
    ) -> None:
        super().__init__(dialect, drops=drops)
        self._takes_messages, self.topics = takes_messages, topics

    def _judge(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:
        lead = frames.data[begin] if begin < end else None
        if lead not in (SUBSCRIBE, CANCEL):
            return None if self._takes_messages else Invalid.NOT_ACCEPTED
        if more or not self._is_first:
            return Invalid.NOT_ACCEPTED
        if end - begin > spec.SUBSCRIPTION_MAX:
            return Invalid.TOO_LARGE
        if self.topics is None:
            return None
        topic = bytes(frames.view[begin + 1 : end])
        if lead == SUBSCRIBE:
            return None if self.topics.add(topic) else Invalid.TOO_LARGE
        return None if self.topics.remove(topic) else Invalid.NOT_SUBSCRIBED


class ForPublisher(ToPublisher):
    """Heeds the subscriptions to a publisher that heeds none, and must be sent nothing."""

    topics: Subscriptions
    _goes_on = False


class ToSender(Filter):
    """To a service that only sends."""

    def _judge(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:  # noqa: ARG002
        return Invalid.NOT_ACCEPTED


class ToOldRequester(Filter):
    """A reply begins with an empty part."""

    def _judge(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:  # noqa: ARG002
        return None if not self._is_first or (more and begin == end) else Invalid.NOT_ACCEPTED


class ToOldReplier(Filter):
    """A request has an empty part, and something behind it."""

    _is_delimited = False

    def _judge(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:  # noqa: ARG002
        was_delimited = self._is_delimited and not self._is_first
        self._is_delimited = was_delimited or begin == end
        return None if more or was_delimited else Invalid.NOT_ACCEPTED


def filter_for(service: Side, *, drops: bool, xpub_messages: bool) -> Filter | None:
    """The filter of a session with this service; None where anything may pass."""
    kind, dialect = service.socket_type, service.dialect
    if kind in PUBLISHERS:
        if dialect == Dialect.V1:
            return ForPublisher(Dialect.V3, drops=drops, topics=Subscriptions())
        takes_messages, topics = kind == XPUB and xpub_messages, Subscriptions() if service.minor < 1 else None
        return ToPublisher(dialect, drops=drops, takes_messages=takes_messages, topics=topics)
    if kind in SENDERS:
        return ToSender(dialect, drops=drops)
    if dialect == Dialect.V1 and kind == REQ:
        return ToOldRequester(dialect, drops=drops)
    if dialect == Dialect.V1 and kind == REP:
        return ToOldReplier(dialect, drops=drops)
    return None
