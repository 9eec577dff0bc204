"""A server's two turns in the CURVE handshake: HELLO to WELCOME, and INITIATE opened (RFC 26). Pure functions.

This is the definition. The twin in C (``_handshake.c``) does the same, octet by octet and fault by fault;
``wire/codec/select.py`` chooses. What is cheap to check comes before what is dear.

No object lives from one turn to the next: what must be remembered is in the cookie. Both together take three curve
operations with keys of the client.
"""

from collections.abc import Callable

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box, layout
from curveproxy.wire.curve.cookie import cookie_key, open_cookie, seal_cookie
from curveproxy.wire.curve.keys import KeyPair
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.zmtp.frame import frame

# client: C, who it is, which its vouch has proved; nonce: the counter of its box; little_endian: the client writes its
# counters so, as libzmq 4.0 does; shared: the key of the session; metadata: as it stood in the box.
OpenedInitiate = tuple[bytes, int, bool, bytes, bytes]

# The two functions below, in either twin.
AnswerHello = Callable[
    [bytes, tuple[KeyPair, ...], bytes | bytearray, bytes, KeyPair, bytes], tuple[KeyPair, bytes, bytes]
]
OpenInitiate = Callable[[bytes, bytes, tuple[bytes | bytearray, ...], bytes, bytes], OpenedInitiate]

# What can be wrong, in the order of the checks. The twin in C knows them by their places in FLAWS.
_HELLO_VERSION = (Fault.HELLO_VERSION, "")
_PADDING = (Fault.HELLO, "the padding is not zero")
_HELLO_BOX = (Fault.HELLO_BOX, "")
_HELLO_PLAIN = (Fault.HELLO, "the box does not hold zeros")
_COOKIE = (Fault.COOKIE, "")
_NONCE = (Fault.INITIATE, "its nonce does not follow HELLO's")
_INITIATE_BOX = (Fault.INITIATE_BOX, "")
_VOUCH = (Fault.VOUCH, "")
FLAWS = (_HELLO_VERSION, _PADDING, _HELLO_BOX, _HELLO_PLAIN, _COOKIE, _NONCE, _INITIATE_BOX, _VOUCH)


def answer_hello_untrusted(
    body: bytes,
    servers: tuple[KeyPair, ...],
    rotating: bytes | bytearray,
    binding: bytes,
    transient: KeyPair,
    chance: bytes,
) -> tuple[KeyPair, bytes, bytes]:
    """Open HELLO with whichever of our long-term keys the client was given, and answer it.

    body: 200 octets that begin with HELLO's name.
    rotating, binding: of its cookie, see ``cookie_key``.
    transient: S', s', fresh, to be forgotten when they are in the cookie; chance: 32 random octets.
    Returns the pair whose s opened it, its nonce of 8 octets, and WELCOME's frame.
    Raises PeerError: hello_version, hello, hello_box.
    """
    _, version, padding, client_transient, nonce, sealed = layout.HELLO.unpack(body)
    if version != spec.CURVE_VERSION:
        raise PeerError(*_HELLO_VERSION)
    if padding != layout.HELLO_PADDING:
        raise PeerError(*_PADDING)
    for server in servers:
        try:
            shared = sodium.shared_key(client_transient, server.secret)
            plain = sodium.open_box(sealed, box.HELLO + nonce, shared)
        except sodium.BoxError:
            continue
        if plain != layout.HELLO_PLAIN:
            raise PeerError(*_HELLO_PLAIN)
        break
    else:
        raise PeerError(*_HELLO_BOX)
    cookie_nonce, welcome_nonce = chance[: spec.LONG_NONCE], chance[spec.LONG_NONCE :]
    cookie = seal_cookie(client_transient, transient.secret, cookie_nonce, cookie_key(rotating, binding))
    sealed = sodium.seal(transient.public + cookie, box.WELCOME + welcome_nonce, shared)
    return server, nonce, frame(spec.COMMAND, layout.WELCOME.pack(spec.WELCOME_NAME, welcome_nonce, sealed))


def open_initiate_untrusted(
    body: bytes, server: bytes, rotating: tuple[bytes | bytearray, ...], binding: bytes, hello_nonce: bytes
) -> OpenedInitiate:
    """Open INITIATE: cookie, box and vouch.

    body: at least 257 octets that begin with INITIATE's name.
    server: S, whose s opened this connection's HELLO; the vouch must be for that one.
    rotating: the keys that are still good; binding: as it was at HELLO; hello_nonce: HELLO's, 8 octets.
    Raises PeerError: cookie, initiate, initiate_box, vouch.
    """
    _, cookie, nonce = layout.INITIATE.unpack_from(body)
    opened = next(filter(None, (open_cookie(cookie, cookie_key(key, binding)) for key in rotating)), None)
    if opened is None:
        raise PeerError(*_COOKIE)
    client_transient, server_transient = opened
    little_endian = _little_endian_untrusted(hello_nonce, nonce)
    try:
        shared = sodium.shared_key(client_transient, server_transient)
        plain = sodium.open_box(body[layout.INITIATE.size :], box.INITIATE + nonce, shared)
    except sodium.BoxError:
        raise PeerError(*_INITIATE_BOX) from None
    client, vouch = layout.INITIATE_PLAIN.unpack_from(plain)
    if not box.vouches(vouch, client, client_transient, server, server_transient):
        raise PeerError(*_VOUCH)
    counter = int.from_bytes(nonce, "little" if little_endian else "big")
    return client, counter, little_endian, shared, plain[layout.INITIATE_PLAIN.size :]


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
    raise PeerError(*_NONCE)
