"""Two proxies in a row: one for clients that have no CURVE, which speaks CURVE to one before a service that has none.

The process of a ``Proxy`` is that of the service's end, as in ``tls``; its ``far`` is that of the clients' end.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve, frozen

from bench import peers
from bench.peers import Proxy, Service


@frozen
class ServicesEnd:
    """What the clients' end stands before: the other proxy, in the words of a service."""

    endpoint: str
    server: bytes
    client: str
    kind: str


@contextmanager
def curveproxy(service: Service, codec: str = "", records: str = "auto") -> Iterator[Proxy]:
    """An egress in front of an ingress, which agree on records unless these are "off"."""
    with (
        peers.curveproxy(service, codec) as near,
        peers.curveproxy_egress(_remote(near, service), codec, records) as far,
    ):
        yield _joined(near, far)


@contextmanager
def libzmq(service: Service) -> Iterator[Proxy]:
    """Two of libzmq's proxies, one a CURVE client of the other, by one connection for all of its own clients."""
    with peers.libzmq(service) as near, peers.libzmq_egress(_remote(near, service)) as far:
        yield _joined(near, far)


def _remote(near: Proxy, service: Service) -> ServicesEnd:
    return ServicesEnd(near.endpoint, near.server, service.client, service.kind)


def _joined(near: Proxy, far: Proxy) -> Proxy:
    return evolve(far, pid=near.pid, far=far.pid, inner=int(near.endpoint.rpartition(":")[2]))
