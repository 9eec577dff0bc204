"""Files about certificates, as a configuration names them."""

from pathlib import Path

import pytest
from support.certificates import SERVER, certificate, signed, text_of

from curveproxy.app.config.authorities import AuthorityFile, write_authority
from curveproxy.app.config.certificates import KeyFileError, write_key_pair
from curveproxy.app.config.signed import (
    AuthorityKey,
    ClientCertificate,
    RevokedFile,
    ServerCertificate,
    read_signed,
)
from curveproxy.wire.curve.keys import KeyPair


def test_what_is_signed_is_read_and_what_is_not_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "x.cert").write_bytes(certificate())
    assert read_signed(path).serial == "9f86d081884c7d65"
    path.write_bytes(certificate().replace(b"9f86", b"9f87"))
    with pytest.raises(KeyFileError, match="signature: the signature is not of that text"):
        read_signed(path)
    path.write_bytes(b"whisper\n")
    with pytest.raises(KeyFileError, match="malformed: line 1 is none of a certificate's") as caught:
        read_signed(path)
    assert "whisper" not in str(caught.value)
    with pytest.raises(KeyFileError, match="can not be read: no such file"):
        read_signed(tmp_path / "missing")


def test_an_authority_is_called_as_its_file_is(tmp_path: Path) -> None:
    authority = AuthorityFile.generate("plant")
    public, secret = write_authority(tmp_path, authority)
    public.rename(tmp_path / "plant-1.authority")
    found = AuthorityKey.read(tmp_path, "plant-1.authority")
    assert (found.octets, found.name, found.file) == (authority.key, "plant-1", tmp_path / "plant-1.authority")
    with pytest.raises(KeyFileError, match="holds the secret of an authority"):
        AuthorityKey.read(tmp_path, secret.name)
    with pytest.raises(KeyFileError, match="can not be read: no such file"):
        AuthorityKey.read(tmp_path, "plant.authority")


def test_a_revocation_list_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r'no such file or directory: make an empty one by "touch .*revoked"'):
        RevokedFile.read(tmp_path, "revoked")
    (tmp_path / "revoked").touch()
    assert RevokedFile.read(tmp_path, "revoked").revocations.count == 0
    (tmp_path / "revoked").write_text("name desk-7\nwhisper\n")
    with pytest.raises(KeyFileError, match="line 2: it begins with none of serial, key, name, before") as caught:
        RevokedFile.read(tmp_path, "revoked")
    assert "whisper" not in str(caught.value)


def test_our_own_certificates_are_of_their_kind_and_signed(tmp_path: Path) -> None:
    (tmp_path / "server.cert").write_bytes(text_of(signed(SERVER)))
    (tmp_path / "client.cert").write_bytes(b"#   a comment\n" + certificate())
    server, client = (
        ServerCertificate.read(tmp_path, "server.cert"),
        ClientCertificate.read(tmp_path, "client.cert"),
    )
    assert (server.certificate.name, client.certificate.name) == ("orders", "desk-7")
    assert client.certificate.text == certificate(), "the comment is left out"
    with pytest.raises(KeyFileError, match=r"server\.cert is a server's certificate, and a client's is wanted"):
        ClientCertificate.read(tmp_path, "server.cert")
    with pytest.raises(KeyFileError, match=r"client\.cert is a client's certificate, and a server's is wanted"):
        ServerCertificate.read(tmp_path, "client.cert")
    (tmp_path / "client.cert").write_bytes(certificate(name="desk-8").replace(b"desk-8", b"desk-9"))
    with pytest.raises(KeyFileError, match="signature: "):
        ClientCertificate.read(tmp_path, "client.cert")
    write_key_pair(tmp_path / "alice.key_secret", KeyPair.generate())
    with pytest.raises(KeyFileError, match=r"alice\.key is a key that no authority has signed"):
        ClientCertificate.read(tmp_path, "alice.key")
    (tmp_path / "note").write_text("a note")
    with pytest.raises(KeyFileError, match=r"not a line of a certificate|holds no public key"):
        ClientCertificate.read(tmp_path, "note")
