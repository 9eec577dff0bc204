"""Figures of a service, of which a test says only what it is about."""

from typing import Any

from attrs import evolve

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
