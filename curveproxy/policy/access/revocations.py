"""The revocation list: what is not believed any more though it is signed and has not ended."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Self

from attrs import field, frozen

from curveproxy.wire import z85
from curveproxy.wire.certificate import NAME, SERIAL, Certificate
from curveproxy.wire.timestamp import read_time

_KEY_LETTERS = 40


@frozen
class Revocations:
    """A list as it stands: a line each is of one of four kinds.

    serials: of certificates; keys: of CURVE, 32 octets each; names: of those who have them.
    before: what an authority (its key, 32 octets) signed with an earlier begin than that, in Unix seconds.
    """

    serials: frozenset[str] = frozenset()
    keys: frozenset[bytes] = frozenset()
    names: frozenset[str] = frozenset()
    before: Mapping[bytes, int] = field(factory=dict)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a list. Raises ValueError with the line's number and what is wrong, and nothing of the line."""
        found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                kind, entry = _read_line(words)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            found[kind].append(entry)
        before: dict[bytes, int] = {}
        for key, time in found["before"]:
            before[key] = max(time, before.get(key, time))
        return cls(frozenset(found["serial"]), frozenset(found["key"]), frozenset(found["name"]), before)

    @property
    def count(self) -> int:
        """How many there are; what stands twice is one."""
        return len(self.serials) + len(self.keys) + len(self.names) + len(self.before)

    def revokes(self, certificate: Certificate) -> bool:
        """Whether a certificate is on the list."""
        return (
            certificate.serial in self.serials
            or certificate.key in self.keys
            or certificate.name in self.names
            or certificate.valid_from < self.before.get(certificate.authority, certificate.valid_from)
        )


NOTHING_REVOKED = Revocations()


def _read_line(words: list[str]) -> tuple[str, Any]:
    """The kind of a line and what it says. A comment may stand behind it; no word of it begins with #, keys neither."""
    kind = words[0]
    if kind not in _KINDS:
        raise ValueError(f"it begins with none of {', '.join(_KINDS)}")
    readers = _KINDS[kind]
    values, rest = words[1 : 1 + len(readers)], words[1 + len(readers) :]
    if len(values) < len(readers):
        raise ValueError(f"a word is missing behind {kind}")
    if rest and not rest[0].startswith("#"):
        raise ValueError(f"there is more behind {kind} than belongs there")
    read = [reader(value) for reader, value in zip(readers, values, strict=True)]
    return kind, read[0] if len(read) == 1 else tuple(read)


def _form(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(what)
        return text

    return read


def _key(text: str) -> bytes:
    if len(text) != _KEY_LETTERS:
        raise ValueError(f"a key has {_KEY_LETTERS} letters")
    return z85.decode(text)


# What stands behind the first word of a line.
_KINDS: Mapping[str, tuple[Callable[[str], Any], ...]] = {
    "serial": (_form(SERIAL, "a serial has 16 hexadecimal digits in lower case"),),
    "key": (_key,),
    "name": (_form(NAME, "a name has 1 to 64 of the letters A-Z a-z 0-9 . _ -"),),
    "before": (_key, read_time),
}
