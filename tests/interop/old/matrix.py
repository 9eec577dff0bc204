"""Old libraries in each of their roles, the proxy, and on its other side the libzmq of today."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.old.build import VERSIONS, jeromq, library
from interop.old.patterns import PATTERNS, NewClient, Pattern, Socket
from interop.old.peer import OldLibrary
from support import egress, lane
from support.lane import Lane
from support.libzmq import Libzmq

HERE = Path(__file__).parent
SERVICES = sorted({pattern.service.name for pattern in PATTERNS})
JEROMQ, JAR = "jeromq-0.3.6", "/usr/share/java/jeromq-0.3.6.jar"
NEW_JEROMQ = "jeromq-0.6.0"  # it has CURVE, of its own
BRIEFLY = "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"  # what runs for a moment need not be made fast first
LIBRARIES = [*VERSIONS, JEROMQ, NEW_JEROMQ]
ROLES = SERVICE, UNCONFIGURED, CLIENT, LOCAL, REMOTE, ENDS, BARE = (
    "service",
    "service, nothing configured",
    "client",
    "client behind an egress",
    "remote of an egress",
    "both ends",
    "both ends, without records",
)


def roles(name: str) -> list[str]:
    """What a library can be: ZMTP 1.0 does not tell a service's type, and CURVE is there since 4.0."""
    has_curve = name.startswith("4") or name == NEW_JEROMQ
    inward = [SERVICE, *[UNCONFIGURED] * name.startswith("2"), *[CLIENT] * has_curve]
    return [*inward, LOCAL, *[REMOTE] * has_curve, ENDS, BARE]


def patterns(name: str, role: str) -> list[Pattern]:
    """Those in which a library can take part: XSUB and XPUB came with 2.1."""
    has_xsub = role in (SERVICE, UNCONFIGURED) or not name.startswith("2.0")
    return [pattern for pattern in PATTERNS if has_xsub or pattern.client.name != "XSUB"]


def command(name: str) -> list[str]:
    """How to start the driver of a library: a version of libzmq, built if need be, or JeroMQ's. Raises as ``build``."""
    if name in (JEROMQ, NEW_JEROMQ):
        return ["java", *BRIEFLY, "-cp", JAR if name == JEROMQ else str(jeromq()), str(HERE / "Driver.java")]
    return [sys.executable, str(HERE / "driver.py"), str(library(name))]


@contextmanager
def lanes(role: str) -> Iterator[dict[str, Lane]]:
    """A proxy with what each pattern needs, and all that can be configured of an old library or nothing.

    Returns pattern -> lane; before a service, patterns with the same type of service share one.
    """
    known = {kind: {"backend_socket_type": kind, "zmtp1_identities": True} for kind in SERVICES}
    told = {str(pattern): {"client_socket_type": pattern.client.name} for pattern in PATTERNS}
    if role in (LOCAL, REMOTE):
        with egress.lanes(told) as found:
            yield found
    elif role in (ENDS, BARE):
        services = {str(pattern): known[pattern.service.name] for pattern in PATTERNS}
        with egress.both_ends(told, services, {"records": "off"} if role == BARE else {}) as found:
            yield found
    else:
        with lane.lanes({kind: {} for kind in SERVICES} if role == UNCONFIGURED else known) as found:
            yield {str(pattern): found[pattern.service.name] for pattern in PATTERNS}


def check(command: list[str], role: str, pattern: Pattern, lane: Lane) -> None:
    """Let a library take part in a pattern. Raises what the pattern raises."""
    with Libzmq() as libzmq, OldLibrary(command) as old:

        def client() -> Socket:
            if role in (LOCAL, ENDS, BARE):
                return old.connect(pattern.client, lane.public)
            if role == CLIENT:
                return old.connect(pattern.client, lane.public, server=lane.proxy.server.public, keys=lane.keys)
            return lane.connect(libzmq, pattern.client, identity=None)

        def service() -> Socket:
            if role in (LOCAL, CLIENT):
                return lane.bind(libzmq, pattern.service)
            return old.bind(pattern.service, lane.backend, server=lane.proxy.server if role == REMOTE else None)

        pattern.check(service(), admitted(lane, client))


def admitted(lane: Lane, connect: Callable[[], Socket]) -> NewClient:
    """Connect and wait until the proxy has the client and its service."""

    def new_client() -> Socket:
        admitted = lane.metric("curveproxy_handshakes_total", outcome="admitted")
        client = connect()
        lane.wait_metric("curveproxy_handshakes_total", admitted + 1, outcome="admitted")
        return client

    return new_client
