"""``python -m tests.interop.old [LIBRARY...]``, from the checkout: the table of what works with which old library."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.patterns import PATTERNS


def works(name: str, command: list[str], role: str) -> str:
    """In which patterns a library works in this role; why not in the others is told on stderr."""
    failed = []
    with matrix.lanes(role) as lanes:
        for pattern in matrix.patterns(name, role):
            try:
                matrix.check(command, role, pattern, lanes[str(pattern)])
            except Exception as error:
                print(f"{name} {role}, {pattern}: {type(error).__name__}: {error}", file=sys.stderr)
                failed.append(str(pattern))
    return f"all but {', '.join(failed)}" if failed else "all"


def main() -> None:
    """Print the table, libraries with the same row in one. Exits with 1 when something does not work."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.old", description="old libraries and curveproxy")
    parser.add_argument("name", nargs="*", help=f"{', '.join(matrix.LIBRARIES)}; all when none is named")
    names = parser.parse_args().name or matrix.LIBRARIES
    if unknown := set(names) - set(matrix.LIBRARIES):
        parser.error(f"no library is named {', '.join(unknown)}: choose from {', '.join(matrix.LIBRARIES)}")
    rows: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        print(name, file=sys.stderr)
        try:
            command = matrix.command(name)
        except UnavailableError as error:
            sys.exit(str(error))
        roles = matrix.roles(name)
        row = tuple(works(name, command, role) if role in roles else "-" for role in matrix.ROLES)
        rows.setdefault(row, []).append(name)
    print("patterns:", ", ".join(map(str, PATTERNS)), end="\n\n")
    print("| library | " + " | ".join(matrix.ROLES) + " |\n|---|" + "---|" * len(matrix.ROLES))
    for row, alike in rows.items():
        print(f"| {', '.join(alike)} | " + " | ".join(row) + " |")
    sys.exit(any(cell not in ("all", "-") for row in rows for cell in row))


if __name__ == "__main__":
    main()
