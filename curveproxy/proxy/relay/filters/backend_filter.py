"""Which messages a plain side may be sent, by its socket type, its version of ZMTP, and the topics of its client's key.

Nothing else decides that.

All messages on their way to a plain side pass the session's filter, and so do those that a command becomes
(``commands.py``). Sides that survive whatever they are sent have no filter.

What is left out, as read in the sources of libzmq. Attacks were tried behind this filter on 2.0.10, 2.1.7, 2.1.11,
2.2.0, 3.2.2, 4.0.3, 4.1.6, 4.2.5, 4.3.2 and 4.3.4; of versions between those only the sources were read.

* To PUB and XPUB go subscriptions and cancellations: messages of one frame whose first octet is 1 or 0. libzmq looks at
  each frame by itself, so a frame of that kind among several would be another subscription.
    - Before 4.3.3 it walks a subscription by recursion, one level an octet: there is a bound on its size.
    - From 3.2 to 4.2.3 it aborts at the cancellation of what that connection has not subscribed to (``erased == 1`` in
      mtrie.cpp). It speaks ZMTP 2.0 or 3.0, in which 4.2.4 to 4.3.2 can not be told from it.
    - Before 4.3.3 its PUB keeps other messages for ever, and 4.3.0 to 4.3.2 have XPUB dereference a null pointer
      (``data - 1`` in xpub.cpp). The few services that take such messages need ``xpub_messages``.
* 2.x stops reading for good, and so seeing an end, when its PUB, XPUB or PUSH is sent anything. Its
  subscriptions are kept here (``legacy_pubsub.py``).
* PUSH, SCATTER and RADIO read no messages in any version, and would queue them.
* 2.0 to 2.1.7 have REQ abort at a reply that does not begin with an empty part (``zmq_msg_size (msg_) == 0``, req.cpp).
* 2.0 has REP abort at a request without an empty part before its last (``fetched`` in rep.cpp).

Elsewhere: identities, properties (``policy/metadata.py``), PINGs and groups (``wire/zmtp/command.py``), and that a
PAIR of 2.x has one connection (``connect/connections.py``).

A client whose key is for some topics only subscribes to no other at a PUB or XPUB, and publishes no other to a SUB or
XSUB. What it may not is left out, and the session goes on.
"""

from curveproxy.policy.access.terms import NO_TERMS, KeyTerms
from curveproxy.policy.socket_types import PUBLISHERS, REP, REQ, SENDERS, SUBSCRIBERS, XPUB
from curveproxy.policy.subscriptions import Subscriptions
from curveproxy.policy.topics import Prefixes
from curveproxy.proxy.relay.filters.legacy_pubsub import SubscriptionSink
from curveproxy.proxy.relay.filters.message_filter import Filter, PublicationFilter, SubscriptionFilter
from curveproxy.proxy.relay.peer import Capabilities
from curveproxy.reasons import Invalid
from curveproxy.wire.codec.state import Buffer
from curveproxy.wire.zmtp.frame import Dialect


class ToSender(Filter):
    """To a service that only sends."""

    def _check(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:  # noqa: ARG002
        return Invalid.NOT_ACCEPTED


class ToOldRequester(Filter):
    """A reply begins with an empty part."""

    def _check(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:  # noqa: ARG002
        return None if not self._is_first or (more and begin == end) else Invalid.NOT_ACCEPTED


class ToOldReplier(Filter):
    """A request has an empty part, and something behind it."""

    _is_delimited = False

    def _check(self, frames: Buffer, begin: int, end: int, more: bool) -> Invalid | None:  # noqa: ARG002
        was_delimited = self._is_delimited and not self._is_first
        self._is_delimited = was_delimited or begin == end
        return None if more or was_delimited else Invalid.NOT_ACCEPTED


def filter_for(service: Capabilities, *, drops: bool, xpub_messages: bool, terms: KeyTerms = NO_TERMS) -> Filter | None:
    """The filter on the way to this side; None where anything may pass. terms: of the key of who sends."""
    kind, dialect = service.socket_type, service.dialect
    if kind in PUBLISHERS:
        allowed = Prefixes.of(terms.topics)
        if dialect == Dialect.V1:
            return SubscriptionSink(Dialect.V3, drops=drops, topics=Subscriptions(), allowed=allowed)
        takes_messages, topics = kind == XPUB and xpub_messages, Subscriptions() if service.minor < 1 else None
        return SubscriptionFilter(dialect, drops=drops, takes_messages=takes_messages, topics=topics, allowed=allowed)
    if kind in SUBSCRIBERS and terms.publish_topics is not None:
        return PublicationFilter(dialect, drops=drops, allowed=Prefixes(terms.publish_topics))
    if kind in SENDERS:
        return ToSender(dialect, drops=drops)
    if dialect == Dialect.V1 and kind == REQ:
        return ToOldRequester(dialect, drops=drops)
    if dialect == Dialect.V1 and kind == REP:
        return ToOldReplier(dialect, drops=drops)
    return None
