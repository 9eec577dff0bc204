"""Octets as choices: the small decoder by which a fuzzer's input becomes something nearly lawful.

An input that has run out chooses zero, and zero is what is honest; so a short input is a small deviation.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

Damage = Callable[["Material", bytes], bytes]


class Material:
    """An input that is being used up."""

    def __init__(self, octets: bytes) -> None:
        self._octets, self._at = octets, 0

    def take(self, size: int) -> bytes:
        """So many octets, fewer at the end."""
        taken = self._octets[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def number(self, most: int) -> int:
        """0 to ``most``."""
        size = (most.bit_length() + 7) // 8
        return int.from_bytes(self.take(size), "big") % (most + 1)

    def flag(self) -> bool:
        """A yes or a no."""
        return bool(self.number(1))

    def pick(self, options: Sequence[T]) -> T:
        """One of these; the first is the honest one."""
        return options[self.number(len(options) - 1)]

    def octets(self, most: int) -> bytes:
        """Up to so many octets, as they stand in the input."""
        return self.take(self.number(most))

    def filled(self, size: int) -> bytes:
        """Exactly so many octets."""
        return self.take(size).ljust(size, b"\0")

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._octets))

    def damaged(self, octets: bytes, most: int = 3) -> bytes:
        """Octets with up to ``most`` things wrong with them."""
        for _ in range(self.number(most)):
            octets = self.pick(DAMAGES)(self, octets)
        return octets

    def cuts(self, size: int, most: int = 4) -> list[int]:
        """The inner boundaries of a stream of so many octets that comes in pieces, then its end."""
        return [*sorted(self.number(size) for _ in range(self.number(most))), size]


def _change(material: Material, octets: bytes) -> bytes:
    at = material.number(len(octets))
    return octets[:at] + bytes(octet ^ 1 + material.number(254) for octet in octets[at : at + 1]) + octets[at + 1 :]


def _replace(material: Material, octets: bytes) -> bytes:
    at, new = material.number(len(octets)), material.octets(16)
    return octets[:at] + new + octets[at + len(new) :]


def _cut(material: Material, octets: bytes) -> bytes:
    return octets[: material.number(len(octets))]


def _take_out(material: Material, octets: bytes) -> bytes:
    at = material.number(len(octets))
    return octets[:at] + octets[at + material.number(255) :]


def _insert(material: Material, octets: bytes) -> bytes:
    at = material.number(len(octets))
    return octets[:at] + material.octets(64) + octets[at:]


def _repeat(material: Material, octets: bytes) -> bytes:
    at = material.number(len(octets))
    return octets[: at + material.number(255)] + octets[at:]


DAMAGES: tuple[Damage, ...] = (_change, _replace, _cut, _take_out, _insert, _repeat)
