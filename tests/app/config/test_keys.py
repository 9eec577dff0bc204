"""Keys that a configuration names: files, and Z85 where no secret is meant."""

from pathlib import Path

import pytest

from curveproxy.app.config.certificates import KeyFileError, write_key_pair
from curveproxy.app.config.keys import PublicKey, RemoteKey, SecretKey
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair

PAIR = KeyPair.generate()
PUBLIC = z85.encode(PAIR.public)


def test_a_remote_key_is_a_file_or_z85(tmp_path: Path) -> None:
    file = write_key_pair(tmp_path / "orders.key_secret", PAIR)
    assert RemoteKey.read(tmp_path, "orders.key") == RemoteKey(PAIR.public, file)
    assert RemoteKey.read(tmp_path, PUBLIC) == RemoteKey(PAIR.public)
    assert PublicKey.parse(PUBLIC).octets == PAIR.public


def test_a_file_that_looks_like_a_key_is_a_file(tmp_path: Path) -> None:
    file = write_key_pair(tmp_path / "orders.key_secret", PAIR).rename(tmp_path / ("x" * 40))
    assert RemoteKey.read(tmp_path, "x" * 40) == RemoteKey(PAIR.public, file)


def test_what_may_be_a_key_is_not_repeated(tmp_path: Path) -> None:
    for text in (PUBLIC[:-1], PUBLIC + "x", PUBLIC[:-1] + "~", "x" * 32):
        with pytest.raises(KeyFileError, match="as a key it is") as caught:
            RemoteKey.read(tmp_path, text)
        assert text not in str(caught.value)
    for text in (PUBLIC, PUBLIC[:-1]):
        with pytest.raises(KeyFileError, match="write it into a file and name that") as caught:
            SecretKey.read(tmp_path, text)
        assert text not in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_how_to_make_it(tmp_path: Path) -> None:
    name = "a-name-as-long-as-a-key-which-is-no-key.key"
    with pytest.raises(KeyFileError, match=f"{name} can not be read: no such file or directory"):
        RemoteKey.read(tmp_path, name)
    with pytest.raises(KeyFileError, match=f'make it by "curveproxy keygen alice --directory {tmp_path}/keys"'):
        SecretKey.read(tmp_path, "keys/alice.key_secret")
    with pytest.raises(KeyFileError, match="alice can not be read: no such file or directory"):
        SecretKey.read(tmp_path, "alice")
    for kind in (SecretKey, RemoteKey):
        with pytest.raises(KeyFileError, match="embedded null byte"):
            kind.read(tmp_path, "a\0.key_secret")


def test_a_secret_is_no_remote_key_and_a_public_key_no_secret(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "orders.key_secret", PAIR)
    with pytest.raises(KeyFileError, match="which its owner alone may have: name"):
        RemoteKey.read(tmp_path, "orders.key_secret")
    with pytest.raises(KeyFileError, match="holds a public key only: name its"):
        SecretKey.read(tmp_path, "orders.key")
