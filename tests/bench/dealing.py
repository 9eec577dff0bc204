"""A service that deals out messages, and clients that throw them away, on raw sockets: less work than any proxy has.

The service sends what lies in a file, and the kernel copies nothing for it; the clients have the kernel forget what has
come. So it is the proxy that is not faster. As a program (``python -m bench.dealing``) this is the service.
"""

import os
import select
import selectors
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from mmap import mmap
from tempfile import TemporaryFile

from attrs import frozen
from support import zmtp
from support.peer import Peer

from bench import accounts
from bench.lanes import Spent
from bench.load import CurveLoad
from bench.peers import BACKLOG, Child, Proxy, Service, Starter

BLOCK = 1 << 18  # octets of the messages that one client is dealt at once, or a little less
BOXED = 33  # octets that a message is larger by in CURVE: 7MESSAGE, nonce, authenticator and flags
FORGOTTEN = 1 << 24  # at most, of what has come, at once


class Dealer(Service):
    """A PUSH without libzmq."""

    def __init__(self) -> None:
        Child.__init__(self, module="bench.dealing")
        self.client, self.kind = "PULL", "PUSH"


@frozen
class Table:
    """A proxy between a dealer and its clients. nowhere: memory that is never written to."""

    service: Dealer
    proxy: Proxy
    clients: Sequence[socket.socket]
    nowhere: mmap

    def deal(self, size: int, count: int) -> Spent:
        """So many messages of so many octets, to whoever takes them."""
        wanted = count * len(zmtp.frame(bytes(BOXED + size)))
        cpu, clock = accounts.cpu(self.proxy.pid), time.perf_counter()
        with self.service.handling(count, size), selectors.DefaultSelector() as selector:
            for sock in self.clients:
                selector.register(sock, selectors.EVENT_READ, sock)
            while wanted > 0:
                for key, _ in selector.select():
                    wanted -= key.data.recv_into(self.nowhere, 0, socket.MSG_TRUNC)
        clock, cpu = time.perf_counter() - clock, accounts.cpu(self.proxy.pid) - cpu
        return Spent(1e6 * cpu / count, 1e6 * clock / count)


@contextmanager
def table(start: Starter, clients: int) -> Iterator[Table]:
    """With a new proxy, and so many clients."""
    with (
        Dealer() as service,
        start(service) as proxy,
        CurveLoad(proxy).sessions(clients) as sockets,
        mmap(-1, FORGOTTEN) as nowhere,
    ):
        yield Table(service, proxy, sockets, nowhere)


def deal(clients: Sequence[socket.socket], size: int, count: int) -> None:
    """Send so many messages, each whole, to whichever of the clients takes them."""
    frame = zmtp.frame(bytes(size))
    most = max(1, BLOCK // len(frame))
    owed = dict.fromkeys(clients, 0)  # octets of the block that a client has had a part of, at the end of the file
    with TemporaryFile() as file, selectors.DefaultSelector() as selector:
        file.write(frame * most)
        file.flush()
        for sock in clients:
            selector.register(sock, selectors.EVENT_WRITE, sock)
        while selector.get_map():
            for key, _ in selector.select():
                sock = key.data
                if not owed[sock]:
                    messages = min(most, count)
                    count -= messages
                    owed[sock] = messages * len(frame)
                if owed[sock]:
                    with suppress(BlockingIOError):  # the kernel is short of memory for sockets
                        owed[sock] -= os.sendfile(key.fd, file.fileno(), most * len(frame) - owed[sock], owed[sock])
                else:
                    selector.unregister(sock)


def main() -> None:
    """Take clients, and deal out as many messages, of as many octets, as a line of stdin says; then say "done"."""
    clients = []
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as server:
        print(f"tcp://127.0.0.1:{server.getsockname()[1]}", flush=True)
        while True:
            if server in select.select([server, sys.stdin], [], [])[0]:
                peer = Peer(server.accept()[0], socket_type="PUSH").handshake()
                peer.sock.setblocking(False)
                clients.append(peer.sock)
            else:
                count, size = map(int, sys.stdin.readline().split())
                deal(clients, size, count)
                print("done", flush=True)


if __name__ == "__main__":
    main()
