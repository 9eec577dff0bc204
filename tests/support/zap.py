"""Who decides on the clients of a libzmq server: a ZAP handler (RFC 27) that answers as it is told."""

import threading
from typing import Any, Self

import zmq

ADDRESS = "inproc://zeromq.zap.01"


class Zap:
    """Answers every request of the servers of this context.

    status: what it says, for example ``b"200"``; ``b""`` for nothing at all. It may be changed at any time.
    keys: those that it was asked about, 32 octets each.
    """

    def __init__(self, context: "zmq.Context[Any]", status: bytes) -> None:
        self.context, self.status, self.keys = context, status, list[bytes]()
        self._sock: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._sock.bind(ADDRESS)
        self._thread, self._leaves = threading.Thread(target=self._serve, daemon=True), False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaves = True
        self._thread.join()
        self._sock.close(linger=0)

    def _serve(self) -> None:
        while not self._leaves:
            if not self._sock.poll(20):
                continue
            version, request, _, _, _, mechanism, *credentials = self._sock.recv_multipart()
            assert mechanism == b"CURVE"
            self.keys += credentials
            while not self.status and not self._leaves:
                threading.Event().wait(0.02)
            if not self._leaves:
                self._sock.send_multipart([version, request, self.status, b"", b"somebody", b""])
