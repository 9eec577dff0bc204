"""Every old library in every pattern, behind the proxy and before it, and what an old one alone can suffer from."""

from collections.abc import Iterator

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.patterns import PATTERNS, Pattern, ask
from interop.old.peer import OldLibrary
from support.lane import Lane
from support.libzmq import Libzmq
from support.process import Sidecar, free_port

LIBRARIES = ["2.1.11", "2.2.0", "3.2.2", "4.0.3", "4.1.6", "4.2.5", "4.3.2", "4.3.5", matrix.JEROMQ, matrix.NEW_JEROMQ]
CLIENTS = ["2.0.10", "2.1.11", "2.2.0", "3.2.2", "4.1.6", "4.3.2", matrix.JEROMQ, matrix.NEW_JEROMQ]  # of an egress
OF_EACH_ZMTP = ["2.1.11", "3.2.2", "4.3.2"]
EACH_BY_EACH_OTHER = ["2.1.11", "4.3.2", "3.2.2", "2.1.11", "3.2.2", "4.3.2", "2.1.11"]  # ZMTP 1.0, 3.0, 2.0 ...


def mark(name: str) -> pytest.MarkDecorator:
    return pytest.mark.java if name in (matrix.JEROMQ, matrix.NEW_JEROMQ) else pytest.mark.old


def rows(*wanted: str, libraries: list[str] = LIBRARIES) -> pytest.MarkDecorator:
    """Each library in each of these roles."""
    params = [
        pytest.param(name, role, marks=mark(name))
        for name in libraries
        for role in matrix.roles(name)
        if role in wanted
    ]
    return pytest.mark.parametrize(("name", "role"), params, scope="module")


@pytest.fixture(scope="module")
def command(name: str) -> list[str]:
    try:
        return matrix.command(name)
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def lanes(command: list[str], role: str) -> Iterator[dict[str, Lane]]:
    with matrix.lanes(role) as lanes:  # a new proxy, which has not met the version before this one
        yield lanes


@rows(matrix.SERVICE, matrix.UNCONFIGURED, matrix.CLIENT)
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_library_in_a_pattern(command: list[str], lanes: dict[str, Lane], role: str, pattern: Pattern) -> None:
    matrix.check(command, role, pattern, lanes[str(pattern)])


@rows(matrix.LOCAL, matrix.REMOTE, matrix.ENDS, libraries=CLIENTS)
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_library_at_an_egress(
    name: str, command: list[str], lanes: dict[str, Lane], role: str, pattern: Pattern
) -> None:
    if pattern in matrix.patterns(name, role):  # libzmq 2.0 has no XSUB
        matrix.check(command, role, pattern, lanes[str(pattern)])


@rows(matrix.BARE, libraries=OF_EACH_ZMTP)
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_library_at_both_ends_of_messages(
    command: list[str], lanes: dict[str, Lane], role: str, pattern: Pattern
) -> None:
    matrix.check(command, role, pattern, lanes[str(pattern)])


@pytest.mark.old
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_clients_of_every_age_before_one_egress(pattern: Pattern) -> None:
    with matrix.lanes(matrix.LOCAL) as lanes:
        for name in EACH_BY_EACH_OTHER:
            matrix.check(matrix.command(name), matrix.LOCAL, pattern, lanes[str(pattern)])


@pytest.mark.old
@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p.service.name in ("REP", "PUB", "PUSH")], ids=str)
def test_a_service_is_replaced_by_another_version(pattern: Pattern) -> None:
    with matrix.lanes(matrix.SERVICE) as lanes:
        for name in EACH_BY_EACH_OTHER:
            matrix.check(matrix.command(name), matrix.SERVICE, pattern, lanes[str(pattern)])


@rows(matrix.SERVICE)
def test_a_service_is_told_who_its_clients_are_where_that_is_wanted(
    command: list[str], lanes: dict[str, Lane], libzmq: Libzmq
) -> None:
    lane = lanes["DEALER ROUTER"]
    with OldLibrary(command) as old:
        service = old.bind(zmq.ROUTER, lane.backend)
        clients = {name: lane.connect(libzmq, zmq.DEALER, identity=name) for name in (b"alice", b"bob")}
        for client in clients.values():
            client.send(b"hello")
        assert sorted(service.recv_multipart() for _ in clients) == [[name, b"hello"] for name in clients]
        for name, client in clients.items():
            service.send_multipart([name, b"hello", name])
            assert client.recv_multipart() == [b"hello", name]


@rows(matrix.CLIENT)
def test_a_client_is_told_no_more_than_it_has_room_for(
    command: list[str], lanes: dict[str, Lane], libzmq: Libzmq
) -> None:
    """READY with such an identity is larger than the 256 octets that libzmq kept for it until 4.2.2."""
    lane = lanes["DEALER DEALER"]
    service = lane.bind(libzmq, zmq.DEALER, identity=b"x" * 255)
    with OldLibrary(command) as old:
        server, keys = lane.proxy.server.public, lane.keys
        ask(service, lambda: old.connect(zmq.DEALER, lane.public, server=server, keys=keys), clients=1)


@pytest.mark.old
@pytest.mark.parametrize("version", ["3.2.2", "4.1.6", "4.3.2"])
def test_a_look_whether_a_service_is_up_takes_none_of_its_messages(version: str, libzmq: Libzmq) -> None:
    """These deal what they have to whoever connects, and lose it when that is closed without a greeting."""
    endpoint, jobs = f"tcp://127.0.0.1:{free_port()}", [b"%d" % number for number in range(20)]
    with Sidecar(backend=endpoint, clients={"allow": "any"}) as proxy, OldLibrary(matrix.command(version)) as old:
        client = libzmq.connect(zmq.PULL, proxy.public, server=proxy.server.public)
        proxy.wait_metric("curveproxy_half_open_connections", 1)
        service = old.bind(zmq.PUSH, endpoint)
        for job in jobs:
            service.send_multipart([job])
        assert [client.recv() for _ in jobs] == jobs
