"""One running proxy with a service for every kind of endpoint."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lane import Lane
from support.libzmq import Libzmq
from support.process import Sidecar, free_port, toml


@pytest.fixture(scope="session")
def lanes() -> Iterator[dict[str, Lane]]:
    """Name -> lane. They take turns: a test binds behind the one it uses, and leaves it."""
    with tempfile.TemporaryDirectory(prefix="lanes-") as directory:
        unique = Path(directory).name
        ends = {
            "tcp": ("tcp://127.0.0.1:0", f"tcp://127.0.0.1:{free_port()}"),
            "tcp6": ("tcp://[::1]:0", f"tcp://[::1]:{free_port()}"),
            "ipc": (f"ipc://{directory}/front", f"ipc://{directory}/back"),
            "abstract": (f"ipc://@{unique}-front", f"ipc://@{unique}-back"),
            "tcp to ipc": ("tcp://127.0.0.1:0", f"ipc://{directory}/back-2"),
            "ipc to tcp6": (f"ipc://{directory}/front-2", f"tcp://[::1]:{free_port()}"),
            "named": ("tcp://127.0.0.1:0", f"tcp://127.0.0.1:{free_port()}"),
        }
        limits = {"max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000}
        config = ""
        for name, (listen, backend) in ends.items():
            service = {"name": name, "listen": listen, "backend": backend, "secret_keys": ["server.key_secret"]}
            config += toml("[[service]]", {**service, "forward_identity": name == "named"})
            config += toml("[service.clients]", {"directory": "clients"}) + toml("[service.admission]", limits)
        proxy = Sidecar(config)
        keys = proxy.new_client("alice")
        with proxy:
            yield {name: Lane(proxy, keys, name, backend) for name, (_, backend) in ends.items()}


@pytest.fixture
def tcp(lanes: dict[str, Lane]) -> Lane:
    return lanes["tcp"]


@pytest.fixture
def libzmq() -> Iterator[Libzmq]:
    with Libzmq() as libzmq:
        yield libzmq
        for sock in reversed(libzmq.sockets):
            sock.close(linger=0)  # clients before their service, or they would come again and find it gone
