"""Services on the versions of libzmq that abort at what a client says: behind the proxy they live."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.peer import OldLibrary, OldSocket
from support import zmtp
from support.client import RawClient
from support.lane import Lane, lanes
from support.process import wait_until
from zmq import SocketType

pytestmark = pytest.mark.old

FITTING = {"PUB": "SUB", "XPUB": "XSUB", "REQ": "ROUTER", "REP": "DEALER", "PAIR": "PAIR", "PUSH": "PULL"}


@pytest.fixture(scope="module")
def behind() -> Iterator[dict[str, Lane]]:
    with lanes({kind: {"backend_socket_type": kind} for kind in FITTING}) as found:
        yield found


@contextmanager
def service_of(version: str, lane: Lane) -> Iterator[OldSocket]:
    """A service of this version; at the end it must be alive still."""
    try:
        command = matrix.command(version)
    except UnavailableError as error:
        pytest.skip(str(error))
    with OldLibrary(command) as old:
        service = old.bind(SocketType[lane.name], lane.backend)
        yield service
        for _ in range(3):
            assert old.socket(zmq.PUB)  # it answers


def client_of(lane: Lane) -> RawClient:
    kind = FITTING[lane.name]
    return RawClient(lane.public, lane.proxy.server.public, lane.keys, socket_type=kind)


def is_heard(service: OldSocket, client: RawClient) -> None:
    """A publisher publishes to this subscriber still."""
    client.sock.settimeout(0.05)

    def comes() -> bool:
        service.send_multipart([b"topic", b"body"])
        try:
            return client.recv() == [b"topic", b"body"]
        except TimeoutError:
            return False

    wait_until(comes, "it still publishes")


Mischief = Callable[[RawClient], None]


def cancel_in_vain(client: RawClient) -> None:
    client.send([b"\0topic"])


def cancel_in_vain_by_command(client: RawClient) -> None:
    client.send_command(b"CANCEL", b"topic")


def cancel_twice(client: RawClient) -> None:
    for message in (b"\1topic", b"\1topic", b"\0topic", b"\0topic"):
        client.send([message])


def send_a_message(client: RawClient) -> None:
    client.send([b"x"])


def splice_a_long_subscription(client: RawClient) -> None:
    spliced = client.seal(b"x", more=True) + client.seal(zmtp.command(b"SUBSCRIBE", b"topic"), command=True)
    with suppress(OSError):  # it is not read to its end
        client.send_raw(spliced + client.seal(b"\1" + bytes(2_000_000)))


def subscribe_in_a_later_part(client: RawClient) -> None:
    client.send([b"x", b"\1" + bytes(2_000_000)])


PUBLISHERS: list[tuple[str, list[str], Mischief, str]] = [
    (version, kinds, mischief, flaw)
    for versions, kinds, mischief, flaw in (
        ("3.2.2 4.0.3 4.1.6", ["PUB", "XPUB"], cancel_in_vain, "not_subscribed"),
        ("3.2.2 4.1.6", ["PUB", "XPUB"], cancel_in_vain_by_command, "not_subscribed"),
        ("3.2.2 4.1.6", ["PUB", "XPUB"], cancel_twice, "not_subscribed"),
        ("4.3.1 4.3.2", ["XPUB"], send_a_message, "not_accepted"),
        ("4.2.5 4.3.2", ["XPUB"], splice_a_long_subscription, "command"),
        ("4.2.5 4.3.2", ["XPUB"], subscribe_in_a_later_part, "not_accepted"),
    )
    for version in versions.split()
]


@pytest.mark.parametrize(
    ("version", "kind", "mischief", "flaw"),
    [(version, kind, mischief, flaw) for version, kinds, mischief, flaw in PUBLISHERS for kind in kinds],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_publisher_survives(behind: dict[str, Lane], version: str, kind: str, mischief: Mischief, flaw: str) -> None:
    lane = behind[kind]
    with service_of(version, lane) as service, client_of(lane) as honest, client_of(lane) as other:
        honest.handshake().send([b"\1topic"])
        is_heard(service, honest)
        before = lane.metric("curveproxy_invalid_messages_total", reason=flaw)
        mischief(other.handshake())
        wait_until(lambda: lane.metric("curveproxy_invalid_messages_total", reason=flaw) > before, flaw)
        is_heard(service, honest)


@pytest.mark.parametrize("version", ["2.0.10", "2.1.7"])
def test_an_old_requester_survives_a_reply_without_a_delimiter(behind: dict[str, Lane], version: str) -> None:
    lane = behind["REQ"]
    with service_of(version, lane) as service, client_of(lane) as client:
        client.handshake()
        service.send_multipart([b"question"])
        assert client.recv() == [b"", b"question"]
        client.send([b"no delimiter"])
        client.send([b""])
        client.send([b"", b"answer"])
        assert service.recv_multipart() == [b"answer"]


@pytest.mark.parametrize("version", ["2.0.10", "2.1.7"])
def test_an_old_replier_survives_a_request_without_a_delimiter(behind: dict[str, Lane], version: str) -> None:
    lane = behind["REP"]
    with service_of(version, lane) as service, client_of(lane) as client, client_of(lane) as other:
        other.handshake().send([b"no delimiter"])
        other.send([b""])
        other.send([b"hop", b"no delimiter"])
        other.recv_until_closed()  # of this one a part had gone on
        client.handshake().send([b"hop", b"", b"question"])
        assert service.recv_multipart() == [b"question"]
        service.send_multipart([b"answer"])
        assert client.recv() == [b"hop", b"", b"answer"]


@pytest.mark.parametrize("version", ["2.0.10", "2.1.7", "2.2.0"])
def test_an_old_pair_survives_a_second_client(version: str) -> None:
    with (
        lanes({"PAIR": {"backend_socket_type": "PAIR"}}) as found,
        service_of(version, lane := found["PAIR"]) as service,
    ):
        with client_of(lane) as first:
            first.handshake().send([b"hello"])
            assert service.recv_multipart() == [b"hello"]
            for _ in range(3):
                with client_of(lane) as second, pytest.raises(EOFError):  # closed without ERROR, so it may come again
                    second.handshake()
            lane.wait_metric("curveproxy_handshakes_total", 3, outcome="service_busy")
            service.send_multipart([b"still yours"])
            assert first.recv() == [b"still yours"]

        def comes_in() -> bool:
            assert not service.poll(10)  # a service that reads, for its pipe ends when it has read all
            with client_of(lane) as next_one:
                try:
                    next_one.handshake().send([b"hello again"])
                except EOFError:
                    return False
                return service.recv_multipart() == [b"hello again"]

        wait_until(comes_in, "the next one is let in")
