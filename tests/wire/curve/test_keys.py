"""Key pairs and counters."""

import pytest

from curveproxy.wire import sodium
from curveproxy.wire.curve.keys import KeyPair, short_nonce


def test_a_fresh_pair_belongs_together_and_is_like_no_other() -> None:
    first, second = KeyPair.generate(), KeyPair.generate()
    assert first != second
    assert KeyPair.from_secret(first.secret) == first
    assert sodium.shared_key(first.public, second.secret) == sodium.shared_key(second.public, first.secret)


def test_no_secret_shows_in_a_repr() -> None:
    pair = KeyPair(b"public", b"secret")
    assert "secret" not in repr(pair)


@pytest.mark.parametrize(("counter", "octets"), [(1, bytes(7) + b"\x01"), (1 << 32, bytes(3) + b"\x01" + bytes(4))])
def test_a_counter_is_eight_octets_the_highest_first(counter: int, octets: bytes) -> None:
    assert short_nonce(counter) == octets
