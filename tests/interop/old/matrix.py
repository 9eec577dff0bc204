"""Old libraries in each of their roles, the proxy, and on its other side the libzmq of today."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.old.build import VERSIONS, library
from interop.old.patterns import PATTERNS, NewClient, Pattern, Socket
from interop.old.peer import OldLibrary
from support import lane
from support.lane import Lane
from support.libzmq import Libzmq

HERE = Path(__file__).parent
JEROMQ, JAR = "jeromq-0.3.6", "/usr/share/java/jeromq-0.3.6.jar"
LIBRARIES = [*VERSIONS, JEROMQ]
ROLES = SERVICE, UNCONFIGURED, CLIENT = "service", "service, nothing configured", "client"


def roles(name: str) -> list[str]:
    """What a library can be: ZMTP 1.0 does not tell a service's type, and CURVE is there since 4.0."""
    return [SERVICE, *[UNCONFIGURED] * name.startswith("2"), *[CLIENT] * name.startswith("4")]


def command(name: str) -> list[str]:
    """How to start the driver of a library: a version of libzmq, built if need be, or JeroMQ's. Raises as ``build``."""
    if name == JEROMQ:
        return ["java", "-cp", JAR, str(HERE / "Driver.java")]
    return [sys.executable, str(HERE / "driver.py"), str(library(name))]


@contextmanager
def lanes(role: str) -> Iterator[dict[str, Lane]]:
    """A proxy with a service of every type, and all that can be configured of an old one or nothing: type -> lane."""
    types = {pattern.service.name for pattern in PATTERNS}
    known = {kind: {"backend_socket_type": kind, "zmtp1_identities": True} for kind in types}
    with lane.lanes({kind: {} for kind in types} if role == UNCONFIGURED else known) as found:
        yield found


def check(command: list[str], role: str, pattern: Pattern, lane: Lane) -> None:
    """Let a library take part in a pattern. Raises what the pattern raises."""
    with Libzmq() as libzmq, OldLibrary(command) as old:
        if role == CLIENT:
            server, keys = lane.proxy.server.public, lane.keys
            service: Socket = lane.bind(libzmq, pattern.service)
            pattern.check(
                service, admitted(lane, lambda: old.connect(pattern.client, lane.public, server=server, keys=keys))
            )
        else:
            service = old.bind(pattern.service, lane.backend)
            pattern.check(service, admitted(lane, lambda: lane.connect(libzmq, pattern.client, identity=None)))


def admitted(lane: Lane, connect: Callable[[], Socket]) -> NewClient:
    """Connect and wait until the proxy has the client and its service."""

    def new_client() -> Socket:
        admitted = lane.metric("curveproxy_handshakes_total", outcome="admitted")
        client = connect()
        lane.wait_metric("curveproxy_handshakes_total", admitted + 1, outcome="admitted")
        return client

    return new_client
