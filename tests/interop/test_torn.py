"""Half a frame runs through two proxies with records; when its client dies, no libzmq delivers anything of it."""

from collections.abc import Iterator

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.peer import OldLibrary, OldSocket
from support import egress, zmtp
from support.lane import Lane
from support.peer import Peer
from zmq import SocketType

# 2.0 is not among them: one that was torn so, and reset, once heard nothing on its next connection.
VERSIONS = ["2.1.11", "2.2.0", "3.2.2", "4.0.3", "4.1.6", "4.2.5", "4.3.2", "4.3.4", "4.3.5"]
CLIENTS = {"PULL": "PUSH", "ROUTER": "DEALER", "REP": "REQ", "DEALER": "DEALER", "SUB": "PUB"}
BIG = 500_000
SENT = "curveproxy_message_bytes_total"

pytestmark = pytest.mark.old


@pytest.fixture(scope="module")
def lanes() -> Iterator[dict[str, Lane]]:
    services = {kind: {"backend_socket_type": kind} for kind in CLIENTS}
    with egress.both_ends({kind: {} for kind in CLIENTS}, services) as found:
        yield found


@pytest.fixture(scope="module", params=VERSIONS)
def services(request: pytest.FixtureRequest, lanes: dict[str, Lane]) -> Iterator[dict[str, OldSocket]]:
    """A service of each kind, on one version."""
    try:
        command = matrix.command(request.param)
    except UnavailableError as error:
        pytest.skip(str(error))
    with OldLibrary(command) as old:
        found = {kind: old.bind(SocketType[kind], lanes[kind].backend) for kind in CLIENTS}
        found["SUB"].setsockopt(zmq.SUBSCRIBE, b"")
        yield found


def delimiter(kind: str) -> bytes:
    """What a request begins with."""
    return zmtp.frame(b"", zmtp.MORE) if kind == "REP" else b""


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("before", [b"", zmtp.frame(b"a part", zmtp.MORE)], ids=["the first part", "the second part"])
@pytest.mark.parametrize("kind", CLIENTS)
def test_a_torn_frame_is_not_delivered(
    services: dict[str, OldSocket], lanes: dict[str, Lane], kind: str, before: bytes, is_reset: bool
) -> None:
    lane, service = lanes[kind], services[kind]
    passed = lane.metric(SENT, direction="in")
    with Peer.to(lane.public, socket_type=CLIENTS[kind]) as client:
        client.handshake()
        client.send_raw(delimiter(kind) + before + zmtp.frame(bytes(BIG))[: BIG // 2])
        lane.wait_metric(SENT, passed + BIG // 2 - 9 + (6 if before else 0), direction="in")
        if is_reset:
            client.reset()
    lane.wait_metric("curveproxy_sessions", 0)
    with Peer.to(lane.public, socket_type=CLIENTS[kind]) as client:
        client.handshake()
        client.send_raw(delimiter(kind) + zmtp.frame(b"whole"))
        assert service.recv_multipart()[-1] == b"whole"
        if kind == "REP":
            service.send_multipart([b"reply"])  # else it takes no other request
            assert client.recv() == [b"", b"reply"]
    lane.wait_metric("curveproxy_sessions", 0)
