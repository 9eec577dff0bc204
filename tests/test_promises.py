"""What operators rely on is as it was promised: nothing gone, nothing renamed, nothing that nobody wrote down."""

import difflib
from pathlib import Path

from promises import promises

FILE = Path(__file__).with_name("promises.txt")


def test_all_that_operators_rely_on_is_as_it_was_promised() -> None:
    promised, found = FILE.read_text().splitlines(), promises().splitlines()
    changes = "\n".join(difflib.unified_diff(promised, found, "promised", "found", n=0, lineterm=""))
    assert not changes, f"{changes}\n\na change needs a line in CHANGELOG.md, and python -m tests.promises"
