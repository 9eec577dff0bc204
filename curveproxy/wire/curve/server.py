"""The server's side of the CURVE handshake, as pure functions (RFC 26; sizes and frames of RFC 25).

No object lives through a handshake: what must be remembered is in the cookie. A whole handshake takes three curve
operations with keys of the client, and one without.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from attrs import field, frozen

from curveproxy.wire import offer, sodium, spec
from curveproxy.wire.codec.suites import session_chains
from curveproxy.wire.curve import box, layout
from curveproxy.wire.curve.cookie import open_cookie, seal_cookie
from curveproxy.wire.curve.keys import KeyPair, short_nonce
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.security import Curve, Records, Security
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Due, Span, frame, read_command_untrusted
from curveproxy.wire.zmtp.greeting import greeting

GREETING = greeting(spec.CURVE, as_server=True)

# We number READY and our messages from one on.
READY_NONCE = 1

_HELLO_DUE = Due(spec.HELLO_NAME, spec.HELLO_SIZE, spec.HELLO_SIZE, Fault.HELLO, Fault.HELLO)


@frozen
class Hello:
    """What HELLO said.

    client_transient: C'; nonce: 8 octets; server: the pair whose s opened it; shared: the key of C' and s, for WELCOME.
    """

    client_transient: bytes
    nonce: bytes
    server: KeyPair
    shared: bytes = field(repr=False)


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


def read_hello_untrusted(body: bytes, servers: Iterable[KeyPair]) -> Hello:
    """Open HELLO with whichever of our long-term keys the client was given.

    body: 200 octets that begin with HELLO's name.
    Raises PeerError: hello_version, hello, hello_box.
    """
    _, version, padding, client_transient, nonce, sealed = layout.HELLO.unpack(body)
    if version != spec.CURVE_VERSION:
        raise PeerError(Fault.HELLO_VERSION)
    if padding != layout.HELLO_PADDING:
        raise PeerError(Fault.HELLO, "the padding is not zero")
    for server in servers:
        try:
            shared = sodium.shared_key(client_transient, server.secret)
            plain = sodium.open_box(sealed, box.HELLO + nonce, shared)
        except sodium.BoxError:
            continue
        if plain != layout.HELLO_PLAIN:
            raise PeerError(Fault.HELLO, "the box does not hold zeros")
        return Hello(client_transient, nonce, server, shared)
    raise PeerError(Fault.HELLO_BOX)


def welcome(hello: Hello, transient: KeyPair, cookie_key: bytes, nonce: bytes, cookie_nonce: bytes) -> bytes:
    """WELCOME's frame, the answer to HELLO.

    transient: S', s', fresh, to be forgotten afterwards; nonce, cookie_nonce: 16 random octets each.
    """
    cookie = seal_cookie(hello.client_transient, transient.secret, cookie_nonce, cookie_key)
    plain = layout.WELCOME_PLAIN.pack(transient.public, cookie)
    sealed = sodium.seal(plain, box.WELCOME + nonce, hello.shared)
    return frame(spec.COMMAND, layout.WELCOME.pack(spec.WELCOME_NAME, nonce, sealed))


def read_initiate_untrusted(body: bytes, server: KeyPair, cookie_keys: Iterable[bytes], hello_nonce: bytes) -> Initiate:
    """Open INITIATE: cookie, box and vouch, what is cheap to check before what is dear.

    body: at least 257 octets that begin with INITIATE's name.
    server: the long-term key that opened this connection's HELLO; the vouch must be for that one.
    cookie_keys: this connection's, made from the rotating keys that are still good.
    Raises PeerError: cookie, initiate, initiate_box, vouch, metadata.
    """
    _, cookie, nonce = layout.INITIATE.unpack_from(body)
    opened = next(filter(None, (open_cookie(cookie, key) for key in cookie_keys)), None)
    if opened is None:
        raise PeerError(Fault.COOKIE)
    client_transient, server_transient = opened
    little_endian = _little_endian_untrusted(hello_nonce, nonce)
    shared = sodium.shared_key(client_transient, server_transient)  # C' opened HELLO: not of low order
    try:
        plain = sodium.open_box(body[layout.INITIATE.size :], box.INITIATE + nonce, shared)
    except sodium.BoxError:
        raise PeerError(Fault.INITIATE_BOX) from None
    client, vouch = layout.INITIATE_PLAIN.unpack_from(plain)
    if not box.vouches(vouch, client, client_transient, server.public, server_transient):
        raise PeerError(Fault.VOUCH)
    said = plain[layout.INITIATE_PLAIN.size :]
    return Initiate(
        client,
        metadata.read_untrusted(said),
        int.from_bytes(nonce, "little" if little_endian else "big"),
        little_endian,
        shared,
        said,
    )


def _little_endian_untrusted(hello: bytes, initiate: bytes) -> bool:
    """In which order a client writes its nonces, as the two of its handshake show. Raises PeerError: initiate.

    RFC 26 counts big-endian, and every known client counts without gaps; libzmq 4.0 counts in its machine's order.
    OMQ for Ruby gives INITIATE the number of HELLO and goes on from there: the prefixes of the two boxes' nonces
    differ, so no nonce is used twice.
    """
    if initiate == hello:
        return False
    if int.from_bytes(initiate, "big") == int.from_bytes(hello, "big") + 1:
        return False
    if int.from_bytes(initiate, "little") == int.from_bytes(hello, "little") + 1:
        return True
    raise PeerError(Fault.INITIATE, "its nonce does not follow HELLO's")


def ready(shared: bytes, properties: Mapping[str, bytes]) -> bytes:
    """READY's frame, the end of the handshake. shared: the key of the session."""
    return _ready(shared, metadata.encode(properties))


def _ready(shared: bytes, octets: bytes) -> bytes:
    nonce = short_nonce(READY_NONCE)
    sealed = sodium.seal(octets, box.READY + nonce, shared)
    return frame(spec.COMMAND, layout.READY.pack(spec.READY_NAME, nonce) + sealed)


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
