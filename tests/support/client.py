"""A CURVE client on a blocking socket, step by step, each step with what may be wrong in it; and a server.

It shares no line with curveproxy: what the two agree on is the RFC.
"""

import socket
from collections.abc import Mapping, Sequence
from typing import Any, Self

from support import curve, zmtp
from support.curve import Keys
from support.peer import SECONDS, Peer, connect
from support.zmtp import COMMAND, Frame, Malformed


class CurvePeer(Peer):
    """A peer whose traffic is CURVE's MESSAGE.

    shared: the key of C' and S', set by the handshake; last: the counter of this side's last short nonce;
    sender, receiver: the prefixes of MESSAGE's nonces; told: the other side's metadata as it stood in its box.
    """

    mechanism = b"CURVE"
    sender, receiver = curve.FROM_CLIENT, curve.FROM_SERVER
    shared: bytes
    told: bytes
    last = 0

    def next_nonce(self) -> int:
        """The next short nonce of this side."""
        self.last += 1
        return self.last

    def seal(
        self,
        data: bytes,
        *,
        more: bool = False,
        command: bool = False,
        flags: int | None = None,
        nonce: int | bytes | None = None,
        outer: int = 0,
    ) -> bytes:
        """One MESSAGE as its whole frame. flags: the inner ones, instead of more and command; outer: the frame's."""
        if flags is None:
            flags = (curve.INNER_MORE if more else 0) | (curve.INNER_COMMAND if command else 0)
        nonce = self.next_nonce() if nonce is None else nonce
        return zmtp.frame(curve.message(self.shared, self.sender, nonce, data, flags), outer)

    def open(self, frame: Frame) -> tuple[bytes, bool, bool]:
        """Data, more and command of a MESSAGE, from inside its box. Raises Malformed for a plain command too."""
        _, flags, data = curve.read_message(frame.body, self.shared, self.receiver)
        return data, bool(flags & curve.INNER_MORE), bool(flags & curve.INNER_COMMAND)


class RawClient(CurvePeer):
    """A client, connected at once; ``handshake()`` does the whole of it, the steps do it one by one.

    sent: every octet that went out, to be played again on another connection.
    endpoint: tcp or ipc; server: S, 32 octets; keys: C, fresh unless given; transient: C', likewise.
    source: address and port to come from.
    """

    server_transient: bytes
    cookie: bytes

    def __init__(
        self,
        endpoint: str,
        server: bytes,
        keys: Keys | None = None,
        *,
        transient: Keys | None = None,
        source: tuple[str, int] | None = None,
        socket_type: str = "DEALER",
        identity: bytes = b"",
        properties: Mapping[str, bytes] | None = None,
        minor: int = 1,
        pongs: bool = True,
        timeout: float = SECONDS,
    ) -> None:
        super().__init__(
            connect(endpoint, source=source, timeout=timeout),
            socket_type=socket_type,
            identity=identity,
            properties=properties,
            minor=minor,
            pongs=pongs,
            timeout=timeout,
        )
        self.server, self.keys, self.transient = server, keys or Keys.new(), transient or Keys.new()
        self.sent = bytearray()

    def send_raw(self, octets: bytes) -> None:
        """Send octets as they are, and remember them."""
        super().send_raw(octets)
        self.sent += octets

    def hello(self, *, flags: int = COMMAND, **overrides: Any) -> None:
        """Send HELLO. flags: the frame's; overrides: of ``curve.hello``, and server."""
        overrides.setdefault("nonce", self.next_nonce())
        server = overrides.pop("server", self.server)
        self.send_frame(curve.hello(self.transient, server, **overrides), flags)

    def welcome(self) -> None:
        """Take WELCOME, keep S' and the cookie. Raises Malformed, Refused, EOFError, TimeoutError."""
        self.server_transient, self.cookie = curve.read_welcome(self.recv_handshake(), self.server, self.transient)
        self.shared = curve.shared_key(self.server_transient, self.transient.secret)

    def vouch(self, *, keys: Keys | None = None, transient: bytes | None = None, server: bytes | None = None) -> bytes:
        """A vouch. keys: who vouches; transient, server: the two halves that it vouches for."""
        transient = self.transient.public if transient is None else transient
        server = self.server if server is None else server
        return curve.vouch(keys or self.keys, transient, server, self.server_transient)

    def initiate(
        self,
        *,
        flags: int = COMMAND,
        cookie: bytes | None = None,
        client: bytes | None = None,
        vouch: bytes | None = None,
        metadata: bytes | None = None,
        **overrides: Any,
    ) -> None:
        """Send INITIATE. client: what stands where C belongs; metadata: raw octets instead of ``properties``.

        flags: the frame's; overrides: nonce, plaintext, box of ``curve.initiate``.
        """
        overrides.setdefault("nonce", self.next_nonce())
        body = curve.initiate(
            self.cookie if cookie is None else cookie,
            self.keys.public if client is None else client,
            self.vouch() if vouch is None else vouch,
            zmtp.metadata(self.properties) if metadata is None else metadata,
            self.transient,
            self.server_transient,
            **overrides,
        )
        self.send_frame(body, flags)

    def ready(self) -> dict[str, bytes]:
        """Take READY, return the server's properties. Raises Refused for ERROR, and as ``welcome``."""
        _, self.told = curve.read_ready(self.recv_handshake(), self.server_transient, self.transient)
        self.theirs = dict(zmtp.read_metadata(self.told))
        return self.theirs

    def begin(self) -> None:
        """All of the handshake that is ours: the service is dialled, and READY will come once it has answered."""
        self.greeting()
        self.hello()
        self.welcome()
        self.initiate()

    def handshake(self) -> Self:
        """All of it."""
        self.begin()
        self.ready()
        return self


