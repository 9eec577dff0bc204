"""The log: structlog to stderr, as text or JSON. It never raises: a full disk costs lines only."""

import logging
import os
import select
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, Protocol, TextIO

from curveproxy.app.observe.text import printable

# structlog imports rich when it is installed, for tracebacks that we do not use: 4 MiB of an idle sidecar.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    del sys.modules["rich"]
    if _rich is not None:
        sys.modules["rich"] = _rich

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

LOST, LOST_HINT = "lines of the log are lost", "stderr was full, closed, or not read: look at what takes it"


class Notices(Protocol):
    """The part of a log that reading key files needs."""

    def info(self, event: str, **facts: object) -> object: ...
    def warning(self, event: str, **facts: object) -> object: ...


class Log(Notices, Protocol):
    """A log, as structlog has them. facts: values by their names; ``hint``: what to do; ``exc_info``: an error."""

    def bind(self, **facts: object) -> "Log":
        """A log with these facts on each of its lines."""

    def is_enabled_for(self, level: int) -> bool:
        """Whether lines of that level are written: facts need not be made for others."""

    def debug(self, event: str, **facts: object) -> object: ...
    def error(self, event: str, **facts: object) -> object: ...
    def critical(self, event: str, **facts: object) -> object: ...


class LossyStream:
    """A text stream that drops lines which can not be written. stream: None for a process without stderr.

    A line for a pipe that is full is dropped as well: to wait for its reader would stop the whole proxy.

    lost: how many were dropped; notice: makes a line of that number, written when lines can be written again.
    """

    def __init__(self, stream: TextIO | None, notice: Callable[[int], str] = lambda _: "") -> None:
        self._stream, self._notice = stream, notice
        self._poll, self._descriptor, self._torn = select.poll(), -1, False
        with suppress(OSError, ValueError, AttributeError):  # there is no stream, or it is closed, or no file
            self._descriptor = stream.fileno()  # type: ignore[union-attr]
            self._poll.register(self._descriptor, select.POLLOUT)
        self.lost = self._reported = 0

    def write(self, line: str) -> None:
        """Write a whole line."""
        if not self._written(line):
            self.lost += 1
        elif self.lost > self._reported and self._written(self._notice(self.lost - self._reported)):
            self._reported = self.lost

    def _written(self, line: str) -> bool:
        octets = ("\n" * self._torn + line).encode(errors="backslashreplace")
        try:
            if self._descriptor < 0:
                return self._stream is not None and self._stream.write(line) == len(line)
            if not self._poll.poll(0):
                return False
            # Without a buffer, whose rest would be written later, or fail as the process ends.
            self._torn = os.write(self._descriptor, octets) < len(octets)
        except (OSError, ValueError):
            return False
        return not self._torn

    def flush(self) -> None:
        """Nothing is held back."""


class _Style:
    """The level and the form of all logs of this process: they may change while it runs."""

    def __init__(self) -> None:
        self.least, self._as_json = logging.INFO, False
        self._stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        self._json = structlog.processors.JSONRenderer(default=str)

    def set(self, least: int, *, as_json: bool) -> None:
        self.least, self._as_json = least, as_json

    def render(self, log: object, method: str, event: MutableMapping[str, Any]) -> str:
        """Make a line of an event: the only processor, for each costs."""
        event["level"] = method
        event = self._stamp(log, method, event)
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(log, method, event)
        return str(self._json(log, method, event)) if self._as_json else _render_text(event)


_STYLE = _Style()
_STREAM = LossyStream(None)


class _StyledLog(structlog.BoundLoggerBase):
    """A log of this process. What is below the level costs a comparison."""

    def is_enabled_for(self, level: int) -> bool:
        return level >= _STYLE.least

    def debug(self, event: str, **facts: object) -> object:
        return self._told(logging.DEBUG, "debug", event, facts)

    def info(self, event: str, **facts: object) -> object:
        return self._told(logging.INFO, "info", event, facts)

    def warning(self, event: str, **facts: object) -> object:
        return self._told(logging.WARNING, "warning", event, facts)

    def error(self, event: str, **facts: object) -> object:
        return self._told(logging.ERROR, "error", event, facts)

    def critical(self, event: str, **facts: object) -> object:
        return self._told(logging.CRITICAL, "critical", event, facts)

    def _told(self, level: int, method: str, event: str, facts: dict[str, object]) -> object:
        return self._proxy_to_logger(method, event, **facts) if level >= _STYLE.least else None


def lost_lines() -> int:
    """How many lines of the log this process could not write."""
    return _STREAM.lost


# Drops every line.
SILENT: Log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])


def set_style(level: str, form: str) -> None:
    """Change all logs of this process. level: debug, info, warning or error; form: text or json."""
    _STYLE.set(LEVELS[level], as_json=form == "json")


def open_log(level: str, form: str) -> Log:
    """The log of this process; see ``set_style``."""
    global _STREAM
    set_style(level, form)
    _STREAM = LossyStream(sys.stderr, _lost_line)
    return _StyledLog(structlog.WriteLogger(_STREAM), [_STYLE.render], {})  # type: ignore[arg-type]


def _lost_line(lines: int) -> str:
    return _STYLE.render(None, "warning", {"lost": lines, "hint": LOST_HINT, "event": LOST}) + "\n"


def _render_text(event: MutableMapping[str, Any]) -> str:
    """``time level event key=value ...``, the hint last, a traceback below; no value can look like another line."""
    moment, level, text = event.pop("timestamp"), event.pop("level"), event.pop("event")
    hint, traceback = event.pop("hint", None), event.pop("exception", None)
    facts = " ".join([f"{name}={_value(value)}" for name, value in event.items()])
    line = f"{moment} {level:7} {text}" + (f"  {facts}" if facts else "") + (f"  ({printable(hint)})" if hint else "")
    return "\n  ".join([line, *map(printable, traceback.split("\n"))]) if traceback else line


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_value(each) for each in value)
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # Quoted where it could be read as another fact or another line.
    return text if text.isprintable() and text and " " not in text and "=" not in text else repr(text)
