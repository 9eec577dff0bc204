"""Figures of a service and views of sessions, of which a test says only what it is about."""

from typing import Any

import trio
from attrs import evolve, field, frozen

from curveproxy.proxy.observer import ServiceFigures

QUIET = ServiceFigures(
    name="orders",
    endpoint="tcp://127.0.0.1:5556",
    addresses=("127.0.0.1",),
    backend="tcp://127.0.0.1:5555",
    backend_up=None,
    half_open=0,
    half_open_limit=512,
    sessions=0,
    sessions_limit=1024,
    client_keys=0,
    server_keys=1,
    messages_in=0,
    messages_out=0,
    octets_in=0,
    octets_out=0,
    throttled_seconds=0.0,
)


def service_figures(**given: Any) -> ServiceFigures:
    """Of a service without sessions."""
    return evolve(QUIET, **given)


@frozen
class View:
    """A session as an observer sees it (``SessionView``)."""

    number: int = 1
    service: str = "orders"
    client: str = "alice"
    peer: str = "192.0.2.1:4242"
    server_key: bytes = b"S"
    socket_type: str = "REQ"
    dialect: str = "3.1"
    form: str = "message"
    is_probe: bool = False
    serial: str = ""
    authority: str = ""
    until: int | None = None
    messages_in: int = 0
    messages_out: int = 0
    octets_in: int = 0
    octets_out: int = 0
    opened_at: float = field(factory=trio.current_time)

    @property
    def seconds(self) -> float:
        return trio.current_time() - self.opened_at
