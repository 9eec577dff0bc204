"""libzmq itself, with a key for some topics only: what it subscribes to or publishes beside them goes no further."""

from collections.abc import Iterator
from itertools import count

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.patterns import A_MOMENT, Socket
from interop.old.peer import OldLibrary
from support.lane import Lane, lanes
from support.libzmq import Libzmq
from support.process import wait_until
from zmq import SocketType

KEY = {"topics": "a bc", "publish-topics": "a bc"}
PUBLISHED = [b"", b"a1", b"b", b"bcd", b"bce", b"zoo"]
# 2.x do not filter for their subscribers, 3.2 speaks ZMTP 2.0, before 4.2.4 a cancellation may be an old one's end.
VERSIONS = ["2.0.10", "2.1.7", "2.2.0", "3.2.2", "4.0.3", "4.1.6", "4.2.5", "4.3.2"]


@pytest.fixture(scope="module")
def behind() -> Iterator[dict[str, Lane]]:
    with lanes({kind: {} for kind in ("PUB", "XPUB", "SUB", "XSUB")}, KEY) as found:
        yield found


@pytest.fixture(scope="module")
def aged() -> Iterator[dict[str, Lane]]:
    """One for each: libzmq 2.0 aborts where a newer service was a moment ago, and is greeted as that one was."""
    named = {f"{kind} {version}": {"backend_socket_type": kind} for kind in ("PUB", "SUB") for version in VERSIONS}
    with lanes(named, KEY) as found:
        yield found


class Talk:
    """A publisher and a subscriber with the proxy between them."""

    def __init__(self, publisher: Socket, subscriber: Socket) -> None:
        self.publisher, self.subscriber, self.rounds = publisher, subscriber, count()

    def change(self, *topics: bytes, wanted: bool) -> None:
        for topic in topics:
            if self.subscriber.type == SocketType.XSUB:
                self.subscriber.send_multipart([bytes([wanted]) + topic])
            else:
                self.subscriber.setsockopt(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, topic)

    def publish(self) -> bytes:
        number = b"%d" % next(self.rounds)
        for topic in PUBLISHED:
            self.publisher.send_multipart([topic, number])
        return number

    def heard(self) -> list[bytes]:
        number, topics = self.publish(), []
        while self.subscriber.poll(A_MOMENT):
            topic, of = self.subscriber.recv_multipart()
            topics += [topic] if of == number else []
        return topics

    def hears(self, *topics: bytes) -> None:
        """These arrive and no others: first of one publication, then of several, in their order."""
        wait_until(lambda: self.heard() == [*topics], f"just {topics} are heard")
        for number in [self.publish() for _ in range(10)]:
            for topic in topics:
                assert self.subscriber.recv_multipart() == [topic, number]


def left_out(lane: Lane) -> float:
    return lane.metric("curveproxy_invalid_messages_total", reason="topic")


def subscribes(talk: Talk, lane: Lane) -> None:
    """The client subscribes, to more than it may."""
    before = left_out(lane)
    talk.change(b"", b"a", b"b", b"bcd", b"zoo", wanted=True)
    talk.hears(b"a1", b"bcd")
    talk.change(b"zoo", b"b", b"", b"a", wanted=False)
    talk.hears(b"bcd")
    wait_until(lambda: left_out(lane) >= before + 6, "three subscriptions and their cancellations are left out")


def publishes(talk: Talk, lane: Lane) -> None:
    """The service subscribes to all, and the client publishes more than it may."""
    before = left_out(lane)
    talk.change(b"", wanted=True)
    talk.hears(b"a1", b"bcd", b"bce")
    wait_until(lambda: left_out(lane) >= before + 11 * 3, "of each publication three messages are left out")


@pytest.mark.parametrize(
    ("publisher", "subscriber"), [("PUB", "SUB"), ("PUB", "XSUB"), ("XPUB", "SUB"), ("XPUB", "XSUB")]
)
@pytest.mark.parametrize("check", [subscribes, publishes])
def test_libzmq(behind: dict[str, Lane], libzmq: Libzmq, publisher: str, subscriber: str, check: object) -> None:
    if check is subscribes:
        lane = behind[publisher]
        service = lane.bind(libzmq, SocketType[publisher])
        subscribes(Talk(service, lane.connect(libzmq, SocketType[subscriber])), lane)
    else:
        lane = behind[subscriber]
        service = lane.bind(libzmq, SocketType[subscriber])
        publishes(Talk(lane.connect(libzmq, SocketType[publisher]), service), lane)


@pytest.mark.old
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["PUB", "SUB"])
def test_services_of_any_age(aged: dict[str, Lane], libzmq: Libzmq, version: str, kind: str) -> None:
    try:
        command = matrix.command(version)
    except UnavailableError as error:
        pytest.skip(str(error))
    with OldLibrary(command) as old:
        lane = aged[f"{kind} {version}"]
        service = old.bind(SocketType[kind], lane.backend)
        if kind == "PUB":
            subscribes(Talk(service, lane.connect(libzmq, zmq.SUB)), lane)
        else:
            publishes(Talk(lane.connect(libzmq, zmq.PUB), service), lane)
        for sock in reversed(libzmq.sockets):
            sock.close(linger=0)  # before its service
