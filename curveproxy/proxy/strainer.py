"""What a client may send to a PUB or XPUB service: subscriptions of a bounded length, and messages only to XPUB.

libzmq < 4.3.3 walks long subscriptions by recursion, and its PUB keeps the properties of other messages for ever.
"""

from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec import Buffer, frame_size
from curveproxy.wire.errors import PeerError
from curveproxy.wire.frame import Dialect

SUBSCRIPTION_LEADS = (0, 1)


class Strainer:
    """Follows the frames on their way to one publishing service.

    dropped: how many messages were left out, since the session began.
    """

    def __init__(self, *, takes_messages: bool) -> None:
        self.dropped = 0
        self._takes_messages = takes_messages
        self._begun = False  # in the middle of a message
        self._size: int | None = None  # of the subscription so far; None when the message is none
        self._passes = True

    def strain_untrusted(self, frames: Buffer, end: int) -> int:
        """Take out of ``frames[:end]`` (plain, whole) what the service must not see: the new end.

        Raises PeerError: too_large, for a subscription.
        """
        at = kept = 0
        while at < end:
            size = frame_size(frames, at, end, Dialect.V3)
            flags = frames.data[at]
            body = at + (spec.LONG_HEADER if flags & spec.LONG else spec.SHORT_HEADER)
            octets = at + size - body
            if not self._begun:
                subscription = octets > 0 and frames.data[body] in SUBSCRIPTION_LEADS
                self._size = 0 if subscription else None
                self._passes = subscription or self._takes_messages
                self.dropped += not self._passes
            if self._size is not None:
                self._size += octets
                if self._size > spec.SUBSCRIPTION_MAX:
                    raise PeerError(Invalid.TOO_LARGE, "a subscription")
            self._begun = bool(flags & spec.MORE)
            if self._passes:
                if kept < at:
                    frames.view[kept : kept + size] = frames.view[at : at + size]
                kept += size
            at += size
        return kept
