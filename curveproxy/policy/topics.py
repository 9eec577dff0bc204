"""What one subscriber wants to hear, where its service does not choose for it: libzmq 2.x publishes everything."""

from collections import Counter

# All of one subscriber's topics together; one costs about so much beside its own octets.
OCTETS_MAX = 16 * 1024 * 1024
EACH = 128


class Topics:
    """A multiset of prefixes: what was subscribed to twice must be cancelled twice."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._sizes: Counter[int] = Counter()
        self._lengths: tuple[int, ...] = ()  # those sizes; never changed, for a thread may be looking
        self._octets = 0

    def heed(self, message: bytes) -> bool:
        """Subscribe (01 topic) or cancel (00 topic). False when there are too many; a vain cancellation is nothing."""
        topic, count = message[1:], self._counts[message[1:]]
        size = len(topic)
        if message[0]:
            if not count:
                if self._octets + size + EACH > OCTETS_MAX:
                    return False
                self._resize(size, 1)
            self._counts[topic] = count + 1
        elif count > 1:
            self._counts[topic] = count - 1
        elif count:
            del self._counts[topic]
            self._resize(size, -1)
        return True

    def _resize(self, size: int, change: int) -> None:
        """There is one topic more, or less, of that size."""
        self._octets += change * (size + EACH)
        self._sizes[size] += change
        if not self._sizes[size]:
            del self._sizes[size]
        if len(self._sizes) != len(self._lengths):
            self._lengths = tuple(sorted(self._sizes))

    def match(self, octets: memoryview) -> bool:
        """Whether a message is wanted whose first frame is this."""
        return any(bytes(octets[:size]) in self._counts for size in self._lengths if size <= len(octets))
