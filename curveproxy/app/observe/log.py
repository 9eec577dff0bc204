"""The log: structlog to stderr, as text or JSON. It never raises into the proxy: a full disk costs lines only."""

import logging
import os
import select
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

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
ALWAYS = logging.CRITICAL

Log = Any


class LossyStream:
    """A text stream that forgets what it can not write; none at all, for a process without stderr, is one too.

    A pipe that nobody empties would stop the whole proxy: its line is forgotten as well.

    lost: how many lines that were; notice: makes a line of how many, for when lines can be written again.
    """

    def __init__(self, stream: TextIO | None, notice: Callable[[int], str] = lambda _: "") -> None:
        self._stream, self._notice = stream, notice
        self._room, self._descriptor, self._torn = select.poll(), -1, False
        with suppress(OSError, ValueError, AttributeError):  # there is none, it is closed, or has no descriptor
            self._descriptor = stream.fileno()  # type: ignore[union-attr]
            self._room.register(self._descriptor, select.POLLOUT)
        self.lost = self._told = 0

    def write(self, line: str) -> None:
        """Write a whole line."""
        if not self._written(line):
            self.lost += 1
        elif self.lost > self._told and self._written(self._notice(self.lost - self._told)):
            self._told = self.lost

    def _written(self, line: str) -> bool:
        octets = ("\n" * self._torn + line).encode(errors="backslashreplace")
        try:
            if self._descriptor < 0:
                return self._stream is not None and self._stream.write(line) == len(line)
            if not self._room.poll(0):
                return False
            # By no buffer, whose rest would come later, or fail as the process ends.
            self._torn = os.write(self._descriptor, octets) < len(octets)
        except (OSError, ValueError):
            return False
        return not self._torn

    def flush(self) -> None:
        """Nothing is held back."""


class _Style:
    """How much is said, and how, by every log there is: it may change while we run."""

    def __init__(self) -> None:
        self.least, self.as_json = logging.INFO, False
        self._json = structlog.processors.JSONRenderer(default=str)

    def choose(self, _: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if LEVELS.get(method, ALWAYS) < self.least:
            raise structlog.DropEvent
        return event

    def render(self, log: object, method: str, event: MutableMapping[str, Any]) -> str:
        return str(self._json(log, method, event)) if self.as_json else _render_text(event)


_STYLE = _Style()
_STREAM = LossyStream(None)

LOST, LOST_HINT = "lines of the log are lost", "stderr was full, closed, or not read: look at what takes it"


def lost() -> int:
    """How many lines of the log this process could not write."""
    return _STREAM.lost


# Says nothing, whatever it is told.
SILENT: Log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])


def restyle(level: str, form: str) -> None:
    """Say so much from now on, and so. level: debug, info, warning or error; form: text or json."""
    _STYLE.least, _STYLE.as_json = LEVELS[level], form == "json"


def configure(level: str, form: str) -> Log:
    """A log for the process; see ``restyle``."""
    global _STREAM
    restyle(level, form)
    processors: list[Any] = [
        _STYLE.choose,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _STYLE.render,
    ]
    teller = structlog.wrap_logger(structlog.ReturnLogger(), processors)
    _STREAM = LossyStream(sys.stderr, lambda lines: f"{teller.warning(LOST, lost=lines, hint=LOST_HINT)}\n")
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(file=_STREAM),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger()


def _render_text(event: MutableMapping[str, Any]) -> str:
    """``time level event key=value ...``, a hint last, a traceback below; none can be taken for another line."""
    moment, level, text = event.pop("timestamp"), event.pop("level"), event.pop("event")
    hint, traceback = event.pop("hint", None), event.pop("exception", None)
    facts = " ".join(f"{name}={_value(value)}" for name, value in event.items())
    line = f"{moment} {level:7} {text}" + (f"  {facts}" if facts else "") + (f"  ({printable(hint)})" if hint else "")
    return "\n  ".join([line, *map(printable, traceback.split("\n"))]) if traceback else line


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_value(each) for each in value)
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # What could pass for another fact, or for another line, stands in quotes.
    return text if text.isprintable() and text and not set(text) & {" ", "="} else repr(text)
