"""Our two sides of a CURVE handshake: the server's functions in their order, and a client to go with them."""

from collections.abc import Callable
from types import ModuleType

import pytest

from curveproxy.wire import sodium
from curveproxy.wire.curve import handshake
from curveproxy.wire.curve import server as curve_server
from curveproxy.wire.curve.client import CurveInitiator
from curveproxy.wire.curve.cookie import cookie_key
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.curve.server import Initiate
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Curve

SERVER, OTHER_SERVER, CLIENT = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
ROTATING, BINDING = bytes(range(32)), b"socket 1"
KEY = cookie_key(ROTATING, BINDING)
PROPERTIES = {"Socket-Type": b"DEALER", "Identity": b"me"}


class Server:
    """The server's functions in the order of a handshake, over whole frames.

    keys: the pairs that it has; good: the rotating keys whose cookies are good, of the connection with this binding.
    twin: whose turns they are.
    server, hello_nonce: what HELLO said; initiate: what INITIATE said.
    """

    def __init__(
        self,
        *keys: KeyPair,
        good: tuple[bytes | bytearray, ...] = (ROTATING,),
        binding: bytes = BINDING,
        twin: ModuleType = handshake,
    ) -> None:
        self.keys, self.good, self.binding, self.twin = keys or (SERVER,), good, binding, twin
        self.server: KeyPair
        self.hello_nonce: bytes
        self.initiate: Initiate

    def welcome(self, frame: bytes) -> bytes:
        """Its answer to HELLO. Raises PeerError."""
        mark, begin, end = curve_server.hello_mark_untrusted(frame)
        assert mark == len(frame) == end
        pair, chance = KeyPair.generate(), sodium.randombytes(32)
        self.server, self.hello_nonce, welcome = self.twin.answer_hello_untrusted(
            frame[begin:end], self.keys, ROTATING, BINDING, pair, chance
        )
        assert isinstance(welcome, bytes)
        return welcome

    def ready(self, frame: bytes) -> bytes:
        """Its answer to INITIATE. Raises PeerError."""
        mark, begin, end = curve_server.initiate_mark_untrusted(frame, 4096)
        assert mark == len(frame) == end
        opened = self.twin.open_initiate_untrusted(
            frame[begin:end], self.server.public, self.good, self.binding, self.hello_nonce
        )
        self.initiate = Initiate.read_untrusted(*opened)
        return curve_server.ready(self.initiate.shared, {"Socket-Type": b"ROUTER"})


def client() -> CurveInitiator:
    """A good client of the good server."""
    return CurveInitiator(SERVER.public, CLIENT, KeyPair.generate(), sodium.randombytes(16), PROPERTIES)


def curve_of(peer: CurveInitiator) -> Curve:
    """The security of a handshake that is done."""
    security = peer.negotiated.security
    assert isinstance(security, Curve)
    return security


def hello_and_initiate(server: Server) -> tuple[bytes, bytes]:
    """The two commands of a good client."""
    peer = client()
    hello = peer.receive_untrusted(curve_server.GREETING)
    return hello, peer.receive_untrusted(server.welcome(hello))


def fault_of(call: Callable[[], object]) -> Fault:
    """What a call finds wrong."""
    with pytest.raises(PeerError) as caught:
        call()
    return caught.value.fault
