"""The cookie: what a server must remember between WELCOME and INITIATE, kept by the client (RFC 26).

With one key for all connections, a recorded INITIATE could be played again on another connection: the same session
key, and the same nonces twice. So each connection has a key of its own, made from the rotating key and a number that
the system gives to this socket alone. That costs no memory.
"""

import hashlib

from curveproxy.wire import sodium, spec
from curveproxy.wire.curve import box, layout


def cookie_key(rotating: bytes | bytearray, binding: bytes) -> bytes:
    """The key of one connection's cookie, 32 octets.

    rotating: 32 octets of this minute.
    binding: octets that no other connection shares while the rotating key lives.
    """
    return hashlib.blake2b(binding, key=rotating, digest_size=spec.KEY_SIZE).digest()


def seal_cookie(client_transient: bytes, server_transient: bytes, nonce: bytes, key: bytes) -> bytes:
    """A cookie, 96 octets, of C' and s'. nonce: 16 random octets."""
    plain = layout.COOKIE_PLAIN.pack(client_transient, server_transient)
    return layout.COOKIE.pack(nonce, sodium.seal_secret(plain, box.COOKIE + nonce, key))


def open_cookie(cookie: bytes, key: bytes) -> tuple[bytes, bytes] | None:
    """C' and s' out of a cookie of 96 octets; None when it was not made with this key."""
    nonce, sealed = layout.COOKIE.unpack(cookie)
    try:
        plain = sodium.open_secret(sealed, box.COOKIE + nonce, key)
    except sodium.BoxError:
        return None
    client_transient, server_transient = layout.COOKIE_PLAIN.unpack(plain)
    return client_transient, server_transient
