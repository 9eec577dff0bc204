"""The server's side of the CURVE handshake, as pure functions (RFC 26; sizes and frames of RFC 25).

Here is what stands around its two turns, which are in ``handshake.py``: the marks of its commands, what is made of a
client that has proved its key, and READY.
"""

from collections.abc import Mapping
from functools import cache
from typing import Self

from attrs import field, frozen

from curveproxy.wire import offer, sodium, spec
from curveproxy.wire.codec.suites import session_chains
from curveproxy.wire.curve import box, layout
from curveproxy.wire.curve.keys import short_nonce
from curveproxy.wire.errors import Fault
from curveproxy.wire.security import Curve, Records, Security
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Due, Span, frame, read_command_untrusted
from curveproxy.wire.zmtp.greeting import greeting

GREETING = greeting(spec.CURVE, as_server=True)

# We number READY and our messages from one on.
READY_NONCE = 1
_READY_HEAD = layout.READY.pack(spec.READY_NAME, short_nonce(READY_NONCE))
_READY_BOX_NONCE = box.READY + short_nonce(READY_NONCE)

_HELLO_DUE = Due(spec.HELLO_NAME, spec.HELLO_SIZE, spec.HELLO_SIZE, Fault.HELLO, Fault.HELLO)


@frozen
class Initiate:
    """What INITIATE said, after its cookie and vouch were found good.

    client: C, who it is; nonce: the counter of its box; shared: the key of the session.
    little_endian: the client writes its counters so, as libzmq 4.0 does.
    metadata: the properties as they stood in the box.
    """

    client: bytes
    properties: dict[str, bytes]
    nonce: int
    little_endian: bool
    shared: bytes = field(repr=False)
    metadata: bytes = b""

    @classmethod
    def read_untrusted(cls, client: bytes, nonce: int, little_endian: bool, shared: bytes, said: bytes) -> Self:
        """What an opened INITIATE says (``OpenedInitiate``). Raises PeerError: metadata."""
        return cls(client, metadata.read_untrusted(said), nonce, little_endian, shared, said)

    @property
    def security(self) -> Curve:
        """For the messages behind our READY, which is the first box under the key of the session."""
        return Curve(
            self.shared,
            box.MESSAGE_FROM_SERVER,
            READY_NONCE,
            box.MESSAGE_FROM_CLIENT,
            self.nonce,
            self.little_endian,
        )

    def agree(self, terms: offer.Terms | None) -> offer.Agreement | None:
        """What is agreed on with this client about records. terms: ours; None when we want none."""
        if terms is None or self.little_endian:
            return None
        return offer.judge_offer(self.properties, terms)


def hello_mark_untrusted(seen: spec.Octets) -> Span:
    """Judge as much of HELLO's frame as has come.

    Raises PeerError: command, hello.
    """
    return read_command_untrusted(seen, _HELLO_DUE)


def initiate_mark_untrusted(seen: spec.Octets, most: int) -> Span:
    """Judge as much of INITIATE's frame as has come.

    most: the largest body in octets that we accept.
    Raises PeerError: command, initiate, initiate_too_large.
    """
    return read_command_untrusted(seen, _initiate_due(most))


@cache
def _initiate_due(most: int) -> Due:
    """INITIATE with this bound. Operators configure few of them, and each peek needs one."""
    return Due(spec.INITIATE_NAME, spec.INITIATE_OVERHEAD, most, Fault.INITIATE, Fault.INITIATE_TOO_LARGE)


def ready(shared: bytes, properties: Mapping[str, bytes]) -> bytes:
    """READY's frame, the end of the handshake. shared: the key of the session."""
    return _ready(shared, metadata.encode(properties))


def _ready(shared: bytes, octets: bytes) -> bytes:
    return frame(spec.COMMAND, _READY_HEAD + sodium.seal(octets, _READY_BOX_NONCE, shared))


def conclude(
    initiate: Initiate, server: bytes, agreed: offer.Agreement | None, properties: Mapping[str, bytes]
) -> tuple[bytes, Security]:
    """READY's frame, with the answer where records are agreed on, and what both directions are behind it.

    server: S, the public key that the client was given.
    """
    if agreed is None:
        return ready(initiate.shared, properties), initiate.security
    octets = metadata.encode({offer.NAME: agreed.answer, **properties})
    chains = session_chains(initiate.shared, initiate.metadata, octets, initiate.client, server, agreed.suite)
    records = Records(agreed.suite, chains.from_server, chains.from_client, agreed.peer_pads, agreed.pad_to)
    return _ready(initiate.shared, octets), records


def error(reason: str) -> bytes:
    """ERROR's frame: instead of READY, in clear. libzmq understands the status codes of ZAP (RFC 27), as "400"."""
    text = reason.encode("ascii")
    return frame(spec.COMMAND, layout.ERROR.pack(spec.ERROR_NAME, len(text)) + text)
