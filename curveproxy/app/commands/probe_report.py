"""What a probe found out, and how it is shown: as lines while it goes on, or as one JSON object."""

import json
from typing import Any

import attrs
from attrs import field, frozen
from rich.console import Console

from curveproxy.app.observe.hints import explained
from curveproxy.app.observe.text import printable
from curveproxy.reasons import ClientFailure, Outcome

NO_RECORDS = "none"
# How many columns a title has, and where the text begins behind it and its milliseconds.
TITLE, INDENT = 9, 23
# The server may want another key: for these it is worth showing which one was tried.
OF_THE_KEY = (ClientFailure.REFUSED, ClientFailure.READY_CLOSED)


@frozen
class Step:
    """What was done, in how many seconds, and what it showed."""

    step: str
    seconds: float
    detail: str


@frozen
class Failure:
    """Why the probe went no further than ``step``. reason: a ClientFailure, or the Outcome that curveproxy told."""

    step: str
    seconds: float
    reason: ClientFailure | Outcome
    detail: str = ""

    @property
    def cause(self) -> str:
        cause = explained(self.reason, self.detail).cause
        return f"{cause} ({self.detail})" if self.detail else cause

    @property
    def remedy(self) -> str:
        return explained(self.reason, self.detail).remedy


@frozen
class Report:
    """What was found out. client_key: the public key that was tried; properties: what READY said.

    records: the suite that was agreed on; ``none`` where messages go one by one; empty where it did not come so far.
    """

    endpoint: str
    socket_type: str
    client_key: str = ""
    steps: list[Step] = field(factory=list)
    properties: dict[str, str] = field(factory=dict)
    failure: Failure | None = None
    records: str = ""

    @property
    def ok(self) -> bool:
        return self.failure is None

    def as_json(self) -> str:
        """One object."""
        found: dict[str, Any] = attrs.asdict(self) | {"ok": self.ok}
        if self.failure is not None:
            found["failure"] |= {"cause": self.failure.cause, "remedy": self.failure.remedy}
        return json.dumps(found)


def show_step(console: Console, step: Step) -> None:
    """One line, when the step is done."""
    _print_line(console, "green", step.step, step.seconds, step.detail)


def conclude(console: Console, report: Report, *, fresh_key: bool) -> None:
    """The last lines: what the service said, or why the probe failed. fresh_key: the key was made for this probe."""
    if (failure := report.failure) is None:
        for name, value in report.properties.items():
            console.print(printable(f"{'':{INDENT}}{name}: {value}").rstrip())
        console.print(f"{'records':{TITLE}}", style="green", end="")
        console.print(f"{'':{INDENT - TITLE}}{report.records}")
        console.print("it is let in", style="bold green")
        return
    _print_line(console, "bold red", failure.step, failure.seconds, f"failed: {failure.reason}")
    lines = {"cause": failure.cause, "remedy": failure.remedy}
    if failure.reason in OF_THE_KEY:
        lines["key"] = f"{report.client_key} ({'made for this probe: see --secret-key' if fresh_key else 'public'})"
    for title, text in lines.items():
        console.print(f"{title:{TITLE}}", style="bold", end="")
        console.print(printable(text))


def _print_line(console: Console, style: str, step: str, seconds: float, detail: str) -> None:
    title, time = f"{step:{TITLE - 1}} ", f"{seconds * 1000:.1f} ms"
    console.print(title, style=style, end="")
    console.print(f"{time:>{INDENT - 2 - len(title)}}  {printable(detail)}".rstrip())