class RawServer(CurvePeer):
    """A CURVE server on an accepted socket; it holds its state, as libzmq's does.

    keys: S; transient: S', fresh unless given; cookie_key: K.
    client, client_transient: C and C', when they are known.
    """

    as_server = 1
    sender, receiver = curve.FROM_SERVER, curve.FROM_CLIENT
    client: bytes
    client_transient: bytes

    def __init__(
        self,
        sock: socket.socket,
        keys: Keys,
        *,
        transient: Keys | None = None,
        cookie_key: bytes = bytes(32),
        socket_type: str = "ROUTER",
        properties: Mapping[str, bytes] | None = None,
        timeout: float = SECONDS,
    ) -> None:
        super().__init__(sock, socket_type=socket_type, properties=properties, timeout=timeout)
        self.keys, self.transient, self.cookie_key = keys, transient or Keys.new(), cookie_key

    def hello(self) -> None:
        """Take HELLO."""
        self.client_transient, _ = curve.read_hello(self.recv_handshake(), self.keys)

    def welcome(self, **overrides: Any) -> None:
        """Send WELCOME. overrides: cookie, and nonce, plaintext of ``curve.welcome``."""
        cookie = overrides.pop("cookie", None)
        if cookie is None:
            cookie = curve.cookie(self.client_transient, self.transient.secret, self.cookie_key)
        body = curve.welcome(self.keys, self.client_transient, self.transient.public, cookie, **overrides)
        self.send_frame(body)

    def initiate(self) -> dict[str, bytes]:
        """Take INITIATE, with all its checks; the client's properties."""
        body = self.recv_handshake()
        kept = self.client_transient, self.transient.secret
        if curve.read_cookie(curve.initiate_cookie(body), self.cookie_key) != kept:
            raise Malformed("a cookie of another connection")
        _, self.client, vouch, self.told = curve.read_initiate(body, self.client_transient, self.transient)
        if curve.read_vouch(vouch, self.client, self.transient) != (self.client_transient, self.keys.public):
            raise Malformed("a vouch for something else")
        self.shared = curve.shared_key(self.client_transient, self.transient.secret)
        self.theirs = dict(zmtp.read_metadata(self.told))
        return self.theirs

    def ready(self, *, metadata: bytes | None = None, nonce: int | bytes | None = None) -> None:
        """Send READY. metadata: raw octets instead of ``properties``."""
        octets = zmtp.metadata(self.properties) if metadata is None else metadata
        nonce = self.next_nonce() if nonce is None else nonce
        self.send_frame(curve.ready(octets, self.transient, self.client_transient, nonce=nonce))

    def handshake(self) -> Self:
        """All of it."""
        self.greeting()
        self.hello()
        self.welcome()
        self.initiate()
        self.ready()
        return self


def send_endlessly(client: CurvePeer, message: Sequence[bytes], *, patience: float = 0.3) -> None:
    """Send one message again and again. Raises TimeoutError once no octet of it has been taken for ``patience``."""
    client.sock.settimeout(patience)
    while True:
        client.send(message)


def answers(client: Peer) -> bool:
    """Whether what it says comes back from a service that echoes."""
    client.send([b"hello"])
    return client.recv() == [b"hello"]
