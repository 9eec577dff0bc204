"""The server's side of the CURVE handshake, as pure functions (RFC 26; sizes and frames of RFC 25).

There is no object that lives through a handshake: what must be remembered is in the cookie. Three
curve operations with a stranger's key and one with none of it make a whole handshake.
"""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box
from curveproxy.wire.curve.cookie import open_cookie, seal_cookie
from curveproxy.wire.curve.keys import KeyPair, short_nonce
from curveproxy.wire.errors import Fault, PeerError
from curveproxy.wire.spec import Octets
from curveproxy.wire.zmtp import metadata
from curveproxy.wire.zmtp.frame import Due, command, read_command_untrusted
from curveproxy.wire.zmtp.greeting import greeting

GREETING = greeting(spec.CURVE, as_server=True)
HELLO = Due(b"HELLO", spec.HELLO_SIZE, spec.HELLO_SIZE, Fault.HELLO, Fault.HELLO)


@frozen
class Hello:
    """What HELLO said. client_transient: C'; shared: the key of C' and s, for WELCOME; server: whose s opened it."""

    client_transient: bytes
    nonce: bytes
    server: KeyPair
    shared: bytes = field(repr=False)


@frozen
class Initiate:
    """What INITIATE said, its cookie and vouch found good. client: C, who it is; shared: the key of the session."""

    client: bytes
    properties: dict[str, bytes]
    nonce: int
    little_endian: bool
    shared: bytes = field(repr=False)


def hello_mark_untrusted(seen: Octets) -> tuple[int, int, int]:
    """Judge as much of HELLO's frame as has come: (mark, begin, end), see ``read_command_untrusted``."""
    return read_command_untrusted(seen, HELLO)


def initiate_mark_untrusted(seen: Octets, most: int) -> tuple[int, int, int]:
    """Judge as much of INITIATE's frame as has come: (mark, begin, end), see ``read_command_untrusted``.

    most: the largest body in octets that we take.
    """
    due = Due(b"INITIATE", spec.INITIATE_OVERHEAD, most, Fault.INITIATE, Fault.INITIATE_TOO_LARGE)
    return read_command_untrusted(seen, due)


def read_hello_untrusted(body: bytes, servers: Iterable[KeyPair]) -> Hello:
    """Open HELLO with whichever of our long-term keys the client was given.

    # HELLO, 200 octets: name[6] version[2] zeros[72] C'[32] nonce[8] Box [64 zeros](C'->S)[80]

    body: 200 octets that begin with HELLO's name.
    Raises PeerError: hello_version, hello, hello_box.
    """
    if body[6:8] != spec.CURVE_VERSION:
        raise PeerError(Fault.HELLO_VERSION)
    if any(body[8:80]):
        raise PeerError(Fault.HELLO, "the padding is not zero")
    client_transient, nonce = body[80:112], body[112:120]
    for server in servers:
        try:
            shared = sodium.shared_key(client_transient, server.secret)
            plain = sodium.open_box(body[120:], box.HELLO + nonce, shared)
        except sodium.BoxError:
            continue
        if plain != box.HELLO_PLAIN:
            raise PeerError(Fault.HELLO, "the box does not hold zeros")
        return Hello(client_transient, nonce, server, shared)
    raise PeerError(Fault.HELLO_BOX)


def welcome(hello: Hello, transient: KeyPair, cookie_key: bytes, nonce: bytes, cookie_nonce: bytes) -> bytes:
    """WELCOME's frame, the answer to HELLO.

    # WELCOME, 168 octets: name[8] nonce[16] Box [S' + cookie](S->C')[144]

    transient: S', s', fresh, to be forgotten now; nonce, cookie_nonce: 16 random octets each.
    """
    cookie = seal_cookie(hello.client_transient, transient.secret, cookie_nonce, cookie_key)
    sealed = sodium.seal(transient.public + cookie, box.WELCOME + nonce, hello.shared)
    return command(b"WELCOME", nonce + sealed)


def read_initiate_untrusted(body: bytes, server: KeyPair, cookie_keys: Iterable[bytes], hello_nonce: bytes) -> Initiate:
    """Open INITIATE: cookie, box and vouch, the cheap before the dear.

    # INITIATE, 257 + n octets: name[9] cookie[96] nonce[8] Box [C + vouch[96] + metadata[n]](C'->S')

    server: the long-term key that opened this connection's HELLO; the vouch must be for that one.
    cookie_keys: this connection's, made from the rotating keys that are still good.
    Raises PeerError: cookie, initiate, initiate_box, vouch, metadata.
    """
    opened = next(filter(None, (open_cookie(body[9:105], key) for key in cookie_keys)), None)
    if opened is None:
        raise PeerError(Fault.COOKIE)
    client_transient, server_transient = opened
    nonce = body[105:113]
    little_endian = _little_endian_untrusted(hello_nonce, nonce)
    shared = sodium.shared_key(client_transient, server_transient)  # C' opened HELLO: not of low order
    try:
        plain = sodium.open_box(body[113:], box.INITIATE + nonce, shared)
    except sodium.BoxError:
        raise PeerError(Fault.INITIATE_BOX) from None
    client, vouch = plain[:32], plain[32:128]
    if not box.vouches(vouch, client, client_transient, server.public, server_transient):
        raise PeerError(Fault.VOUCH)
    return Initiate(
        client,
        metadata.read_untrusted(plain[128:]),
        int.from_bytes(nonce, "little" if little_endian else "big"),
        little_endian,
        shared,
    )


def _little_endian_untrusted(hello: bytes, initiate: bytes) -> bool:
    """In which order a client writes its nonces, seen from the two of its handshake.

    RFC 26 counts big-endian, and every known client counts without gaps; libzmq 4.0 counts in its machine's order.
    OMQ for Ruby numbers INITIATE like HELLO and goes on from there: the prefixes of the two boxes' nonces differ, so
    no nonce is used twice.
    """
    if initiate == hello:
        return False
    if int.from_bytes(initiate, "big") == int.from_bytes(hello, "big") + 1:
        return False
    if int.from_bytes(initiate, "little") == int.from_bytes(hello, "little") + 1:
        return True
    raise PeerError(Fault.INITIATE, "its nonce does not follow HELLO's")


def ready(shared: bytes, properties: Mapping[str, bytes], nonce: int = 1) -> bytes:
    """READY's frame, the end of the handshake.

    # READY, 30 + n octets: name[6] nonce[8] Box [metadata[n]](S'->C')
    """
    octets = short_nonce(nonce)
    return command(b"READY", octets + sodium.seal(metadata.encode(properties), box.READY + octets, shared))


def error(reason: str) -> bytes:
    """ERROR's frame: instead of READY, in clear. libzmq understands the status codes of ZAP (RFC 27), as "400"."""
    text = reason.encode("ascii")
    return command(b"ERROR", bytes([len(text)]) + text)
