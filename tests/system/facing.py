"""An egress and the ingress that is its remote, as two processes, a service behind them and plain clients before."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from support.egress import Egress, client_of
from support.peer import Peer
from support.process import Sidecar, free_port
from support.service import Behaviour, RawService


class Facing(NamedTuple):
    """The two proxies, and the service."""

    egress: Egress
    ingress: Sidecar
    service: RawService

    def at(self, side: str) -> Sidecar:
        """The proxy of that name: egress or ingress."""
        return self.egress if side == "egress" else self.ingress

    def client(self, **options: Any) -> Peer:
        """A client that is inside. options: as ``begun`` has them."""
        client = self.begun(**options)
        client.recv_ready()
        return client

    def begun(self, *, identity: bytes = b"", **options: Any) -> Peer:
        """A client that has said all of its handshake. options: as ``Peer.to`` has them."""
        client = client_of(self.egress, **options)
        client.properties["Identity"] = identity
        client.greeting()
        client.send_ready()
        return client

    def driven(self, **options: Any) -> tuple[Peer, Peer]:
        """A client that is inside, and the service's end of its session. options: as ``begun`` has them."""
        client = self.begun(**options)
        behind = self.service.accept().handshake()
        client.recv_ready()
        return client, behind


@contextmanager
def facing(
    behaviour: Behaviour | None = None,
    *,
    messages: Mapping[str, object] | None = None,
    egress: Mapping[str, Any] | None = None,
    ingress: Mapping[str, Any] | None = None,
    **service: Any,
) -> Iterator[Facing]:
    """Both run, and the egress, who is ``alice``, is the one client on the list of the ingress.

    messages: that table of both; egress, ingress: the tables of each; service: options of ``RawService``.
    """
    front = f"tcp://127.0.0.1:{free_port()}"
    outer, inner = ({"messages": messages or {}, **(tables or {})} for tables in (egress, ingress))
    with RawService(behaviour, **service) as behind:
        before = Egress(front, **outer)
        remote = Sidecar(backend=behind.endpoint, listen=front, **inner)
        shutil.copy(before.directory / "alice.key", remote.clients)
        shutil.copy(remote.directory / "server.key", before.directory)
        with remote, before:
            yield Facing(before, remote, behind)
