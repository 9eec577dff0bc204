"""A running proxy that lists authorities, and clients that their certificates let in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.certificates import OTHER_SEED, SEED, authority_text, issued
from support.client import RawClient
from support.curve import Keys
from support.process import Sidecar, toml
from support.service import RawService, echo

from system.test_reload import endpoint

PROPERTY = "X-Curveproxy-Certificate"
SEEDS = {"plant-1": SEED, "plant-2": OTHER_SEED}
REVOKED = "desk-revoked"
# Their tables, with what plant-1 may sign.
PLANT_1 = {"file": "plant-1.authority", "names": ["desk-*"], "max_days": 7}
PLANT_2 = {"file": "plant-2.authority"}


def tables(
    backend: str, *authorities: Mapping[str, object], listen: str = "tcp://127.0.0.1:0", **clients: object
) -> str:
    """A service of a configuration. authorities: their tables; clients: further settings of those."""
    own = {"name": "default", "listen": listen, "backend": backend, "secret_keys": ["server.key_secret"]}
    config = toml("[[service]]", {**own, "forward_identity": True})
    config += toml("[service.clients]", {"directory": "clients", "revoked": "revoked", **clients})
    for each in authorities:
        config += toml("[[service.clients.authorities]]", each)
    return config + toml("[service.admission]", {"handshakes_per_second_per_source": 10_000})


class Certified(Sidecar):
    """A proxy with the files of two authorities, and a revocation list with one name. service: what is behind it."""

    def __init__(self, config: str, service: RawService, **options: Any) -> None:
        super().__init__(config, **options)
        self.service = service
        self.revoked = self.directory / "revoked"
        self.revoked.write_text(f"name {REVOKED}\n")
        for name, seed in SEEDS.items():
            (self.directory / f"{name}.authority").write_text(authority_text(name, seed))

    def bearer(self, text: bytes | None, keys: Keys, **options: Any) -> RawClient:
        """A client that presents this. options: of ``RawClient``."""
        properties = {"Socket-Type": b"DEALER", "Identity": b""} | ({} if text is None else {PROPERTY: text})
        return RawClient(self.public, self.server.public, keys, properties=properties, **options)

    def revoke(self, *lines: str) -> None:
        """Add lines to the revocation list."""
        with self.revoked.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def put(self, name: str, text: bytes) -> Path:
        """Put a certificate among the keys."""
        path = self.clients / f"{name}.cert"
        path.write_bytes(text)
        return path

    def told(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log about an event."""
        return [line for line in self.log if line.get("event") == event]


@contextmanager
def certified(*, workers: int = 1, **clients: object) -> Iterator[Certified]:
    """A proxy that believes plant-1, before a service that echoes and is told who its clients are."""
    with RawService(echo) as service:
        config = tables(service.endpoint, PLANT_1, listen=endpoint(), **clients)
        with Certified(config, service, process={"workers": workers}) as proxy:
            yield proxy


def short_lived(proxy: Certified, keys: Keys) -> tuple[RawClient, bytes]:
    """A client that has presented a certificate which ends in a few seconds, and that: READY is to come.

    However slow the machine is: it is let in, or asks again with more time.
    """
    seconds = 2.0
    while True:
        text = issued(keys.public, seconds=seconds)
        client = proxy.bearer(text, keys)
        with suppress(EOFError, OSError):
            client.handshake()
            return client, text
        client.close()
        seconds *= 2
