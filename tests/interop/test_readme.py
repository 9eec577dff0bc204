"""A program of before CURVE, by the README's lines: it knows no encryption, and talks to a service that demands it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.peer import OldLibrary, OldSocket
from support.egress import Egress
from support.libzmq import Libzmq
from support.process import ROOT, Sidecar, certificate, free_port

pytestmark = pytest.mark.old

README = (ROOT / "README.md").read_text()
SECTION = README.partition("\n## Before clients that have no CURVE\n")[2].partition("\n## ")[0]


@pytest.fixture
def old() -> Iterator[OldLibrary]:
    """libzmq 2.1.11, of 2011."""
    try:
        command = matrix.command("2.1.11")
    except UnavailableError as error:
        pytest.skip(str(error))
    with OldLibrary(command) as library:
        yield library


class WrittenEgress(Egress):
    """The README's egress with another remote and another socket. server_key: the remote's, a file."""

    def __init__(self, remote: str, server_key: Path) -> None:
        [text] = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
        super().__init__(config=text)
        shutil.copy(server_key, self.directory / "orders.key")
        self.socket = f"ipc://{self.directory}/orders.sock"
        text = self.config.read_text()
        for before, after in (("tcp://orders.example:5556", remote), ("ipc:///tmp/orders.sock", self.socket)):
            assert before in text
            text = text.replace(before, after)
        self.config.write_text(text)


def is_answered(client: OldSocket, service: OldSocket | zmq.Socket[bytes]) -> None:
    """One request, and its reply."""
    client.send_multipart([b"hello"])
    service.send_multipart([b"answer to", *service.recv_multipart()])
    assert client.recv_multipart() == [b"answer to", b"hello"]


def test_it_talks_to_a_curve_server(old: OldLibrary, tmp_path: Path) -> None:
    with Libzmq() as z:
        service, remote = z.bind(zmq.REP, server=certificate(tmp_path, "orders"))
        with WrittenEgress(remote, tmp_path / "orders.key") as proxy:
            is_answered(old.connect(zmq.REQ, proxy.socket), service)


def test_it_talks_to_another_of_its_age_behind_an_ingress(old: OldLibrary) -> None:
    backend = f"tcp://127.0.0.1:{free_port()}"
    service = old.bind(zmq.REP, backend)
    with Sidecar(backend=backend) as ingress:
        proxy = WrittenEgress(ingress.public, ingress.directory / "server.key")
        shutil.copy(proxy.directory / "alice.key", ingress.clients)
        ingress.wait_listed(1)
        with proxy:
            is_answered(old.connect(zmq.REQ, proxy.socket), service)
