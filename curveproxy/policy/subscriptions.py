"""The subscriptions of one session, for services that do not filter for it or abort at a vain cancellation."""

from bisect import bisect_left, bisect_right

# All of one session's topics together. A topic costs its octets, those of its end, and about so much beside them.
OCTETS_MAX = 16 * 1024 * 1024
EACH = 128


class Subscriptions:
    """A set of prefixes, as a publisher keeps it for each subscriber.

    It is a set and no multiset: libzmq >= 4.0 sends every subscription of a topic, and a cancellation only of the last,
    at which its publisher forgets the topic.

    The octet strings that begin with a topic are an interval, from the topic itself to the first string behind all of
    them, and two such intervals lie apart or one in the other. So a message lies in as many of them as begin at or
    before it and have not ended: two searches in sorted lists, however many topics of however many lengths there are.
    """

    def __init__(self) -> None:
        self._begins: list[bytes] = []
        self._ends: list[bytes] = []
        self._longest = 0  # no topic has ever been longer
        self._octets = 0
        # Odd while the lists change. ``match`` may run in a thread, ``add`` and ``remove`` do not.
        self._version = 0

    def __contains__(self, topic: bytes) -> bool:
        at = bisect_left(self._begins, topic)
        return at < len(self._begins) and self._begins[at] == topic

    @property
    def longest(self) -> int:
        """No topic has ever been longer: more of a message is not looked at."""
        return self._longest

    def add(self, topic: bytes) -> bool:
        """Subscribe. False when the session has too many topics; a topic that it has already changes nothing."""
        if topic in self:
            return True
        if self._octets + _cost(topic) > OCTETS_MAX:
            return False
        self._longest = max(self._longest, len(topic))
        self._octets += _cost(topic)
        self._version += 1
        self._begins.insert(bisect_left(self._begins, topic), topic)
        if end := _end(topic):
            self._ends.insert(bisect_left(self._ends, end), end)
        self._version += 1
        return True

    def remove(self, topic: bytes) -> bool:
        """Cancel a subscription. False when there is none."""
        if topic not in self:
            return False
        self._octets -= _cost(topic)
        self._version += 1
        del self._begins[bisect_left(self._begins, topic)]
        if end := _end(topic):
            del self._ends[bisect_left(self._ends, end)]
        self._version += 1
        return True

    def match(self, octets: memoryview) -> bool:
        """Whether a message with this first frame is wanted."""
        while True:
            version, beginning = self._version, bytes(octets[: self._longest])
            wanted = bisect_right(self._begins, beginning) > bisect_right(self._ends, beginning)
            if version == self._version and not version % 2:
                return wanted


def _cost(topic: bytes) -> int:
    return 2 * len(topic) + EACH


def _end(topic: bytes) -> bytes:
    """The first octet string behind all that begin with the topic; nothing where there is none."""
    stem = topic.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b""
