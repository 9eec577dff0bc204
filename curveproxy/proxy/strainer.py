"""What a client may send to a PUB or XPUB service: subscriptions of a bounded length, and messages only to XPUB.

libzmq < 4.3.3 walks long subscriptions by recursion, and its PUB keeps the properties of other messages for ever.
"""

from curveproxy.reasons import Invalid
from curveproxy.wire import spec
from curveproxy.wire.codec import Buffer, frame_size
from curveproxy.wire.frame import Dialect

SUBSCRIPTION_LEADS = (0, 1)


class Strainer:
    """Follows the frames on their way to one publishing service, and leaves whole messages out.

    takes_messages: not only subscriptions.
    drops: a subscription that is too large is left out as well; it is shown whole messages only then. Else it is the
        last thing that is looked at.
    """

    def __init__(self, *, takes_messages: bool, drops: bool) -> None:
        self._takes_messages, self._drops = takes_messages, drops
        self._begun = False  # in the middle of a message
        self._size: int | None = None  # of the subscription so far; None when the message is none
        self._passes = True

    def strain_untrusted(self, frames: Buffer, end: int) -> tuple[int, list[Invalid]]:
        """Take out of ``frames[:end]`` (plain, whole) what the service must not see.

        Returns the new end, and for each message that was left out why: not_message, too_large.
        """
        at = kept = begun_at = 0
        flaws = []
        while at < end:
            size = frame_size(frames, at, end, Dialect.V3)
            flags = frames.data[at]
            body = at + (spec.LONG_HEADER if flags & spec.LONG else spec.SHORT_HEADER)
            octets = at + size - body
            if not self._begun:
                begun_at = kept
                subscription = octets > 0 and frames.data[body] in SUBSCRIPTION_LEADS
                self._size = 0 if subscription else None
                self._passes = subscription or self._takes_messages
                if not self._passes:
                    flaws.append(Invalid.NOT_MESSAGE)
            if self._size is not None:
                self._size += octets
                if self._size > spec.SUBSCRIPTION_MAX:
                    flaws.append(Invalid.TOO_LARGE)
                    kept, self._size, self._passes = begun_at, None, False
                    if not self._drops:
                        break
            self._begun = bool(flags & spec.MORE)
            if self._passes:
                if kept < at:
                    frames.view[kept : kept + size] = frames.view[at : at + size]
                kept += size
            at += size
        return kept, flaws
