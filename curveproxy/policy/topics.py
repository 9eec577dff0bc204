"""The topics that a client may subscribe to, or publish: those that begin with one of its prefixes."""

from collections.abc import Sequence


class Prefixes:
    """Some prefixes of topics, at least one of which a topic must have.

    Messages are looked at as far as the longest of them, whatever their size.
    """

    __slots__ = ("_longest", "_prefixes")

    def __init__(self, prefixes: Sequence[bytes]) -> None:
        self._prefixes = tuple(prefixes)
        self._longest = max(map(len, self._prefixes), default=0)

    @classmethod
    def of(cls, prefixes: Sequence[bytes] | None) -> "Prefixes | None":
        """None where anything will do."""
        return None if prefixes is None else cls(prefixes)

    def allow(self, octets: memoryview) -> bool:
        """Whether this topic, or the message that begins with these octets, may go on."""
        return bytes(octets[: self._longest]).startswith(self._prefixes)
