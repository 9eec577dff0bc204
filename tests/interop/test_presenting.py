"""Clients of stock libraries present a certificate to a running proxy, as docs/clients.md says, and have its name."""

import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import zmq
from interop import presenting
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.peer import OldLibrary, OldLibraryError
from support.certificates import authority_text, issued
from support.client import RawServer
from support.curve import Keys
from support.libzmq import Libzmq, Socket
from support.peer import SECONDS
from support.process import Sidecar, certificate, wait_until

METADATA = 95  # ZMQ_METADATA
PROPERTY = b"X-Curveproxy-Certificate:"
TELLS = ["4.2.5", "4.3.2", "4.3.5"]
CAN_NOT = ["4.0.3", "4.1.6"]


class Door(NamedTuple):
    """A proxy that lists an authority, the service behind it, and the keys of a client that has a certificate."""

    proxy: Sidecar
    service: Socket
    keys: Keys

    def admitted(self, name: str = "desk-7") -> list[dict[str, object]]:
        """The lines of the log that tell of sessions of this client."""
        lines = [line for line in self.proxy.log if line["event"] == "session opened"]
        return [line for line in lines if line["client"] == name]


@pytest.fixture
def door() -> Iterator[Door]:
    with Libzmq() as libzmq:
        service, backend = libzmq.bind(zmq.REP)
        proxy = Sidecar(backend=backend, clients={"authorities": [{"file": "plant-1.authority"}]})
        (proxy.directory / "plant-1.authority").write_text(authority_text("plant-1"))
        keys = certificate(proxy.directory, "desk-7")
        (proxy.directory / "desk-7.cert").write_bytes(b"#   a comment\n\n" + issued(keys.public))
        with proxy:
            yield Door(proxy, service, keys)


def check_answered(door: Door, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """A client that runs in the proxy's directory asks, prints the answer, and has been let in by its certificate."""
    with subprocess.Popen(command, cwd=door.proxy.directory, env=environment, stdout=subprocess.PIPE) as client:
        try:
            door.service.send(b"answer to " + door.service.recv())
            assert client.stdout is not None
            assert client.stdout.readline() == b"answer to hello\n"
        finally:
            client.kill()
    wait_until(door.admitted, "it has the certificate's name")
    assert door.proxy.metric("curveproxy_certificates_total", result="valid") == 1


def written(door: Door, name: str, code: str) -> str:
    """Write a program of the page, for this door."""
    (door.proxy.directory / name).write_text(code.replace("tcp://127.0.0.1:5556", door.proxy.public))
    return name


@pytest.mark.deep
@pytest.mark.parametrize("version", presenting.VERSIONS)
def test_pyzmq_presents_it_as_the_page_says(door: Door, version: str) -> None:
    try:
        command, environment = presenting.python(version)
    except UnavailableError as error:
        pytest.skip(str(error))
    [code] = presenting.blocks("python")
    check_answered(door, [*command, written(door, "client.py", code)], environment)


@pytest.mark.libzmq
def test_a_program_in_c_does_too(door: Door) -> None:
    client, part = presenting.blocks("c")
    before, call, after = client.partition("    zmq_connect(")
    code = (before + part + call + after).replace("alice.", "desk-7.")
    build = ["gcc", "-Wall", "-Werror", "-o", "client", written(door, "client.c", code), "-lzmq"]
    subprocess.run(build, cwd=door.proxy.directory, check=True, timeout=60)
    check_answered(door, ["./client"])


@pytest.mark.old
@pytest.mark.parametrize("version", TELLS)
def test_libzmq_has_the_option_in_every_build(door: Door, version: str) -> None:
    text = (door.proxy.directory / "desk-7.cert").read_bytes()
    with OldLibrary(matrix.command(version)) as library:
        sock = library.socket(zmq.REQ)
        sock.setsockopt(METADATA, PROPERTY + text)
        for option, value in (
            (zmq.CURVE_SERVERKEY, door.proxy.server.public),
            (zmq.CURVE_PUBLICKEY, door.keys.public),
            (zmq.CURVE_SECRETKEY, door.keys.secret),
        ):
            sock.setsockopt(option, value)
        library.ask("connect", sock.number, door.proxy.public)
        sock.send_multipart([b"hello"])
        door.service.send(door.service.recv())
        assert sock.recv_multipart() == [b"hello"]
    wait_until(door.admitted, "it has the certificate's name")


@pytest.mark.old
@pytest.mark.parametrize("version", CAN_NOT)
def test_older_ones_know_no_such_option(version: str) -> None:
    with OldLibrary(matrix.command(version)) as library, pytest.raises(OldLibraryError, match="Invalid argument"):
        library.socket(zmq.REQ).setsockopt(METADATA, PROPERTY + b"x")


def test_a_socket_keeps_the_first_that_is_set_on_it(libzmq: Libzmq) -> None:
    server, keys = Keys.new(), Keys.new()
    sock = libzmq.socket(zmq.REQ, curve_serverkey=server.public)
    sock.curve_publickey, sock.curve_secretkey = keys.public, keys.secret
    for text in (b"the first", b"another"):
        sock.setsockopt(zmq.METADATA, PROPERTY + text)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(SECONDS)
            sock.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
            with RawServer(listener.accept()[0], server) as side:
                side.handshake()
                assert side.theirs["X-Curveproxy-Certificate"] == b"the first"


def test_the_page_names_what_was_tried() -> None:
    page = Path(presenting.__file__).parent.parent.parent / "docs" / "clients.md"
    assert all(version in page.read_text() for version in presenting.PYZMQ)
