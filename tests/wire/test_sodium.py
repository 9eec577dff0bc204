"""libsodium as we call it: what it refuses is a BoxError, what we do wrong a ValueError."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from nacl import bindings
from support import zmtp

from curveproxy.wire import sodium, spec

KEY, NONCE = bytes(range(32)), bytes(24)
SEALING = [(sodium.seal, sodium.open_box), (sodium.seal_secret, sodium.open_secret)]
Crypt = Callable[[bytes, bytes, bytes], bytes]

both = pytest.mark.parametrize(("seal", "open_it"), SEALING, ids=["box", "secret box"])


@both
@pytest.mark.parametrize("plain", [b"", b"x", bytes(1000)], ids=len)
def test_what_was_sealed_opens(seal: Crypt, open_it: Crypt, plain: bytes) -> None:
    sealed = seal(plain, NONCE, KEY)
    assert len(sealed) == len(plain) + spec.MAC_SIZE
    assert open_it(sealed, NONCE, KEY) == plain


@both
def test_what_was_changed_does_not_open(seal: Crypt, open_it: Crypt) -> None:
    sealed = seal(b"plain", NONCE, KEY)
    for box, nonce, key in [
        (zmtp.damaged(sealed), NONCE, KEY),
        (sealed[:-1], NONCE, KEY),
        (b"", NONCE, KEY),
        (sealed, bytes(23) + b"x", KEY),
        (sealed, NONCE, bytes(32)),
    ]:
        with pytest.raises(sodium.BoxError):
            open_it(box, nonce, key)


@pytest.mark.parametrize(("nonce", "key"), [(bytes(23), KEY), (NONCE, bytes(31)), (NONCE, b"")])
def test_sizes_are_checked_before_libsodium_reads(nonce: bytes, key: bytes) -> None:
    with pytest.raises(ValueError, match="24 octets"):
        sodium.seal(b"plain", nonce, key)
    with pytest.raises(ValueError, match="24 octets"):
        sodium.open_box(bytes(32), nonce, key)


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31)])
def test_a_key_of_low_order_shares_nothing(public: bytes) -> None:
    with pytest.raises(sodium.BoxError):
        sodium.shared_key(public, KEY)


def test_two_sides_share_a_key() -> None:
    (mine, my_secret), (theirs, their_secret) = sodium.keypair(), sodium.keypair()
    assert sodium.shared_key(mine, their_secret) == sodium.shared_key(theirs, my_secret)
    assert sodium.public_of(my_secret) == mine


def test_equal_compares_all_octets() -> None:
    assert sodium.equal(b"same", b"same")
    assert not sodium.equal(b"same", b"sane")
    assert not sodium.equal(b"same", b"sam")


def test_aegis_is_that_of_libsodium() -> None:
    assert sodium.has_aegis()
    plain, header, nonce = b"plain", b"\x80\4", bytes(32)
    box, back = bytearray(len(plain) + spec.AEGIS_TAG_SIZE), bytearray(len(plain))
    at, key = sodium.address(box), sodium.address(KEY)
    sodium.seal_aegis_at(at, plain, len(plain), header, nonce, key)
    assert box == bindings.crypto_aead_aegis256_encrypt(plain, header, nonce, KEY)
    assert sodium.open_aegis_at(sodium.address(back), at, len(box), header, nonce, key) == 0
    assert back == plain
    box[0] ^= 1
    assert sodium.open_aegis_at(sodium.address(back), at, len(box), header, nonce, key) != 0
    assert back != plain


def test_blake2b_is_that_of_everybody() -> None:
    made = bytearray(64)
    sodium.blake2b_at(sodium.address(made), 64, b"step", sodium.address(KEY), b"curveproxy-rec-1")
    assert made == hashlib.blake2b(b"step", key=KEY, digest_size=64, person=b"curveproxy-rec-1").digest()


def test_a_function_has_an_address_where_it_is_there() -> None:
    assert sodium.address_of(sodium.AEGIS_SEAL) not in (0, sodium.address_of(sodium.AEGIS_OPEN))
    assert sodium.address_of("crypto_core_hsalsa20") not in (
        0,
        sodium.address_of(sodium.AEGIS_SEAL),
    )  # nameless in PyNaCl
    assert sodium.address_of("crypto_of_tomorrow") == 0


def test_the_processor_is_asked_for_aes() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    wanted = all(f" {flag}" in flags for flag in ("aes", "avx", "pclmulqdq"))
    if "GenuineIntel" in flags or "AuthenticAMD" in flags:
        assert sodium.has_fast_aes() == wanted


def test_a_signature_is_of_its_octets_and_its_key() -> None:
    """The first vector of RFC 8032, and what is not it."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public, secret = sodium.signing_pair(seed)
    assert public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = sodium.sign(b"", secret)
    assert signature.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8")
    assert sodium.verifies(signature, b"", public)
    assert not sodium.verifies(signature, b"x", public)
    assert not sodium.verifies(signature, b"", sodium.signing_pair(bytes(32))[0])
    assert not sodium.verifies(bytes(64), b"", bytes(32))
    for wrong in ((signature[:-1], public), (signature, public[:-1])):
        with pytest.raises(ValueError):
            sodium.verifies(wrong[0], b"", wrong[1])
