"""A process that leaves: nobody is cut while there is time, and its successor stands beside it."""

import select
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest
import zmq
from support.client import RawClient, answers
from support.libzmq import Libzmq
from support.peer import connect
from support.process import Sidecar, free_port, wait_until
from support.service import RawService, echo


@pytest.mark.deep
def test_those_who_stay_are_sent_away_one_after_the_other() -> None:
    seconds, count = 3.0, 60
    with RawService(echo) as service, ExitStack() as stack:
        proxy = stack.enter_context(Sidecar(backend=service.endpoint, process={"drain_seconds": seconds}))
        keys = proxy.new_client("alice")
        proxy.wait_listed(1)
        clients = [stack.enter_context(RawClient(proxy.public, proxy.server.public, keys)) for _ in range(count)]
        for client in clients:
            client.handshake()
        proxy.signal()
        began = time.monotonic()
        wait_until(lambda: proxy.get("/readyz")[0] == 503, "not ready")
        ends: list[float] = []
        staying = {client.sock: client for client in clients}
        while staying:
            ended, _, _ = select.select(list(staying), [], [], 10)
            assert ended, "nobody else is sent away"
            for sock in ended:
                assert sock.recv(100) == b""
                ends.append(time.monotonic() - began)
                staying.pop(sock).close()
        assert min(ends) > seconds / 2, "they are served on"
        assert len({round(end, 1) for end in ends}) > 2, "not all at once"
        assert proxy.wait() == 0
        closed = [line["reason"] for line in proxy.log if line["event"] == "session closed"]
        assert closed == ["drained"] * count


@pytest.mark.deep
def test_what_a_client_says_until_it_hears_of_it_is_delivered() -> None:
    with (
        RawService() as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, process={"drain_seconds": 7.5}) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.begin()
        with service.accept() as behind:
            behind.handshake()
            client.ready()
            behind.send_raw(behind.seal(b"begun", more=True))
            assert client.open(client.recv_frame()) == (b"begun", True, False)
            proxy.signal()
            time.sleep(5.3)  # it is in the middle of a message all the while it would be sent away
            behind.send_raw(behind.seal(b"ended"))
            assert client.open(client.recv_frame()) == (b"ended", False, False)
            assert client.sock.recv(1) == b""
            client.send([b"on its way"])
            client.close()
            assert behind.recv() == [b"on its way"]
        assert proxy.wait() == 0


@pytest.mark.deep
def test_a_request_without_its_reply_is_waited_for() -> None:
    with (
        RawService(socket_type="REP") as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, process={"drain_seconds": 7.5}) as proxy,
        Libzmq() as z,
    ):
        client = z.connect(zmq.REQ, proxy.public, server=proxy.server.public)
        client.send(b"question")
        with service.accept() as behind:
            behind.handshake()
            assert behind.recv() == [b"", b"question"]
            proxy.signal()
            time.sleep(5.3)
            behind.send([b"", b"answer"])
            assert client.recv() == b"answer"
        assert proxy.wait() == 0


class Asker(threading.Thread):
    """A libzmq client that asks on and on.

    server: the server's public key; None for a plain client.
    kind: REQ or DEALER; each: for so many questions it connects anew; pause: seconds between two of them.
    """

    def __init__(
        self, public: str, server: bytes | None, kind: int = zmq.REQ, each: int = 10, pause: float = 0.002
    ) -> None:
        super().__init__()
        self.public, self.server, self.asked, self.failed = public, server, 0, False
        self.kind, self.each, self.pause = kind, each, pause
        self.over = threading.Event()

    def run(self) -> None:
        with Libzmq() as z:
            while not self.over.is_set():
                client = z.connect(self.kind, self.public, server=self.server, linger=0)
                for _ in range(self.each):
                    if self.over.is_set():
                        break
                    try:
                        client.send(b"%d" % self.asked)
                        self.failed |= client.recv() != b"%d" % self.asked
                    except zmq.Again:
                        self.failed = True
                        return
                    self.asked += 1
                    if self.pause:
                        self.over.wait(self.pause)
                client.close()


