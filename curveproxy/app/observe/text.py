"""Figures and names in a form for people, on the page and in a terminal."""

import difflib
from collections.abc import Collection
from itertools import pairwise

PREFIXES = ("", "k", "M", "G", "T")
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def printable(text: str) -> str:
    """The text as one line, with control characters escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def suggestion(name: str, known: Collection[str]) -> str:
    """A hint for a name that is not known: the one that may be meant, or all that there are."""
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]}" if close else f"there are {', '.join(known)}"


def short(number: float, unit: str = "") -> str:
    """Three digits and a prefix: ``999``, ``12.3 k``, ``4.56 MB``."""
    prefix = 0
    while number >= 999.5 and prefix < len(PREFIXES) - 1:
        number, prefix = number / 1000, prefix + 1
    return f"{number:.3g} {PREFIXES[prefix]}{unit}".rstrip()


def duration(seconds: float) -> str:
    """The two largest units: ``42 s``, ``3 min 5 s``, ``2 h 40 min``, ``9 d 1 h``."""
    whole = max(0, int(seconds))
    for (unit, size), (finer, fine) in pairwise(UNITS):
        if whole >= size:
            rest = whole % size // fine
            return f"{whole // size} {unit} {rest} {finer}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
