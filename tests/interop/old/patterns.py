"""What is asked of a library: for each pattern a conversation of one service with its clients."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

import zmq
from support.process import wait_until
from zmq import SocketType

SIZES = [0, 1, 253, 254, 255, 256, 8192, 1 << 20]  # short and long frames change places at others in each ZMTP
SHAPES = [*([size] for size in SIZES), SIZES, [1, 0, 1, 0]]  # messages, by the sizes of their parts
TOPICS = [b"", b"x", b"a", b"b"]
JOBS = 200
A_MOMENT = 50  # milliseconds for what was sent to arrive; where it is too short it is only asked again


class Socket(Protocol):
    """What a socket of either library can do."""

    @property
    def type(self) -> object: ...
    def setsockopt(self, option: int, value: bytes, /) -> object: ...
    def send_multipart(self, parts: list[bytes], /) -> object: ...
    def recv_multipart(self) -> list[bytes]: ...
    def poll(self, milliseconds: int, /) -> object: ...


NewClient = Callable[[], Socket]  # returns when the proxy has let it in


def message(number: int, shape: Iterable[int]) -> list[bytes]:
    """Parts of these sizes, for each client others."""
    octets = bytes(range(251)) * (max(SIZES) // 251 + 2)  # 251 is prime: nothing repeats at a buffer's length
    return [octets[number : number + size] for size in shape]


def ask(service: Socket, new_client: NewClient, clients: int = 2, stack: Iterable[bytes] = (), depth: int = 0) -> None:
    """The clients ask at the same time, and each gets the answer to its own question.

    stack: what they put before a question; depth: how many parts the service sees before it.
    """
    asking = [new_client() for _ in range(clients)]
    for shape in SHAPES:
        for number, client in enumerate(asking):
            client.send_multipart([*stack, *message(number, shape)])
        for _ in asking:
            seen = service.recv_multipart()
            envelope, question = seen[:depth], seen[depth:]
            assert question in [message(number, shape) for number in range(clients)]
            service.send_multipart([*envelope, *question[::-1]])
        for number, client in enumerate(asking):
            assert client.recv_multipart() == [*stack, *message(number, shape)[::-1]]


def publish(publisher: Socket, subscriber: Socket) -> None:
    """What has been subscribed to arrives and nothing else: of one topic, of two, of the second alone."""
    rounds = count()

    def publications() -> bytes:
        number = b"%d" % next(rounds)
        for topic in TOPICS:
            publisher.send_multipart([topic, number])
        return number

    def heard() -> list[bytes]:
        number, topics = publications(), []
        while subscriber.poll(A_MOMENT):
            topic, of = subscriber.recv_multipart()
            topics += [topic] if of == number else []
        return topics

    def change(topic: bytes, *, wanted: bool) -> None:
        if subscriber.type == SocketType.XSUB:
            subscriber.send_multipart([bytes([wanted]) + topic])
        else:
            subscriber.setsockopt(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, topic)

    def hears(*topics: bytes) -> None:
        wait_until(lambda: heard() == [*topics], f"just {topics} are heard")
        for number in [publications() for _ in range(10)]:
            for topic in topics:
                assert subscriber.recv_multipart() == [topic, number]

    assert [heard() for _ in range(5)] == [[]] * 5
    change(b"a", wanted=True)
    hears(b"a")
    change(b"b", wanted=True)
    hears(b"a", b"b")
    change(b"a", wanted=False)
    hears(b"b")


def subscribed_by_client(service: Socket, new_client: NewClient) -> None:
    """An XSUB hears all that is sent to it: what it must not hear has to be left out before."""
    publish(service, new_client())


def subscribed_by_service(service: Socket, new_client: NewClient) -> None:
    publish(new_client(), service)


def collect(service: Socket, new_client: NewClient) -> None:
    """Two clients push, and all of it arrives, of each in its order."""
    clients = [new_client(), new_client()]
    for job in range(JOBS):
        for number, client in enumerate(clients):
            client.send_multipart([b"%d" % number, b"%d" % job, b"x" * job])
    arrived = [service.recv_multipart() for _ in range(JOBS * len(clients))]
    for number, _ in enumerate(clients):
        of_client = [parts[1:] for parts in arrived if parts[0] == b"%d" % number]
        assert of_client == [[b"%d" % job, b"x" * job] for job in range(JOBS)]


def deal(service: Socket, new_client: NewClient) -> None:
    """Clients come while jobs are dealt, and each job is done once."""
    clients: list[Socket] = []
    jobs, done = [[b"%04d" % job, b"x" * job] for job in range(JOBS)], []

    def all_done() -> bool:
        for client in clients:
            while client.poll(0):
                done.append(client.recv_multipart())
        return len(done) >= JOBS

    for first in range(4):
        clients.append(new_client())
        for job in jobs[first::4]:
            service.send_multipart(job)
    wait_until(all_done, "all jobs arrive")
    assert sorted(done) == jobs


class Pattern(NamedTuple):
    """The types of both sides, and their conversation."""

    client: SocketType
    service: SocketType
    check: Callable[[Socket, NewClient], None]

    def __str__(self) -> str:
        return f"{self.client.name} {self.service.name}"


PATTERNS = [
    Pattern(SocketType[client], SocketType[service], check)
    for client, service, check in (
        ("REQ", "REP", ask),
        ("DEALER", "REP", partial(ask, stack=[b"hop", b""])),
        ("REQ", "ROUTER", partial(ask, depth=2)),
        ("DEALER", "ROUTER", partial(ask, depth=1)),
        ("DEALER", "DEALER", partial(ask, clients=1)),
        ("PAIR", "PAIR", partial(ask, clients=1)),
        ("SUB", "PUB", subscribed_by_client),
        ("XSUB", "PUB", subscribed_by_client),
        ("PUB", "SUB", subscribed_by_service),
        ("PUSH", "PULL", collect),
        ("PULL", "PUSH", deal),
    )
]
