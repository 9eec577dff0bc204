"""A service of a running proxy, with real libzmq on both of its sides."""

from typing import Any, NamedTuple

from support.curve import Keys
from support.libzmq import Libzmq, Socket
from support.process import Sidecar, wait_until

CLIENT, SERVICE = b"the client", b"the service"  # the identities of the two, for a ROUTER to address them


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
