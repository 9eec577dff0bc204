"""Key files: ours are read by libzmq's tools, theirs by us, and mistakes get a sentence."""

import os
import stat
from pathlib import Path

import pytest
import zmq.auth
from zmq.utils import z85 as their_z85

from curveproxy.app.config.certificates import (
    KeyFileError,
    others_may_read,
    read_certificate,
    read_key_pair,
    write_key_pair,
)
from curveproxy.wire import z85
from curveproxy.wire.curve.keys import KeyPair


def test_ours_are_read_by_pyzmq(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    public_file = write_key_pair(tmp_path / "server.key_secret", pair)
    public, secret = zmq.auth.load_certificate(str(tmp_path / "server.key_secret"))
    assert (their_z85.decode(public), their_z85.decode(secret or b"")) == (pair.public, pair.secret)
    assert zmq.auth.load_certificate(str(public_file)) == (public, None)
    assert zmq.auth.load_certificates(str(tmp_path)) == {public: True}


def test_theirs_are_read_by_us(tmp_path: Path) -> None:
    public_file, secret_file = zmq.auth.create_certificates(tmp_path, "alice", {"name": "Alice", "email": "a@b"})
    certificate = read_certificate(Path(secret_file))
    assert certificate.secret is not None
    assert KeyPair.from_secret(certificate.secret).public == certificate.public
    assert certificate.metadata == {"name": "Alice", "email": "a@b"}
    assert read_certificate(Path(public_file)).secret is None
    assert read_key_pair(Path(secret_file)).public == certificate.public


def test_secrets_are_private_from_the_first_instant_and_never_overwritten(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_key_pair(tmp_path / "a.key_secret", KeyPair.generate())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.key_secret").stat().st_mode) == 0o600
    assert not others_may_read(tmp_path / "a.key_secret")
    text = (tmp_path / "a.key_secret").read_text()
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key_pair(tmp_path / "a.key_secret", KeyPair.generate())
    assert (tmp_path / "a.key_secret").read_text() == text
    (tmp_path / "a.key_secret").chmod(0o644)
    assert others_may_read(tmp_path / "a.key_secret")


@pytest.mark.parametrize(("mode", "ours", "theirs"), [(0o600, 0, 0), (0o440, 1, 0), (0o644, 1, 1), (0o604, 1, 1)])
def test_a_group_that_needs_a_secret_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, ours: bool, theirs: bool
) -> None:
    """As of a Kubernetes secret, which is root's, and its pod's by ``fsGroup``."""
    (secret := tmp_path / "server.key_secret").write_text("")
    secret.chmod(mode)
    assert others_may_read(secret) == ours
    monkeypatch.setattr(os, "geteuid", lambda: secret.stat().st_uid + 1)
    assert others_may_read(secret) == theirs


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.key_secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        write_key_pair(tmp_path / "a.key_secret", KeyPair.generate())
    assert not (tmp_path / "elsewhere").exists()


def test_half_of_a_pair_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.open

    def full(path: Path, flags: int, mode: int) -> int:
        if path.suffix == ".key":
            raise OSError(28, "No space left on device")
        return whole(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(KeyFileError, match=r"a\.key can not be written: no space left on device"):
        write_key_pair(tmp_path / "a.key_secret", KeyPair.generate())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("secret", "public"),
    [("a.key_secret", "a.key"), ("a", "a.key"), ("a.b", "a.b.key"), ("a.b.key_secret", "a.b.key")],
)
def test_the_public_half_has_the_name_of_the_secret_one(tmp_path: Path, secret: str, public: str) -> None:
    assert write_key_pair(tmp_path / secret, GOOD) == tmp_path / public
    assert read_key_pair(tmp_path / secret) == GOOD
    assert read_certificate(tmp_path / public).secret is None


@pytest.mark.parametrize("name", ["a.key", "a\0b", "x" * 300, "a.key/b"])
def test_a_name_that_will_not_do_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.key").write_text("")
    with pytest.raises(KeyFileError):
        write_key_pair(tmp_path / name, GOOD)
    with pytest.raises(KeyFileError):
        read_key_pair(tmp_path / name)


GOOD = KeyPair.generate()
OTHER = KeyPair.generate()
PUBLIC, SECRET = z85.encode(GOOD.public), z85.encode(GOOD.secret)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no public key"),
        ("curve\n", "holds no public key"),
        (f'curve\n    public-key = "{PUBLIC[:-1]}"\n', "of 39 letters"),
        (f'curve\n    public-key = "{PUBLIC[:-1]}~"\n', "not a Z85 key"),
        (f'curve\n    public-key = "{PUBLIC[:-5]}"\n', "of 35 letters"),
        (
            f'curve\n    public-key = "{PUBLIC}"\n    secret-key = "{z85.encode(OTHER.secret)}"\n',
            "do not belong together",
        ),
        (f'curve\n    public-key = "{SECRET}"\n    secret-key = "{PUBLIC}"\n', "halves are swapped"),
        (f'curve\n    secret-key = "{SECRET}"\n', "do not belong together"),
        ("\x00\xff\xfe", "not a certificate"),
        ("x" * 70_000, "not a certificate"),
    ],
    ids=["empty", "no keys", "length", "letters", "short", "halves", "swapped", "no public half", "binary", "large"],
)
def test_what_is_wrong_gets_a_sentence_without_the_secret(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.key_secret"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(KeyFileError, match=complaint) as caught:
        read_key_pair(path)
    assert SECRET not in str(caught.value)
    assert z85.encode(OTHER.secret) not in str(caught.value)


def test_a_public_key_where_a_secret_belongs_and_a_missing_file(tmp_path: Path) -> None:
    public_file = write_key_pair(tmp_path / "a.key_secret", GOOD)
    with pytest.raises(KeyFileError, match=r"name its \.key_secret"):
        read_key_pair(public_file)
    with pytest.raises(KeyFileError, match="no such file"):
        read_key_pair(tmp_path / "missing")
    with pytest.raises(KeyFileError, match="a directory"):
        read_key_pair(tmp_path)


def test_quotes_comments_and_deeper_levels(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_text(
        f"# a\nmetadata\n    name = 'O''Neill'\n    plain = word # why\ncurve   # here\n\tpublic-key = '{PUBLIC}'\n"
    )
    certificate = read_certificate(path)
    assert certificate.public == GOOD.public
    assert certificate.metadata["plain"] == "word"
