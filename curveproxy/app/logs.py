"""The log: structlog to stderr, as text or JSON. It never raises into the proxy: a full disk costs lines only."""

import logging
import select
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

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

Log = Any


class LossyStream:
    """A text stream that forgets what it can not write; none at all, for a process without stderr, is one too.

    A pipe that nobody empties would stop the whole proxy: its line is forgotten as well.

    lost: how many lines that were.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._room, self._waits = select.poll(), False
        with suppress(OSError, ValueError, AttributeError):  # there is none, it is closed, or has no descriptor
            self._room.register(stream.fileno(), select.POLLOUT)  # type: ignore[union-attr]
            self._waits = True
        self.lost = 0

    def write(self, line: str) -> None:
        """Write a whole line."""
        try:
            if self._waits and not self._room.poll(0):
                self.lost += 1
            elif self._stream is not None:
                self._stream.write(line)
                self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    def flush(self) -> None:
        """Nothing is held back."""


def configure(level: str, form: str) -> Log:
    """A log for the process. level: debug, info, warning or error; form: text or json."""
    as_json = form == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str) if as_json else _render_text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=LossyStream(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger()


def _render_text(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """``time level event key=value ...``, a hint last, a traceback below."""
    moment, level, text = event.pop("timestamp"), event.pop("level"), event.pop("event")
    hint, traceback = event.pop("hint", None), event.pop("exception", None)
    facts = " ".join(f"{name}={_value(value)}" for name, value in event.items())
    line = f"{moment} {level:7} {text}" + (f"  {facts}" if facts else "") + (f"  ({hint})" if hint else "")
    return f"{line}\n{traceback}" if traceback else line


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_value(each) for each in value)
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # What could pass for another fact, or for another line, stands in quotes.
    return text if text.isprintable() and text and not set(text) & {" ", "="} else repr(text)
