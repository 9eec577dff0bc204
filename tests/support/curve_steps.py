"""A client of CURVE as octets alone, made by the independent implementation: each step with what may be wrong in it."""

from collections.abc import Mapping
from typing import Any

from support import curve, zmtp
from support.curve import Keys
from support.zmtp import COMMAND


class CurveSteps:
    """One client's handshake. server: S; nonce: the number of HELLO; order: in which it writes its numbers."""

    def __init__(
        self,
        server: bytes,
        keys: Keys | None = None,
        *,
        properties: Mapping[str, bytes] | None = None,
        nonce: int = 1,
        order: Any = "big",
    ) -> None:
        self.server, self.keys, self.transient = server, keys or Keys.new(), Keys.new()
        self.properties = {"Socket-Type": b"DEALER", "Identity": b""} if properties is None else properties
        self._nonce, self._order = nonce, order
        self.server_transient, self.cookie = b"", b""

    def _number(self, number: int) -> bytes:
        return number.to_bytes(8, self._order)

    def greeting(self, minor: int = 1) -> bytes:
        return zmtp.greeting(version=(3, minor))

    def hello(self, **overrides: Any) -> bytes:
        """HELLO's frame. overrides: of ``curve.hello``, and server."""
        server = overrides.pop("server", self.server)
        body = curve.hello(self.transient, server, **{"nonce": self._number(self._nonce)} | overrides)
        return zmtp.frame(body, COMMAND)

    def welcomed(self, octets: bytes) -> None:
        """Read WELCOME. Raises Malformed."""
        [frame] = zmtp.read_frames(octets)
        self.server_transient, self.cookie = curve.read_welcome(frame.body, self.server, self.transient)

    @property
    def shared(self) -> bytes:
        """The key of the session."""
        return curve.shared_key(self.server_transient, self.transient.secret)

    def vouch(self, *, keys: Keys | None = None, transient: bytes = b"", server: bytes = b"") -> bytes:
        """A vouch. keys: who vouches; transient, server: for what."""
        about = transient or self.transient.public, server or self.server
        return curve.vouch(keys or self.keys, *about, self.server_transient)

    def initiate(self, *, metadata: bytes | None = None, step: int = 1, **overrides: Any) -> bytes:
        """INITIATE's frame. step: by how much its number is beyond HELLO's.

        overrides: cookie, client, vouch, plaintext, box of ``curve.initiate``.
        """
        body = curve.initiate(
            overrides.pop("cookie", self.cookie),
            overrides.pop("client", self.keys.public),
            overrides.pop("vouch", self.vouch()),
            zmtp.metadata(self.properties) if metadata is None else metadata,
            self.transient,
            self.server_transient,
            nonce=self._number(self._nonce + step),
            **overrides,
        )
        return zmtp.frame(body, COMMAND)

    def ready(self, octets: bytes) -> dict[str, bytes]:
        """The server's properties, out of READY. Raises Malformed."""
        [frame] = zmtp.read_frames(octets)
        _, plain = curve.read_ready(frame.body, self.server_transient, self.transient)
        return dict(zmtp.read_metadata(plain))
