"""Files of authorities, and revocation lists: what is written is read, mistakes get a sentence, secrets stay one."""

import os
import stat
from pathlib import Path

import pytest
from support.certificates import CLIENT, OTHER_SEED, SEED, authority_key, certificate
from zmq.utils import z85

from curveproxy.app.config.authorities import (
    AuthorityFile,
    add_revocation,
    read_authority,
    read_authority_secret,
    read_revocations,
    write_authority,
)
from curveproxy.app.config.certificates import KeyFileError
from curveproxy.wire.certificate import read_untrusted

PLANT = AuthorityFile("plant-1", authority_key(), SEED)
SEED_TEXT = z85.encode(SEED).decode()
CERTIFICATE = read_untrusted(certificate())


def test_both_files_are_written_and_read(tmp_path: Path) -> None:
    public_file, secret_file = write_authority(tmp_path / "new", PLANT)
    assert (public_file.name, secret_file.name) == ("plant-1.authority", "plant-1.authority_secret")
    assert read_authority(public_file) == AuthorityFile("plant-1", authority_key())
    assert read_authority_secret(secret_file) == (PLANT, SEED)
    assert SEED_TEXT in secret_file.read_text()
    assert SEED_TEXT not in public_file.read_text()


def test_a_new_one_has_a_seed_of_its_own() -> None:
    one, other = AuthorityFile.generate("a"), AuthorityFile.generate("a")
    assert one.seed is not None
    assert one.seed != other.seed
    assert one.key == authority_key(one.seed)
    assert repr(one.seed) not in repr(one)


def test_the_secret_is_private_from_the_first_instant_and_nothing_is_overwritten(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        public_file, secret_file = write_authority(tmp_path, PLANT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    texts = [path.read_text() for path in (public_file, secret_file)]
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_authority(tmp_path, AuthorityFile.generate("plant-1"))
    assert [path.read_text() for path in (public_file, secret_file)] == texts
    secret_file.unlink()
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_authority(tmp_path, AuthorityFile.generate("plant-1"))
    assert not secret_file.exists()


def test_half_of_one_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        if path.suffix == ".authority":
            raise OSError(28, "No space left on device")
        return whole(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(KeyFileError, match="no space left"):
        write_authority(tmp_path, PLANT)
    assert list(tmp_path.iterdir()) == []


def test_the_one_is_not_taken_for_the_other(tmp_path: Path) -> None:
    public_file, secret_file = write_authority(tmp_path, PLANT)
    with pytest.raises(KeyFileError, match=r"nobody else may have: name its \.authority"):
        read_authority(secret_file)
    with pytest.raises(KeyFileError, match=r"a public key only: name its \.authority_secret"):
        read_authority_secret(public_file)


KEY_LINE = f'    authority-key = "{z85.encode(authority_key()).decode()}"\n'
SEED_LINE = f'    authority-seed = "{SEED_TEXT}"\n'
GOOD = f'authority\n    name = "plant-1"\n{KEY_LINE}'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a file of an authority"),
        (f"metadata\n{GOOD}", "not a file of an authority"),
        ("x" * 5000, "not a file of an authority"),
        (f"# {SEED_TEXT}\n{SEED_LINE}", "not a file of an authority"),
        (GOOD + SEED_TEXT, "line 4: not a line"),
        (GOOD + '    colour = "red"\n', "line 4: not a line"),
        (GOOD + KEY_LINE, "line 4: not a line"),
        (GOOD + "curve\n", "line 4: not a line"),
        (f'authority\n    name = "plant-1"\n{SEED_LINE}', "no authority-key"),
        (f"authority\n{KEY_LINE}{SEED_LINE}", "no name"),
        (f'authority\n    name = "a b"\n{KEY_LINE}', "its name is not"),
        (GOOD.replace('= "', '= "x', 2), "its authority-key is of 41 letters"),
        (GOOD + '    authority-seed = "short"\n', "its authority-seed is of 5 letters"),
        (GOOD + f'    authority-seed = "{z85.encode(OTHER_SEED).decode()}"\n', "do not belong together"),
    ],
)
def test_a_file_that_is_none_gets_a_sentence_without_its_content(tmp_path: Path, text: str, complaint: str) -> None:
    (path := tmp_path / "plant-1.authority").write_text(text)
    for read in (read_authority, read_authority_secret):
        with pytest.raises(KeyFileError, match=complaint) as caught:
            read(path)
        assert SEED_TEXT not in str(caught.value)
        assert z85.encode(OTHER_SEED).decode() not in str(caught.value)


def test_files_that_can_not_be_read_get_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        for read in (read_authority, read_authority_secret, read_revocations):
            with pytest.raises(KeyFileError, match=f"^{path} can not be read: (no such file|is a dir)"):
                read(path)


def test_comments_and_other_blanks_are_passed_over(tmp_path: Path) -> None:
    (path := tmp_path / "a").write_text(f"\ufeff# plant\r\n\n{GOOD}".replace("    ", "\t"))
    assert read_authority(path).key == authority_key()


# --- revocation lists


def test_a_list_is_read_and_a_broken_one_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    path.write_text("# stolen\nname desk-7\n")
    assert read_revocations(path).names == {"desk-7"}
    path.write_text("name desk-7\nname secret/word\n")
    with pytest.raises(KeyFileError, match=f"^{path}, line 2: a name has") as caught:
        read_revocations(path)
    assert "secret/word" not in str(caught.value)
    path.write_bytes(b"#" * ((1 << 24) + 1))
    with pytest.raises(KeyFileError, match="more than 16 MiB"):
        read_revocations(path)


@pytest.mark.parametrize(("before", "after"), [("", ""), ("name a\n", "name a\n"), ("name a", "name a\n")])
def test_a_serial_is_put_behind_what_is_there_and_once(tmp_path: Path, before: str, after: str) -> None:
    (path := tmp_path / "revoked").write_text(before)
    assert add_revocation(path, CERTIFICATE)
    assert not add_revocation(path, CERTIFICATE)
    assert path.read_text() == f"{after}serial {CLIENT['serial']}\n"


def test_a_list_is_made_if_missing(tmp_path: Path) -> None:
    assert add_revocation(tmp_path / "new" / "revoked", CERTIFICATE)
    assert read_revocations(tmp_path / "new" / "revoked").revokes(CERTIFICATE)


def test_what_is_no_list_is_left_as_it_was(tmp_path: Path) -> None:
    (path := tmp_path / "c.toml").write_text("[[service]]\n")
    with pytest.raises(KeyFileError, match="line 1"):
        add_revocation(path, CERTIFICATE)
    assert path.read_text() == "[[service]]\n"
    (link := tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="no such file"):
        add_revocation(link, CERTIFICATE)
