"""CURVE servers of every age that are asked for certificates, which none of them knows: they close, and serve on."""

from contextlib import suppress

import pytest
import zmq
from interop.old import matrix
from interop.old.build import UnavailableError
from interop.old.peer import OldLibrary
from support.client import RawClient
from support.curve import Keys
from support.peer import connect
from support.process import free_port

from curveproxy.wire.curve.asking import CertificateQuestion

LIBRARIES = ["4.0.3", "4.1.6", "4.2.5", "4.3.2", "4.3.5", matrix.NEW_JEROMQ]
ASKED = 20


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.java if name == matrix.NEW_JEROMQ else pytest.mark.old)
        for name in LIBRARIES
    ],
)
def test_a_server_closes_and_serves_on(name: str) -> None:
    try:
        command = matrix.command(name)
    except UnavailableError as error:
        pytest.skip(str(error))
    endpoint, keys = f"tcp://127.0.0.1:{free_port()}", Keys.new()
    with OldLibrary(command) as old:
        service = old.bind(zmq.ROUTER, endpoint, server=keys)
        with RawClient(endpoint, keys.public, identity=b"before") as before:
            before.handshake()
            for _ in range(ASKED):
                with connect(endpoint) as sock:
                    sock.sendall(CertificateQuestion().start())
                    said = b""
                    with suppress(ConnectionResetError):
                        while octets := sock.recv(1000):
                            said += octets
                assert len(said) <= 64, "its greeting at most, or a part"
            with RawClient(endpoint, keys.public, identity=b"behind") as behind:
                behind.handshake()
                for client in (before, behind):
                    client.send([b"hello"])
                    sender, message = service.recv_multipart()
                    service.send_multipart([sender, message])
                    assert client.recv() == [b"hello"]
