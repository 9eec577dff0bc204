"""Many libzmq clients that ask all the time, and the service that answers them."""

import time
from contextlib import suppress
from typing import Self

import zmq
from support.curve import Keys
from support.libzmq import Libzmq, Socket
from support.process import Sidecar

# When who waits for an answer asks again, and how long all may take.
LOST_SECONDS, PATIENCE = 3.0, 60.0


class Client:
    """One that asks again as soon as it was answered, or when no answer comes."""

    def __init__(self, sock: Socket) -> None:
        self._sock, self._asked, self.answered = sock, 0, 0
        self._ask()

    def _ask(self) -> None:
        self._asked += 1
        self._at = time.monotonic()
        self._sock.send(b"%d" % self._asked)

    def look(self) -> None:
        """Take an answer that is there."""
        try:
            answer = self._sock.recv(zmq.NOBLOCK)
        except zmq.Again:
            if time.monotonic() > self._at + LOST_SECONDS:
                self._ask()
        else:
            self.answered += 1
            if answer == b"%d" % self._asked:  # else it is late, and another is on its way
                self._ask()

    @property
    def has_lost(self) -> bool:
        """Whether something was never answered, besides what it asks now."""
        return self._asked > self.answered + 1


class Crowd:
    """So many. backend: where their service is; admission: limits with which all may come at once."""

    def __init__(self, count: int) -> None:
        self._count, self._libzmq = count, Libzmq()
        self._libzmq.context.set(zmq.MAX_SOCKETS, count + 8)
        self._service, self.backend = self._libzmq.bind(zmq.ROUTER, backlog=count)
        self.admission = {
            "max_half_open": count,
            "max_half_open_per_source": count,
            "handshakes_per_second_per_source": 10 * count,
        }
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._libzmq.__exit__(*error)

    def come(self, proxy: Sidecar, keys: Keys) -> None:
        """All connect, and ask."""
        for _ in range(self._count):
            sock = self._libzmq.connect(zmq.DEALER, proxy.public, server=proxy.server.public, keys=keys)
            self._clients.append(Client(sock))

    def is_answered(self) -> bool:
        """Everybody, once more than before. Raises TimeoutError."""
        wanted = [client.answered + 1 for client in self._clients]
        deadline = time.monotonic() + PATIENCE
        while any(client.answered < number for client, number in zip(self._clients, wanted, strict=True)):
            if time.monotonic() > deadline:
                raise TimeoutError("somebody is not answered")
            with suppress(zmq.Again):
                while True:
                    self._service.send_multipart(self._service.recv_multipart(zmq.NOBLOCK))
            for client in self._clients:
                client.look()
        return True

    @property
    def have_lost(self) -> int:
        """How many have never been answered something."""
        return sum(client.has_lost for client in self._clients)
