"""What a command says to the person at the terminal: its help, and on stderr, beside the data."""

import io
import sys
from contextlib import suppress
from typing import NoReturn

import click

from curveproxy.app.observe.text import printable


class Command(click.Command):
    """A subcommand, whose summary is shown whole."""

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002  lines are wrapped
        return super().get_short_help_str(1000)


def unbuffer_stderr() -> None:
    """Write at once: at the end of the process Python would flush what could not be written, and fail."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # it has no descriptor
            raw = io.FileIO(sys.stderr.fileno(), "w", closefd=False)
            sys.stderr = io.TextIOWrapper(raw, sys.stderr.encoding, "backslashreplace", write_through=True)


def fail(message: str, status: int = 1) -> NoReturn:
    """End with a sentence on stderr."""
    tell(message)
    sys.exit(status)


def tell(message: str) -> None:
    """Print one line; control characters in it are escaped."""
    if sys.stderr is not None:  # else print would write to stdout
        with suppress(OSError):
            print(f"curveproxy: {printable(message)}", file=sys.stderr)
