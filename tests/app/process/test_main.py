"""The process as a whole, as far as no process of its own is needed for it: ``tests/system`` has the rest."""

from collections.abc import MutableMapping
from typing import Any

import structlog

from curveproxy.app.config.schema import Config
from curveproxy.app.observe.events import BURST
from curveproxy.app.process.main import Sidecar
from curveproxy.app.process.relay import LocalRelay
from curveproxy.app.process.systemd import SystemdNotifier


async def test_an_error_that_anybody_can_repeat_is_counted_each_time_and_told_now_and_then() -> None:
    lines: list[MutableMapping[str, Any]] = []

    def keep(_: object, __: str, event: MutableMapping[str, Any]) -> str:
        lines.append(event)
        return ""

    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[keep])
    relay = LocalRelay(descriptors=1024, handed_over=[], log=log)
    sidecar = Sidecar(Config(), None, relay, SystemdNotifier({}), log)
    for _ in range(1000):
        sidecar.unexpected(RuntimeError("a fault of ours"))
    samples = [sample for family in await relay.collect() for sample in family.samples]
    assert [each.value for each in samples if each.name == "curveproxy_unexpected_errors_total"] == [1000]
    assert [line["event"] for line in lines] == ["unexpected error"] * BURST
