"""A running egress, with plain clients before it and CURVE servers behind it, real or of bare sockets."""

import select
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from support.client import RawServer
from support.curve import Keys
from support.lane import CLIENT, UNLIMITED, Lane
from support.libzmq import Libzmq, Socket
from support.local import Client
from support.peer import SECONDS, Peer, connect
from support.process import Sidecar, certificate, free_port, toml
from support.service import Behaviour, RawService

AnyClient = TypeVar("AnyClient", bound=Client)

FAILURES = "curveproxy_backend_failures_total"


def table(name: str, *remotes: str, **given: object) -> str:
    """One egress: TCP on a free port, with the key of ``alice``, and ``server.key`` for the remote, unless given."""
    default = {"listen": "tcp://127.0.0.1:0", "server_keys": ["server.key"], "secret_key": "alice.key_secret"}
    return toml("[[egress]]", {"name": name, "remote": remotes, **default, **given})


class Egress(Sidecar):
    """One running proxy with one egress named ``default``, unless config says otherwise.

    egress, limits, messages: its tables; the others are those of ``Sidecar``.
    keys: those of ``alice``, who it is to its remotes; they are on the list of clients of every service in ``config``.
    server: the remote's.
    """

    def __init__(
        self,
        *remotes: str,
        config: str | None = None,
        egress: Mapping[str, object] | None = None,
        limits: Mapping[str, object] | None = None,
        messages: Mapping[str, object] | None = None,
        **tables: Any,
    ) -> None:
        if config is None:
            config = table("default", *remotes, **egress or {})
            config += toml("[egress.limits]", limits or {}) + toml("[egress.messages]", messages or {})
        super().__init__(config, **tables)
        self.keys = certificate(self.directory, "alice")
        (self.directory / "alice.key_secret").chmod(0o600)
        shutil.copy(self.directory / "alice.key", self.clients)

    def failures(self) -> dict[str, int]:
        """Why its remotes could not be used: reason -> how often."""
        samples = self.metrics().items()
        found = {dict(labels)["reason"]: int(value) for (name, labels), value in samples if name == FAILURES}
        return {reason: count for reason, count in found.items() if count}


class Remote(RawService):
    """A CURVE server of bare sockets. keys: S of those that connect from now on; what else it has as ``RawService``."""

    def __init__(self, keys: Keys, behaviour: Behaviour | None = None, **options: Any) -> None:
        self.keys, remote = keys, self

        class Server(RawServer):
            def __init__(self, sock: Any, *, socket_type: str, minor: int, timeout: float) -> None:
                super().__init__(sock, remote.keys, socket_type=socket_type, timeout=timeout)
                self.minor = minor

        super().__init__(behaviour, peer=Server, **options)

    def accept(self, timeout: float | None = SECONDS) -> RawServer:
        peer = super().accept(timeout)
        assert isinstance(peer, RawServer)
        return peer


def client_of(proxy: Sidecar, peer: type[Peer] = Peer, **options: Any) -> Peer:
    """A plain client that has connected, and said nothing yet. options: as ``Peer.to`` has them."""
    return peer.to(proxy.public, **options)


def local(proxy: Sidecar, client: type[AnyClient], **options: Any) -> AnyClient:
    """A plain client that has connected to the first egress, and said nothing yet. options: as ``Peer`` has them."""
    return client(connect(proxy.public), **options)


def is_silent(peer: Peer, seconds: float = 0.1) -> bool:
    """Whether nothing comes for a moment, and the connection stands."""
    return not select.select([peer.sock], [], [], seconds)[0]


@contextmanager
def rig(
    behaviour: Behaviour | None = None,
    *,
    client_socket_type: str = "DEALER",
    remote_type: str = "ROUTER",
    minor: int = 0,
    **tables: Any,
) -> Iterator[tuple[Egress, Remote]]:
    """An egress that runs, and its one remote. behaviour, remote_type, minor: of the remote; tables: of ``Egress``."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    given = {"client_socket_type": client_socket_type, **tables.pop("egress", {})}
    proxy = Egress(endpoint, egress=given, **tables)
    options: dict[str, Any] = {"endpoint": endpoint, "socket_type": remote_type, "minor": minor}
    with Remote(proxy.server, behaviour, **options) as remote, proxy:
        yield proxy, remote


@contextmanager
def session(proxy: Sidecar, remote: Remote, **options: Any) -> Iterator[tuple[Client, RawServer]]:
    """A client that is inside, and what its remote sees of it. options: as ``Peer`` has them."""
    with local(proxy, Client, **options) as client:
        client.begin()
        with remote.accept() as behind:
            behind.handshake()
            client.complete()
            yield client, behind


# --- with real libzmq, as ``support.lane``


class EgressLane(Lane):
    """Where plain clients of one egress connect; the CURVE server behind it has the keys ``proxy.server``."""

    def bind(self, libzmq: Libzmq, kind: int, **options: Any) -> Socket:
        """The CURVE server behind the egress."""
        return super().bind(libzmq, kind, server=self.proxy.server, **options)

    def connect(self, libzmq: Libzmq, kind: int, **options: Any) -> Socket:
        """A plain client before it. identity: None for none."""
        return connect_plain(self, libzmq, kind, **options)


class BothEnds(Lane):
    """The same with an ingress behind the egress, and behind that a plain service."""

    def connect(self, libzmq: Libzmq, kind: int, **options: Any) -> Socket:
        """A plain client before the egress. identity: None for none."""
        return connect_plain(self, libzmq, kind, **options)


def connect_plain(lane: Lane, libzmq: Libzmq, kind: int, **options: Any) -> Socket:
    defaults: dict[str, Any] = {"identity": CLIENT} | options
    if defaults["identity"] is None:
        del defaults["identity"]
    return libzmq.connect(kind, lane.public, **defaults)


@contextmanager
def lanes(egresses: Mapping[str, Mapping[str, object]]) -> Iterator[dict[str, Lane]]:
    """A running proxy with these egresses, each with a remote of its own: name -> lane."""
    remotes = {name: f"tcp://127.0.0.1:{free_port()}" for name in egresses}
    config = "".join(table(name, remotes[name], **given) for name, given in egresses.items())
    with Egress(config=config) as proxy:
        yield {name: EgressLane(proxy, proxy.keys, name, remote) for name, remote in remotes.items()}


@contextmanager
def both_ends(
    egresses: Mapping[str, Mapping[str, object]],
    services: Mapping[str, Mapping[str, object]],
    messages: Mapping[str, object] | None = None,
) -> Iterator[dict[str, Lane]]:
    """A running proxy in which each egress has the service of the same name for its remote: name -> lane.

    messages: that table of all of them.
    """
    config, backends = "", {}
    for name, given in services.items():
        front, backends[name] = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        own = {"listen": front, "backend": backends[name], "secret_keys": ["server.key_secret"]}
        config += toml("[[service]]", {"name": f"{name} ingress".replace(" ", "-"), **own, **given})
        config += toml("[service.clients]", {"directory": "clients"}) + toml("[service.admission]", UNLIMITED)
        config += toml("[service.messages]", messages or {})
        config += table(name, front, **egresses[name]) + toml("[egress.messages]", messages or {})
    with Egress(config=config) as proxy:
        yield {name: BothEnds(proxy, proxy.keys, name, backend) for name, backend in backends.items()}
