"""The peers with records understand each other, and those without: otherwise they prove nothing."""

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.curve import Keys
from support.record_peers import RecordClient, RecordServer
from support.service import RawService

KEYS = Keys.new()


class Service(RawService):
    """A server whose ``server`` is to be set."""

    def __init__(self, suites: Sequence[int], pad_to: int) -> None:
        super().__init__()
        self.suites, self.pad_to = suites, pad_to

    def server(self) -> RecordServer:
        """The next connection, with its handshake done."""
        sock: socket.socket = self.accept().sock
        server = RecordServer(sock, KEYS)
        server.suites, server.pad_to, server.most = self.suites, self.pad_to, 100
        server.handshake()
        return server


@pytest.mark.parametrize("most", [7, 32768])
@pytest.mark.parametrize(
    ("offered", "taken", "suite"), [([2, 1], [1], 1), ([2, 1], [2, 1], 2), ([1], [2], 0), ([1, 2], [], 0)], ids=str
)
@pytest.mark.parametrize("pads", [(0, 0), (64, 0), (0, 64)], ids=str)
def test_both_sides_agree(offered: list[int], taken: list[int], suite: int, pads: tuple[int, int], most: int) -> None:
    with Service(taken, pads[1]) as service, ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(service.server)
        with RecordClient(service.endpoint, KEYS.public, suites=offered, pad_to=pads[0], most=most) as client:
            client.handshake()
            server = accepted.result()
            for said, heard in ((client, server), (server, client)):
                said.send([b"one", bytes(300), b""])
                said.send([bytes(1000)])
                assert [heard.recv(), heard.recv()] == [[b"one", bytes(300), b""], [bytes(1000)]]
            for peer in (client, server):
                assert (peer.sends.suite if peer.sends else 0) == suite