@contextmanager
def asking(public: str, server: bytes | None, *others: Asker) -> Iterator[list[Asker]]:
    """Some of them, none of which may fail."""
    askers = [*(Asker(public, server) for _ in range(4)), *others]
    for asker in askers:
        asker.start()
    try:
        yield askers
    finally:
        for asker in askers:
            asker.over.set()
        for asker in askers:
            asker.join(30)
    assert not [asker.asked for asker in askers if asker.failed]


def upgrade(old: Sidecar, stack: ExitStack, askers: Sequence[Asker]) -> None:
    """Put one with the same keys and configuration in its place, which answers all as it did. stack: its own."""
    wait_until(lambda: min(asker.asked for asker in askers) > 50, "they are answered")
    new = Sidecar(old.config.read_text(), clean=False)
    shutil.copytree(old.directory, new.directory, ignore=shutil.ignore_patterns("*.sock"), dirs_exist_ok=True)
    new.admin = old.admin
    stack.enter_context(new)
    old.clean = False  # who answers on the admin page from here on is the new one
    old.signal()
    assert old.wait() == 0
    before = [asker.asked for asker in askers]
    wait_until(lambda: all(asker.asked > seen + 50 for asker, seen in zip(askers, before, strict=True)), "still")
    new.clean = True
    assert new.metric("curveproxy_handshakes_total", outcome="admitted") > 0


@pytest.mark.parametrize("transport", ["tcp", pytest.param("ipc", marks=pytest.mark.deep)])
def test_an_upgrade_in_place_fails_no_client(transport: str) -> None:
    with RawService(echo) as service, ExitStack() as stack:
        reuse = {"reuse_port": True, "drain_seconds": 3}
        old = Sidecar(backend=service.endpoint, clients={"allow": "any"}, process=reuse)
        listen = f"tcp://127.0.0.1:{free_port()}" if transport == "tcp" else f"ipc://{old.directory}/public.sock"
        old.config.write_text(old.config.read_text().replace("tcp://127.0.0.1:0", listen))
        stack.enter_context(old)
        # On a Unix socket the end can not travel with the reply: whoever asks again in between is not answered. That is
        # microseconds, but a busy machine may stop the proxy just there.
        pauses = (0, 0, 0.001, 0.005) if transport == "tcp" else (0.05, 0.1)
        busy = [
            Asker(old.public, old.server.public, kind, each=10**9, pause=pause)
            for kind in (zmq.REQ, zmq.DEALER)
            for pause in pauses
        ]
        with asking(old.public, old.server.public, *busy) as askers:
            upgrade(old, stack, askers)
        assert "Traceback" not in old.stderr


def test_a_port_in_use_is_an_error_where_nobody_said_otherwise() -> None:
    with RawService(echo) as service, Sidecar(backend=service.endpoint, clients={"allow": "any"}) as proxy:
        text = proxy.config.read_text().replace("tcp://127.0.0.1:0", proxy.public)
        for reuse in ("", "\nreuse_port = true"):
            other = Sidecar(text.replace("[process]", f"[process]{reuse}"))
            (other.directory / "server.key_secret").write_text((proxy.directory / "server.key_secret").read_text())
            other.config.write_text(other.config.read_text().replace(proxy.admin[7:], f"127.0.0.1:{free_port()}"))
            with pytest.raises(RuntimeError, match="the address is in use"):
                other.start()
            other.__exit__(None)
        with connect(proxy.public):
            pass


def test_a_second_hangup_while_draining_changes_nothing() -> None:
    with (
        RawService(echo) as service,
        Sidecar(backend=service.endpoint, clients={"allow": "any"}, process={"drain_seconds": 20}) as proxy,
        RawClient(proxy.public, proxy.server.public) as client,
    ):
        client.handshake()
        proxy.signal()
        wait_until(lambda: proxy.get("/readyz")[0] == 503, "it drains")
        proxy.signal(signal.SIGHUP)
        assert answers(client)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy.public)
        client.close()
        assert proxy.wait() == 0
