"""libsodium through PyNaCl. The only file that touches ``nacl._sodium``, which is private to PyNaCl.

The zero-copy calls take addresses, so that a frame is opened from one buffer straight into another.
"""

import ctypes
from typing import Any

# Importing nacl.bindings calls sodium_init(), without which libsodium runs at half its speed.
from nacl.bindings import (
    crypto_box_beforenm,
    crypto_box_keypair,
    crypto_scalarmult_base,
    crypto_secretbox_easy,
    crypto_secretbox_open_easy,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
    randombytes,
    sodium_memcmp,
)

from nacl import _sodium  # isort: skip
from nacl._sodium import ffi, lib  # isort: skip
from nacl.exceptions import CryptoError  # the base of all errors that PyNaCl raises

from curveproxy.wire import spec

# seal_at(to, octets, size, nonce, key), open_at(to, box, size, nonce, key): addresses in, 0 out when it worked
seal_at = lib.crypto_box_easy_afternm
open_at = lib.crypto_box_open_easy_afternm
address = ffi.from_buffer

# AEGIS-256 of libsodium 1.0.19 and later.
AEGIS_SEAL, AEGIS_OPEN = "crypto_aead_aegis256_encrypt", "crypto_aead_aegis256_decrypt"
BLAKE2B = "crypto_generichash_blake2b_salt_personal"
_NO_SALT = bytes(16)
_library = ctypes.CDLL(_sodium.__file__)
SIGNATURE_SIZE = 64  # of Ed25519


def address_of(function: str) -> int:
    """Where one of libsodium's functions is, for code that calls it from C; 0 where there is none to be had.

    PyNaCl names some of them. Its extension has, or loads, all of them, and may hide those.
    """
    if hasattr(lib, function):
        return int(ffi.cast("uintptr_t", ffi.addressof(lib, function)))
    found = getattr(_library, function, None)
    return ctypes.cast(found, ctypes.c_void_p).value or 0 if found is not None else 0


def has_aegis() -> bool:
    """Whether this libsodium has AEGIS-256."""
    return hasattr(lib, AEGIS_SEAL) and hasattr(lib, AEGIS_OPEN)


def has_fast_aes() -> bool:
    """Whether this processor has AES, and all else with which libsodium's AEGIS is fast and takes the same time always.

    libsodium asks it for AES-256-GCM, which needs more of the processor than AEGIS does.
    """
    return bool(lib.crypto_aead_aes256gcm_is_available())


def seal_aegis_at(to: Any, octets: Any, size: int, header: Any, nonce: bytes, key: Any) -> None:
    """AEGIS-256 with a header of two octets as its associated data. to, octets, header, key: addresses."""
    lib.crypto_aead_aegis256_encrypt(to, ffi.NULL, octets, size, header, spec.RECORD_HEADER, ffi.NULL, nonce, key)


def open_aegis_at(to: Any, box: Any, size: int, header: Any, nonce: bytes, key: Any) -> int:
    """The reverse; 0 when it worked. What has been written is nothing before this returns."""
    failed: int = lib.crypto_aead_aegis256_decrypt(
        to, ffi.NULL, ffi.NULL, box, size, header, spec.RECORD_HEADER, nonce, key
    )
    return failed


def blake2b_at(to: Any, size: int, octets: bytes, key: Any, person: bytes) -> None:
    """BLAKE2b with a key of 32 octets. to, key: addresses."""
    lib.crypto_generichash_blake2b_salt_personal(to, size, octets, len(octets), key, spec.KEY_SIZE, _NO_SALT, person)


class BoxError(Exception):
    """A box does not open, or a public key is one that nobody can have."""


def keypair() -> tuple[bytes, bytes]:
    """A fresh pair: public, secret (32 octets each)."""
    public, secret = crypto_box_keypair()
    return public, secret


def public_of(secret: bytes) -> bytes:
    """The public key of a secret one."""
    public: bytes = crypto_scalarmult_base(secret)
    return public


def shared_key(public: bytes, secret: bytes) -> bytes:
    """The key that two sides share (32 octets), for any number of boxes between them.

    Raises BoxError for a public key of low order, such as 32 zero octets.
    """
    try:
        key: bytes = crypto_box_beforenm(public, secret)
    except CryptoError as error:
        raise BoxError("a public key of low order") from error
    return key


# PyNaCl's own seal and open copy twice and repeat checks, ten times a handshake. libsodium itself checks nothing.


def seal(plain: bytes, nonce: bytes, key: bytes) -> bytes:
    """A box under a shared key: 16 octets longer than what it holds."""
    _check(nonce, key)
    box = bytearray(len(plain) + spec.MAC_SIZE)
    seal_at(address(box), plain, len(plain), nonce, key)
    return bytes(box)


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """What a box holds. Raises BoxError when it does not open."""
    _check(nonce, key)
    plain = bytearray(max(0, len(box) - spec.MAC_SIZE))
    if len(box) < spec.MAC_SIZE or open_at(address(plain), box, len(box), nonce, key):
        raise BoxError("a box that does not open")
    return bytes(plain)


def _check(nonce: bytes, key: bytes) -> None:
    if len(nonce) != spec.NONCE_SIZE or len(key) != spec.KEY_SIZE:
        raise ValueError("a nonce has 24 octets, a key 32")


def seal_secret(plain: bytes, nonce: bytes, key: bytes) -> bytes:
    """A secret box, under a key that its maker alone has."""
    box: bytes = crypto_secretbox_easy(plain, nonce, key)
    return box


def open_secret(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """What a secret box holds. Raises BoxError when it does not open."""
    try:
        plain: bytes = crypto_secretbox_open_easy(box, nonce, key)
    except CryptoError as error:
        raise BoxError("a secret box that does not open") from error
    return plain


def signing_pair(seed: bytes) -> tuple[bytes, bytes]:
    """The pair of Ed25519 for a seed of 32 octets: public (32 octets), secret (64)."""
    public, secret = crypto_sign_seed_keypair(seed)
    return public, secret


def sign(octets: bytes, secret: bytes) -> bytes:
    """The signature of some octets, 64 octets."""
    signed: bytes = crypto_sign(octets, secret)
    return signed[:SIGNATURE_SIZE]


def verifies(signature: bytes, octets: bytes, public: bytes) -> bool:
    """Whether a signature is of these octets and by this key."""
    if len(signature) != SIGNATURE_SIZE or len(public) != spec.KEY_SIZE:
        raise ValueError("a signature has 64 octets, a key 32")
    try:
        crypto_sign_open(signature + octets, public)
    except CryptoError:
        return False
    return True


def equal(left: bytes, right: bytes) -> bool:
    """Whether two strings of octets are the same, in a time that does not tell where they differ."""
    same: bool = sodium_memcmp(left, right)
    return same


__all__ = [
    "AEGIS_OPEN",
    "AEGIS_SEAL",
    "BLAKE2B",
    "SIGNATURE_SIZE",
    "BoxError",
    "address",
    "address_of",
    "blake2b_at",
    "equal",
    "has_aegis",
    "has_fast_aes",
    "keypair",
    "open_aegis_at",
    "open_at",
    "open_box",
    "open_secret",
    "public_of",
    "randombytes",
    "seal",
    "seal_aegis_at",
    "seal_at",
    "seal_secret",
    "shared_key",
    "sign",
    "signing_pair",
    "verifies",
]
