"""Requests to a running proxy, and what else may be at its port."""

import socket
import threading

import pytest

from curveproxy.app.admin.client import NobodyAnswersError, ask
from curveproxy.proxy.net.endpoint import Endpoint


def answered(host: str, answer: bytes) -> tuple[int, str]:
    """What a request gets to which this is the answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return ask(Endpoint("tcp", host, listener.getsockname()[1]), "/readyz")
        finally:
            thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "*", "0.0.0.0"])
def test_a_listener_on_all_addresses_is_asked_at_loopback(host: str) -> None:
    assert answered(host, b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\ndraining\n") == (503, "draining")


@pytest.mark.parametrize("answer", [b"", b"\xff\x00\x00\x00\x7f"])
def test_what_is_no_answer_is_told_as_none(answer: bytes) -> None:
    with pytest.raises(NobodyAnswersError, match=r"nobody answers on 127\.0\.0\.1:\d+: "):
        answered("127.0.0.1", answer)


def test_nobody_there_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(NobodyAnswersError, match="refused"):
            ask(Endpoint("tcp", "127.0.0.1", free.getsockname()[1]), "/readyz")
