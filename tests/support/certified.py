"""A CURVE server of bare sockets that may be asked for its certificates."""

from collections.abc import Callable
from typing import Any

from zmq.utils import z85

from support import certificates, zmtp
from support.certificates import SERVER
from support.client import RawServer
from support.curve import Keys
from support.egress import Remote
from support.peer import Peer

NAME = "orders.example"  # among the names of ``certificates.SERVER``
QUESTION = b"CURVE-CERTIFICATE"


def certificate_of(keys: Keys, seed: bytes = certificates.SEED, **changes: str) -> bytes:
    """The certificate of a server's key."""
    fields = {"public_key": z85.encode(keys.public).decode(), **changes}
    return certificates.certificate(SERVER, seed, **fields)


class CertifiedRemote(Remote):
    """It does its part of the handshake, and answers who asks.

    answer: is handed who asks, that has said its greeting; by default it is told ``texts``, and closed.
    questions, hellos: how many came.
    """

    def __init__(self, keys: Keys, *texts: bytes, **options: Any) -> None:
        super().__init__(keys, self._serve, **options)
        self.texts = list(texts)
        self.questions = self.hellos = 0
        self.answer: Callable[[RawServer], object] = lambda peer: peer.send_raw(certificates.answer(*self.texts))

    def _serve(self, peer: Peer) -> None:
        assert isinstance(peer, RawServer)
        if peer.recv_exactly(64)[12:32].rstrip(b"\0") == QUESTION:
            self.questions += 1
            self.answer(peer)
            return
        peer.send_greeting()
        self.hellos += 1
        try:
            peer.hello()
        except zmtp.Malformed:
            return  # and close: it has another key
        peer.welcome()
        peer.initiate()
        peer.ready()
        peer.hold()
