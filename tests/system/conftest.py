"""What the tests of the running process share."""

import subprocess
from collections.abc import Iterator

import pytest
from support.door import Door
from support.libzmq import Libzmq
from support.process import Sidecar, wait_until
from support.service import RawService, echo

BOTH = "::1 both\n127.0.0.1 both\n127.0.0.1 localhost\n"
MOUNTS = ["unshare", "--mount", "--map-root-user"]


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


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What starts a proxy whose hosts file is ``BOTH``."""
    file = tmp_path_factory.mktemp("hosts") / "hosts"
    file.write_text(BOTH)
    launcher = [*MOUNTS, "sh", "-c", f'mount --bind {file} /etc/hosts && exec "$@"', "sh"]
    try:
        found = subprocess.run([*launcher, "getent", "ahosts", "both"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        found = None
    if found is None or not ("::1" in found.stdout and "127.0.0.1" in found.stdout):
        pytest.skip("this user may not give a process a hosts file of its own, or there is no IPv6")
    return launcher
