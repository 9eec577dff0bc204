"""The cookie: what a server must remember between WELCOME and INITIATE, kept by the client (RFC 26).

# nonce[16] secretbox[80]: C'[32] s'[32] under a key that nobody else knows

One key for all connections would let a recorded INITIATE be played again on another: the same session key, the
same nonces, twice. So each connection has its own, made from the rotating key and a number that the system gives
to the socket alone; it costs no memory.
"""

import hashlib

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve.box import COOKIE


def cookie_key(rotating: bytes | bytearray, binding: bytes) -> bytes:
    """The key of one connection's cookie.

    rotating: 32 octets of this minute.
    binding: what no other connection shares, while the rotating key lives.
    """
    return hashlib.blake2b(binding, key=rotating, digest_size=spec.KEY_SIZE).digest()


def seal_cookie(client_transient: bytes, server_transient: bytes, nonce: bytes, key: bytes) -> bytes:
    """A cookie, 96 octets, of C' and s'. nonce: 16 random octets."""
    return nonce + sodium.seal_secret(client_transient + server_transient, COOKIE + nonce, key)


def open_cookie(cookie: bytes, key: bytes) -> tuple[bytes, bytes] | None:
    """C' and s' out of a cookie; None when it is not one of this key."""
    nonce, box = cookie[: spec.LONG_NONCE], cookie[spec.LONG_NONCE :]
    try:
        plain = sodium.open_secret(box, COOKIE + nonce, key)
    except sodium.BoxError:
        return None
    return plain[: spec.KEY_SIZE], plain[spec.KEY_SIZE :]
