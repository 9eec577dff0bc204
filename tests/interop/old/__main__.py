"""``python -m tests.interop.old [LIBRARY...]``, from the checkout: the table of what works with which old library."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.patterns import PATTERNS


def works(name: str, command: list[str], role: str) -> list[bool]:
    """Whether a library works in this role, pattern by pattern; why not is told on stderr."""
    found = []
    with matrix.lanes(role) as lanes:
        for pattern in PATTERNS:
            try:
                matrix.check(command, role, pattern, lanes[pattern.service.name])
            except Exception as error:
                print(f"{name} {role}, {pattern}: {type(error).__name__}: {error}", file=sys.stderr)
                found.append(False)
            else:
                found.append(True)
    return found


def main() -> None:
    """Print a row when it is there. Exits with 1 when something does not work."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.old", description="old libraries and curveproxy")
    parser.add_argument("name", nargs="*", help=f"{', '.join(matrix.LIBRARIES)}; all when none is named")
    names = parser.parse_args().name or matrix.LIBRARIES
    if unknown := set(names) - set(matrix.LIBRARIES):
        parser.error(f"no library is named {', '.join(unknown)}: choose from {', '.join(matrix.LIBRARIES)}")
    all_work = True
    print("| library | as | " + " | ".join(map(str, PATTERNS)) + " |\n|---|---|" + ":---:|" * len(PATTERNS))
    for name in names:
        try:
            command = matrix.command(name)
        except UnavailableError as error:
            sys.exit(str(error))
        for role in matrix.roles(name):
            row = works(name, command, role)
            print(f"| {name} | {role} | " + " | ".join("yes" if cell else "**no**" for cell in row) + " |", flush=True)
            all_work = all_work and all(row)
    sys.exit(not all_work)


if __name__ == "__main__":
    main()
