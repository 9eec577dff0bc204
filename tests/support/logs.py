"""A log of the program in a list."""

from collections.abc import MutableMapping
from typing import Any

import structlog

from curveproxy.app.observe.log import Log

Lines = list[tuple[str, str]]


def log_to(lines: Lines) -> Log:
    """One that keeps the level and the event of each line."""

    def keep(_: object, level: str, event: MutableMapping[str, Any]) -> str:
        lines.append((level, event["event"]))
        return ""

    log: Log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[keep])
    return log
