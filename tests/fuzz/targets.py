"""The table of targets: each a function of octets, which fails by any exception.

What is to be covered is found, not listed: ``untrusted_functions`` reads the source. A target says which of them it
drives; a private one is driven through what calls it.
"""

import ast
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from attrs import frozen

import curveproxy
from curveproxy.wire.errors import Fault, PeerError
from fuzz.material import Material

PACKAGE = Path(curveproxy.__file__).parent  # of the tree, or as it was installed
CODEC = frozenset({"open_frames", "seal_frames", "open_records", "seal_records"})


@frozen
class Target:
    """One target. covers: the functions that it drives, as ``wire.metadata.read_untrusted``."""

    name: str
    covers: frozenset[str]
    drive: Callable[[Material], None]

    def __call__(self, octets: bytes) -> None:
        """Do what this input says, and check what must hold. Raises AssertionError, or what the code raised."""
        self.drive(Material(octets))


_TABLE: dict[str, Target] = {}


def target(*covers: str) -> Callable[[Callable[[Material], None]], Callable[[Material], None]]:
    """Enter a function into the table, by its name."""

    def enter(drive: Callable[[Material], None]) -> Callable[[Material], None]:
        _TABLE[drive.__name__] = Target(drive.__name__, frozenset(covers), drive)
        return drive

    return enter


def all_targets() -> dict[str, Target]:
    """The whole table. What it drives is imported here, for a fuzzer may want to watch that."""
    from fuzz import (  # noqa: F401  they fill it
        certificates,
        handshake,
        offers,
        plain_client,
        presented,
        record_session,
        records,
        traffic,
        turns,
    )

    return dict(_TABLE)


def untrusted_functions() -> set[str]:
    """Every function of curveproxy that handles what a peer sent, found by its name."""
    found = set()

    def look(node: ast.AST, place: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = place
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{place}.{child.name}"
                is_one = child.name.endswith("_untrusted") or child.name in CODEC
                if is_one and not isinstance(child, ast.ClassDef) and not _is_abstract(child):
                    found.add(inner)
            look(child, inner)

    native = PACKAGE / "wire" / "codec" / "native.py"  # that one is held against its twin
    for path in set(PACKAGE.rglob("*.py")) - {native}:
        look(ast.parse(path.read_text()), ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    return found


def _is_abstract(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "abstractmethod" for each in function.decorator_list)


def judged(words: Container[Fault], call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a call returns, or its PeerError, which must have one of these words."""
    try:
        return call(*arguments, **options)
    except PeerError as error:
        if error.fault not in words:
            raise AssertionError(f"{error} is not its word") from error
        return error


def refused(verdict: object) -> bool:
    """Whether ``judged`` met an error."""
    return isinstance(verdict, PeerError)
