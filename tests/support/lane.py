"""A service of a running proxy, with real libzmq on both of its sides."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from support.curve import Keys
from support.libzmq import Libzmq, Socket
from support.process import Sidecar, free_port, toml, wait_until

CLIENT, SERVICE = b"the client", b"the service"  # the identities of the two, for a ROUTER to address them
UNLIMITED = {"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000}


class Lane(NamedTuple):
    """Where the clients of one service connect, and where the service behind the proxy binds."""

    proxy: Sidecar
    keys: Keys
    name: str
    backend: str

    @property
    def public(self) -> str:
        """Where clients connect."""
        return self.proxy.endpoints[self.name]

    def bind(self, libzmq: Libzmq, kind: int, **options: Any) -> Socket:
        """The plain service behind the proxy."""
        defaults: dict[str, Any] = {"ipv6": "[" in self.backend, "identity": SERVICE}
        return libzmq.bind(kind, self.backend, **defaults | options)[0]

    def connect(self, libzmq: Libzmq, kind: int, **options: Any) -> Socket:
        """A CURVE client before it. identity: None for none."""
        defaults: dict[str, Any] = {"ipv6": "[" in self.public, "identity": CLIENT, "keys": self.keys} | options
        if defaults["identity"] is None:
            del defaults["identity"]
        return libzmq.connect(kind, self.public, server=self.proxy.server.public, **defaults)

    def metric(self, name: str, **labels: str) -> float:
        """A metric of this service."""
        return self.proxy.metric(name, service=self.name, **labels)

    def wait_metric(self, name: str, value: float, **labels: str) -> None:
        """Wait until a metric of this service has exactly this value."""
        wait_until(lambda: self.metric(name, **labels) == value, f"{name} {labels} = {value}")


@contextmanager
def lanes(
    services: Mapping[str, Mapping[str, object]], metadata: Mapping[str, str] | None = None
) -> Iterator[dict[str, Lane]]:
    """A running proxy with these services: name -> lane. What is not given of a service is TCP on a free port.

    metadata: of the key file of their client.
    """
    config, backends = "", {}
    for name, given in services.items():
        backends[name] = str(given.get("backend", f"tcp://127.0.0.1:{free_port()}"))
        default = {"listen": "tcp://127.0.0.1:0", "backend": backends[name], "secret_keys": ["server.key_secret"]}
        config += toml("[[service]]", {"name": name, **default, **given})
        config += toml("[service.clients]", {"directory": "clients"}) + toml("[service.admission]", UNLIMITED)
    proxy = Sidecar(config)
    keys = proxy.new_client("alice", metadata)
    with proxy:
        yield {name: Lane(proxy, keys, name, backend) for name, backend in backends.items()}
