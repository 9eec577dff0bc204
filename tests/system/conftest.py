"""What the tests of the running process share."""

from collections.abc import Iterator

import pytest
from support.door import Door
from support.libzmq import Libzmq
from support.process import Sidecar, wait_until
from support.service import RawService, echo


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """One for a whole module: limits high, the deadline far away."""
    limits = {"handshake_seconds": 30, "max_half_open_per_source": 10_000, "handshakes_per_second_per_source": 100_000}
    with RawService(echo) as service, Sidecar(backend=service.endpoint, admission=limits) as proxy:
        opened = Door(proxy, service)
        wait_until(lambda: any(line.get("event") == "client list changed" for line in proxy.log), "alice is listed")
        yield opened
        wait_until(lambda: not proxy.metric("curveproxy_half_open_connections"), "nobody is left at the door")
        accepted = proxy.metric("curveproxy_connections_accepted_total")
        assert accepted == sum(opened.outcomes().values())


@pytest.fixture
def libzmq() -> Iterator[Libzmq]:
    with Libzmq() as libzmq:
        yield libzmq
