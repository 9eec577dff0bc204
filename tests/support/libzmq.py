"""Real libzmq sockets with bounded waits, all of them closed at the end."""

from collections.abc import Sequence
from typing import Any, Self

import zmq

from support.curve import Keys
from support.peer import SECONDS

Socket = zmq.Socket[bytes]


class Libzmq:
    """A context and its sockets. Options are pyzmq's attributes, set before bind or connect."""

    def __init__(self) -> None:
        self.context: zmq.Context[Socket] = zmq.Context()
        self.sockets: list[Socket] = []  # kept until the end: pyzmq warns of a socket that was only forgotten

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.destroy(linger=0)

    def socket(self, kind: int, **options: Any) -> Socket:
        """A socket neither bound nor connected; sending and receiving raise zmq.Again after SECONDS."""
        sock = self.context.socket(kind)
        self.sockets.append(sock)
        sock.rcvtimeo = sock.sndtimeo = int(SECONDS * 1000)
        for name, value in options.items():
            setattr(sock, name, value)
        return sock

    def bind(
        self, kind: int, endpoint: str = "tcp://127.0.0.1:*", *, server: Keys | None = None, **options: Any
    ) -> tuple[Socket, str]:
        """A bound socket and its endpoint. server: its keys, which make it a CURVE server."""
        sock = self.socket(kind, **options)
        if server is not None:
            sock.curve_server, sock.curve_secretkey = True, server.secret
        sock.bind(endpoint)
        bound = sock.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        return sock, bound.rstrip(b"\0").decode()

    def connect(
        self, kind: int, endpoint: str, *, server: bytes | None = None, keys: Keys | None = None, **options: Any
    ) -> Socket:
        """A connected socket. server: the server's public key, which makes it a CURVE client, keys: its own."""
        sock = self.socket(kind, **options)
        if server is not None:
            keys = keys or Keys.new()
            sock.curve_serverkey, sock.curve_publickey, sock.curve_secretkey = server, keys.public, keys.secret
        sock.connect(endpoint)
        return sock


def check_each_is_answered(router: Socket, clients: Sequence[Socket]) -> None:
    """Demand that a ROUTER hears each of these, whose identities are their numbers, and each its own answer."""
    for number, client in enumerate(clients):
        client.send(b"from %d" % number)
    for _ in clients:
        name, body = router.recv_multipart()
        assert body == b"from " + name
        router.send_multipart([name, b"to " + name])
    for number, client in enumerate(clients):
        assert client.recv() == b"to %d" % number
