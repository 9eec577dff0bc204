"""CurveZMQ over ZMTP 3 in both roles, a second time: from RFC 23, 25, 26 and 37, with nothing of curveproxy.

C and S are the long-term keys of client and server, C' and S' their transient ones, K is the cookie's key.
A maker gives a command's body, and ``frame(body, COMMAND)`` is what goes on the wire. All that a maker writes
can be overridden, so that a near-miss is one keyword away. A reader raises Malformed, and nothing else, for
octets that the RFC forbids.
"""

import struct
from typing import NamedTuple

from attrs import field, frozen
from nacl.bindings import (
    crypto_box,
    crypto_box_afternm,
    crypto_box_beforenm,
    crypto_box_keypair,
    crypto_box_open,
    crypto_box_open_afternm,
    crypto_scalarmult_base,
    crypto_secretbox,
    crypto_secretbox_open,
    randombytes,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as LowOrderKeyError

from support.zmtp import Malformed, command, part

INNER_MORE, INNER_COMMAND = 1, 2  # flags inside a MESSAGE: RFC 26 knows MORE, libzmq added COMMAND
FROM_CLIENT, FROM_SERVER = b"CurveZMQMESSAGEC", b"CurveZMQMESSAGES"  # prefixes of a MESSAGE's nonce
NO_BOX = b"\0" * 64  # what HELLO's box holds


@frozen
class Keys:
    """A Curve25519 pair of keys, 32 octets each."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "Keys":
        """A fresh pair."""
        return cls(*crypto_box_keypair())

    @classmethod
    def of(cls, secret: bytes) -> "Keys":
        """The pair of a known secret key."""
        return cls(crypto_scalarmult_base(secret), secret)


def short(nonce: int | bytes) -> bytes:
    """A short nonce: a counter is written in 8 octets, big-endian; octets stay as they are."""
    return nonce if isinstance(nonce, bytes) else struct.pack(">Q", nonce)


def shared_key(public: bytes, secret: bytes) -> bytes:
    """The key that two pairs share, ready for many boxes."""
    return crypto_box_beforenm(public, secret)


def unbox(box: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
    """What is in a box from ``public`` to the owner of ``secret``."""
    try:
        return crypto_box_open(box, nonce, public, secret)
    except (CryptoError, LowOrderKeyError) as error:
        raise Malformed("a box does not open") from error


# HELLO, 200 octets: name[6] version[2] zeros[72] C'[32] nonce[8] Box[64 zeros](C'->S)


class Hello(NamedTuple):
    """What the server learns from HELLO."""

    client_transient: bytes
    nonce: bytes


def hello(
    client_transient: Keys,
    server: bytes,
    *,
    nonce: int | bytes = 1,
    version: bytes = b"\x01\x00",
    padding: bytes = bytes(72),
    public: bytes | None = None,
    plaintext: bytes = NO_BOX,
    box: bytes | None = None,
) -> bytes:
    """HELLO's body. server: S; public: what stands where C' belongs."""
    if box is None:
        box = crypto_box(plaintext, b"CurveZMQHELLO---" + short(nonce), server, client_transient.secret)
    sent = client_transient.public if public is None else public
    return command(b"HELLO", version + padding + sent + short(nonce) + box)


def read_hello(body: bytes, server: Keys) -> Hello:
    """The server's reading of HELLO."""
    data = part(body, b"HELLO", 200, 200)
    public, nonce = data[74:106], data[106:114]
    if data[:74] != b"\x01\x00" + bytes(72):
        raise Malformed("version or padding of HELLO")
    if unbox(data[114:], b"CurveZMQHELLO---" + nonce, public, server.secret) != NO_BOX:
        raise Malformed("HELLO's box does not hold 64 zeros")
    return Hello(public, nonce)


# WELCOME, 168 octets: name[8] nonce[16] Box[S'[32] cookie[96]](S->C')
# cookie, 96 octets: nonce[16] Box[C'[32] s'[32]](K)


class Welcome(NamedTuple):
    """What the client learns from WELCOME."""

    server_transient: bytes
    cookie: bytes


def cookie(client_transient: bytes, server_transient_secret: bytes, key: bytes, *, nonce: bytes | None = None) -> bytes:
    """The cookie that holds C' and s' under K. key: 32 octets; nonce: 16 octets."""
    nonce = randombytes(16) if nonce is None else nonce
    return nonce + crypto_secretbox(client_transient + server_transient_secret, b"COOKIE--" + nonce, key)


def read_cookie(octets: bytes, key: bytes) -> tuple[bytes, bytes]:
    """C' and s' of a cookie."""
    try:
        plain = crypto_secretbox_open(octets[16:], b"COOKIE--" + octets[:16], key)
    except CryptoError as error:
        raise Malformed("the cookie does not open") from error
    return plain[:32], plain[32:]


def welcome(
    server: Keys,
    client_transient: bytes,
    server_transient: bytes,
    cookie: bytes,
    *,
    nonce: bytes | None = None,
    plaintext: bytes | None = None,
) -> bytes:
    """WELCOME's body. server_transient: S', 32 octets; nonce: 16 octets."""
    nonce = randombytes(16) if nonce is None else nonce
    plaintext = server_transient + cookie if plaintext is None else plaintext
    return command(b"WELCOME", nonce + crypto_box(plaintext, b"WELCOME-" + nonce, client_transient, server.secret))


def read_welcome(body: bytes, server: bytes, client_transient: Keys) -> Welcome:
    """The client's reading of WELCOME."""
    data = part(body, b"WELCOME", 168, 168)
    plain = unbox(data[16:], b"WELCOME-" + data[:16], server, client_transient.secret)
    return Welcome(plain[:32], plain[32:])


# INITIATE, 257 octets and more: name[9] cookie[96] nonce[8] Box[C[32] vouch[96] metadata](C'->S')
# vouch, 96 octets: nonce[16] Box[C'[32] S[32]](C->S')


class Initiate(NamedTuple):
    """What the server learns from INITIATE."""

    nonce: bytes
    client: bytes
    vouch: bytes
    metadata: bytes


def vouch(
    client: Keys, client_transient: bytes, server: bytes, server_transient: bytes, *, nonce: bytes | None = None
) -> bytes:
    """C's word for C', to S'. Both halves, client_transient and server, are written as given. nonce: 16 octets."""
    nonce = randombytes(16) if nonce is None else nonce
    return nonce + crypto_box(client_transient + server, b"VOUCH---" + nonce, server_transient, client.secret)


def read_vouch(octets: bytes, client: bytes, server_transient: Keys) -> tuple[bytes, bytes]:
    """C' and S as the client vouched for them."""
    plain = unbox(octets[16:], b"VOUCH---" + octets[:16], client, server_transient.secret)
    return plain[:32], plain[32:]


def initiate(
    cookie: bytes,
    client: bytes,
    vouch: bytes,
    metadata: bytes,
    client_transient: Keys,
    server_transient: bytes,
    *,
    nonce: int | bytes = 2,
    plaintext: bytes | None = None,
    box: bytes | None = None,
) -> bytes:
    """INITIATE's body. client: C; metadata: raw octets; server_transient: S'."""
    plaintext = client + vouch + metadata if plaintext is None else plaintext
    if box is None:
        box = crypto_box(plaintext, b"CurveZMQINITIATE" + short(nonce), server_transient, client_transient.secret)
    return command(b"INITIATE", cookie + short(nonce) + box)


def initiate_cookie(body: bytes) -> bytes:
    """The 96 octets of INITIATE that say with which S' the rest is to be opened."""
    return part(body, b"INITIATE", 257)[:96]


def read_initiate(body: bytes, client_transient: bytes, server_transient: Keys) -> Initiate:
    """The server's reading of INITIATE, once the cookie has given it C' and s'."""
    data = part(body, b"INITIATE", 257)
    plain = unbox(data[104:], b"CurveZMQINITIATE" + data[96:104], client_transient, server_transient.secret)
    return Initiate(data[96:104], plain[:32], plain[32:128], plain[128:])


# READY, 30 octets and more: name[6] nonce[8] Box[metadata](S'->C')


def ready(metadata: bytes, server_transient: Keys, client_transient: bytes, *, nonce: int | bytes = 1) -> bytes:
    """READY's body. metadata: raw octets."""
    box = crypto_box(metadata, b"CurveZMQREADY---" + short(nonce), client_transient, server_transient.secret)
    return command(b"READY", short(nonce) + box)


def read_ready(body: bytes, server_transient: bytes, client_transient: Keys) -> tuple[bytes, bytes]:
    """Nonce and metadata of READY, raw."""
    data = part(body, b"READY", 30)
    return data[:8], unbox(data[8:], b"CurveZMQREADY---" + data[:8], server_transient, client_transient.secret)


# MESSAGE, 33 octets and more: name[8] nonce[8] Box[flags[1] data](C'<->S')


class Message(NamedTuple):
    """One opened MESSAGE: its inner flags and the application's octets."""

    nonce: bytes
    flags: int
    data: bytes


def message(shared: bytes, sender: bytes, nonce: int | bytes, data: bytes, flags: int = 0) -> bytes:
    """MESSAGE's body. shared: of C' and S'; sender: FROM_CLIENT or FROM_SERVER; flags: the inner ones."""
    box = crypto_box_afternm(bytes([flags]) + data, sender + short(nonce), shared)
    return command(b"MESSAGE", short(nonce) + box)


def read_message(body: bytes, shared: bytes, sender: bytes) -> Message:
    """The receiver's reading of MESSAGE."""
    data = part(body, b"MESSAGE", 33)
    try:
        plain = crypto_box_open_afternm(data[8:], sender + data[:8], shared)
    except CryptoError as error:
        raise Malformed("the box of a MESSAGE does not open") from error
    return Message(data[:8], plain[0], plain[1:])
