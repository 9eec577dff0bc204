"""One running proxy with a service for every kind of endpoint."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import lane
from support.lane import Lane
from support.libzmq import Libzmq
from support.process import free_port


@pytest.fixture(scope="session")
def lanes() -> Iterator[dict[str, Lane]]:
    """Name -> lane. They take turns: a test binds behind the one it uses, and leaves it."""
    with tempfile.TemporaryDirectory(prefix="lanes-") as directory:
        unique = Path(directory).name
        services: dict[str, dict[str, object]] = {
            "tcp": {},
            "tcp6": {"listen": "tcp://[::1]:0", "backend": f"tcp://[::1]:{free_port()}"},
            "ipc": {"listen": f"ipc://{directory}/front", "backend": f"ipc://{directory}/back"},
            "abstract": {"listen": f"ipc://@{unique}-front", "backend": f"ipc://@{unique}-back"},
            "tcp to ipc": {"backend": f"ipc://{directory}/back-2"},
            "ipc to tcp6": {"listen": f"ipc://{directory}/front-2", "backend": f"tcp://[::1]:{free_port()}"},
            "named": {"forward_identity": True},
        }
        with lane.lanes(services) as lanes:
            yield lanes


@pytest.fixture
def tcp(lanes: dict[str, Lane]) -> Lane:
    return lanes["tcp"]


@pytest.fixture
def libzmq() -> Iterator[Libzmq]:
    with Libzmq() as libzmq:
        yield libzmq
        for sock in reversed(libzmq.sockets):
            sock.close(linger=0)  # clients before their service, or they would come again and find it gone
