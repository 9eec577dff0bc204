"""Half a frame runs through two proxies with records; when its client dies, no libzmq delivers anything of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.peer import OldLibrary, OldSocket
from support import egress, zmtp
from support.lane import Lane
from support.peer import Peer
from zmq import SocketType

VERSIONS = ["2.0.10", "2.1.11", "2.2.0", "3.2.2", "4.0.3", "4.1.6", "4.2.5", "4.3.2", "4.3.4", "4.3.5"]
CLIENTS = {"PULL": "PUSH", "ROUTER": "DEALER", "REP": "REQ", "DEALER": "DEALER", "SUB": "PUB", "PAIR": "PAIR"}
# A PAIR of 2.x aborts at a second connection while its own thread has not seen the first leave. The proxy gives it a
# second, which may be too short where the machine is busy.
OF_PAIR = ["3.2.2", "4.1.6", "4.3.5"]
CASES = [(version, kind) for version in VERSIONS for kind in CLIENTS if kind != "PAIR" or version in OF_PAIR]
BIG = 500_000
WHILE = 1.0  # second, for what was sent to arrive; where it is too short it is only sent again
SENT = "curveproxy_message_bytes_total"

pytestmark = pytest.mark.old


@pytest.fixture(scope="module")
def lanes() -> Iterator[dict[str, Lane]]:
    services = {kind: {"backend_socket_type": kind} for kind in CLIENTS}
    with egress.both_ends({kind: {} for kind in CLIENTS}, services) as found:
        yield found


@contextmanager
def bound(version: str, lanes: dict[str, Lane], *kinds: str) -> Iterator[dict[str, OldSocket]]:
    """Services of these kinds, on one version."""
    try:
        command = matrix.command(version)
    except UnavailableError as error:
        pytest.skip(str(error))
    with OldLibrary(command) as old:
        found = {kind: old.bind(SocketType[kind], lanes[kind].backend) for kind in kinds}
        if "SUB" in found:
            found["SUB"].setsockopt(zmq.SUBSCRIBE, b"")
        yield found


@pytest.fixture(scope="module")
def shared(version: str, lanes: dict[str, Lane]) -> Iterator[dict[str, OldSocket]]:
    """A service of each kind but PAIR, on one version."""
    with bound(version, lanes, *CLIENTS.keys() - {"PAIR"}) as found:
        yield found


@pytest.fixture
def service(request: pytest.FixtureRequest, version: str, kind: str, lanes: dict[str, Lane]) -> Iterator[OldSocket]:
    """One of them, or a new one that has met no client.

    A PAIR must have seen the last client leave. The fair queue of 2.x takes out a connection that has ended and leaves
    a gap among those that have something to read: of three it may forget one, and a test makes two.
    """
    if kind == "PAIR" or version.startswith("2"):
        with bound(version, lanes, kind) as found:
            yield found[kind]
    else:
        yield request.getfixturevalue("shared")[kind]


def delimiter(kind: str) -> bytes:
    """What a request begins with."""
    return zmtp.frame(b"", zmtp.MORE) if kind == "REP" else b""


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("before", [b"", zmtp.frame(b"a part", zmtp.MORE)], ids=["the first part", "the second part"])
@pytest.mark.parametrize(("version", "kind"), CASES, scope="module")
def test_a_torn_frame_is_not_delivered(
    service: OldSocket, lanes: dict[str, Lane], kind: str, before: bytes, is_reset: bool
) -> None:
    lane = lanes[kind]
    passed = lane.metric(SENT, direction="in")
    with let_in(lane, kind) as client:
        client.send_raw(delimiter(kind) + before + zmtp.frame(bytes(BIG))[: BIG // 2])
        lane.wait_metric(SENT, passed + BIG // 2 - 9 + (6 if before else 0), direction="in")
        if is_reset:
            client.reset()
    lane.wait_metric("curveproxy_sessions", 0)
    if kind == "PAIR":
        is_heard_by_pair(lane, service)
    else:
        with let_in(lane, kind) as client:
            client.send_raw(delimiter(kind) + zmtp.frame(b"whole"))
            assert service.recv_multipart()[-1] == b"whole"
            if kind == "REP":
                service.send_multipart([b"reply"])  # else it takes no other request
                assert client.recv() == [b"", b"reply"]
    lane.wait_metric("curveproxy_sessions", 0)


def let_in(lane: Lane, kind: str) -> Peer:
    """A client with its handshake done. Raises EOFError and ConnectionError when it is closed."""
    client = Peer.to(lane.public, socket_type=CLIENTS[kind])
    try:
        return client.handshake()
    except (EOFError, ConnectionError):
        client.close()
        raise


def is_heard_by_pair(lane: Lane, service: OldSocket) -> None:
    """One client of those that try is heard.

    A PAIR has a place for it when its own thread has seen the last one leave, so that reads. Who comes before that is
    neither heard nor closed.
    """
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(service.recv_multipart)
        while not heard.done():
            with let_in(lane, "PAIR") as client:
                client.send_raw(zmtp.frame(b"whole"))
                wait([heard], timeout=WHILE)
        assert heard.result() == [b"whole"]
