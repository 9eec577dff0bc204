"""``curveproxy top``: what the status page shows, in a terminal."""

import json
import os
import re
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cattrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.segment import SegmentLines
from rich.table import Table
from rich.text import Text

from curveproxy.app.admin.client import NobodyAnswersError, ask
from curveproxy.app.observe.status import (
    MOST_SESSIONS,
    Count,
    Level,
    ServiceStatus,
    SessionStatus,
    Status,
    Trouble,
    status_of,
)
from curveproxy.app.observe.text import duration, printable, short
from curveproxy.proxy.net.endpoint import Endpoint

EVERY_SECONDS = 1.0
# The size without a terminal: columns, and how many sessions.
WIDTH, ROWS = 160, 100
# How many outcomes and reasons are shown, the newest first; and how many samples in a sparkline.
COUNTS, SPARKS = 10, 16
SPARKLINES = ("sessions", "half-open", "messages/s", "refused/s")
BARS = "▁▂▃▄▅▆▇█"
# Names are cut behind so many characters, as many as a key has; and a width beyond that of any table.
NAME, ANY_WIDTH = 40, 10_000
STDIN = 0
# A key: a sequence of ECMA-48, which begins with ESC O in a terminal's application mode, or one octet.
KEY = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|[^\x1b]")
QUIT = b"q"
# By how many lines and by how many screens a key moves; the sequences with [ for O.
FAR = 1_000_000
MOVES = {
    b"k": (-1, 0),
    b"j": (1, 0),
    b"\x1b[A": (-1, 0),
    b"\x1b[B": (1, 0),
    b"\x1b[5~": (0, -1),
    b"\x1b[6~": (0, 1),
    **dict.fromkeys((b"\x1b[H", b"\x1b[1~", b"\x1b[7~"), (-FAR, 0)),
    **dict.fromkeys((b"\x1b[F", b"\x1b[4~", b"\x1b[8~"), (FAR, 0)),
}


