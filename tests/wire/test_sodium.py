"""libsodium as we call it: what it refuses is a BoxError, what we do wrong a ValueError."""

from collections.abc import Callable

import pytest

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
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), NONCE, KEY),
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