def top(address: Endpoint, *, once: bool) -> None:
    """Show the status until q or an interrupt. Raises NobodyAnswersError when there is no answer at first.

    once: print it once; so it is too where stdout is no terminal.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH
    if once or not console.is_terminal:
        console.print(_screen(_fetch(address, ROWS), console))
    else:
        _watch(address, console)


def _watch(address: Endpoint, console: Console) -> None:
    """Show a screen of it, again every second and after each key that moves."""
    rows = min(2 * console.height, MOST_SESSIONS)
    shown, line = _screen(_fetch(address, rows), console), 0
    due = time.monotonic() + EVERY_SECONDS
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the terminal is restored
    with _keyboard() as keyboards, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines, height = console.render_lines(shown, pad=False), console.height
            line = max(0, min(line, len(lines) - height))
            live.update(SegmentLines(lines[line : line + height], new_lines=True), refresh=True)
            if select.select(keyboards, [], [], max(0, due - time.monotonic()))[0]:
                typed = os.read(STDIN, 4096)
                keys = [key.replace(b"\x1bO", b"\x1b[") for key in KEY.findall(typed)]
                if QUIT in keys or not typed:
                    return
                for by_lines, by_screens in (MOVES[key] for key in keys if key in MOVES):
                    line = max(0, line + by_lines + by_screens * height)
                if min(line + height, MOST_SESSIONS) <= rows and time.monotonic() < due:
                    continue
            # A screen more than is shown, so that not every key needs another request.
            rows, due = min(line + 2 * height, MOST_SESSIONS), time.monotonic() + EVERY_SECONDS
            try:
                shown = _screen(_fetch(address, rows), console)
            except NobodyAnswersError as error:  # it may be restarting
                shown = Text(printable(f"{error}: asked again every second"), "bold red")


@contextmanager
def _keyboard() -> Iterator[list[int]]:
    """The terminal on stdin, if it is one, which hands over each key at once and echoes none until the end."""
    if not os.isatty(STDIN):
        yield []
        return
    before = termios.tcgetattr(STDIN)
    try:
        tty.setcbreak(STDIN)
        yield [STDIN]
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


def _fetch(address: Endpoint, rows: int) -> Status:
    status, text = ask(address, f"/api/status?sessions={rows}")
    if status != 200:
        raise NobodyAnswersError(f"it does not show that here: {text}")
    try:
        return status_of(_printable(json.loads(text)))
    except (ValueError, RecursionError, cattrs.BaseValidationError):
        raise NobodyAnswersError(f"what answers on {address} is no curveproxy of this version") from None


def _printable(tree: Any) -> Any:
    """A tree of JSON without control characters: another program on that port could write to our terminal."""
    if isinstance(tree, dict):
        return {name: _printable(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_printable(value) for value in tree]
    return printable(tree) if isinstance(tree, str) else tree


def _screen(status: Status, console: Console) -> RenderableType:
    state = Text(status.state, style="bold green" if status.state == "ready" else "bold yellow")
    title = f"curveproxy {status.version}, {status.codec} codec, up {duration(status.seconds)}, "
    counts = [(service, count) for service in status.services for count in service.counts]
    counts.sort(key=lambda each: each[1].ago)
    shown = f"sessions, {len(status.sessions):,} of {status.matching:,}"
    return Group(
        Text.assemble((title, "bold"), state, "  descriptors ", _level(status.descriptors)),
        *(_trouble(trouble) for trouble in status.troubles),
        "",
        _table(
            console,
            ("service", "direction", "backend", "sessions", "half-open", "messages/s", "refused, 2 min", *SPARKLINES),
            (_service(service) for service in status.services),
        ),
        "",
        _table(
            console,
            ("service", "event", "why", "2 min", "total", "last", "peer", "detail"),
            (_count(service, count) for service, count in counts[:COUNTS]),
        ),
        "",
        _table(
            console,
            (
                shown,
                "service",
                "address",
                "age",
                "messages in",
                "out",
                "bytes in",
                "out",
                "type",
                "form",
                "until",
                "ZMTP",
            ),
            (_session(session) for session in status.sessions),
        ),
    )


def _table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[Text | str]]) -> Table:
    """A table of as many of the columns as the screen is wide enough for. A figure is shown whole or not at all."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, no_wrap=True, max_width=NAME)
    for cells in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    while console.measure(table, options=console.options.update(width=ANY_WIDTH)).maximum > console.width:
        table.columns.pop()
    return table


def _trouble(trouble: Trouble) -> Text:
    style = "bold red" if trouble.is_bad else "bold yellow"
    text = f"{trouble.service}: {trouble.what}"
    return Text.assemble((trouble.label, style), "  ", text, (f"  ({trouble.hint})", "dim"))


def _service(service: ServiceStatus) -> list[Text | str]:
    history = service.history
    up = {None: Text("not dialled", "dim"), True: Text("up", "green"), False: Text("down", "bold red")}
    return [
        Text(service.name, "bold"),
        service.direction,
        up[service.backend_up],
        _level(service.sessions),
        _level(service.half_open),
        short(history.messages[-1] if history.messages else 0),
        f"{service.refused:,}",
        *(_spark(line) for line in (history.sessions, history.half_open, history.messages, history.refusals)),
    ]


def _level(level: Level) -> Text:
    return Text(f"{level.value:,}/{level.limit:,}", "bold red" if level.is_near else "")


def _spark(values: Sequence[float]) -> Text:
    """The newest values, each as a bar."""
    top_value = max([*values, 1])
    return Text("".join(BARS[round((len(BARS) - 1) * value / top_value)] for value in values[-SPARKS:]), "cyan")


def _count(service: ServiceStatus, count: Count) -> list[Text | str]:
    figures = f"{count.recent:,}", f"{count.total:,}", f"{duration(count.ago)} ago"
    return [service.name, count.event, Text(count.word, "bold"), *figures, count.peer, count.detail]


def _session(session: SessionStatus) -> list[Text | str]:
    return [
        Text(session.client, "bold"),
        session.service,
        session.peer,
        duration(session.seconds),
        short(session.messages_in),
        short(session.messages_out),
        short(session.octets_in, "B"),
        short(session.octets_out, "B"),
        session.socket_type,
        session.short_form,
        session.end,
        session.zmtp,
    ]
