"""Certificates that the configuration names, by files that change."""

from pathlib import Path

from support.authority import authority, key_file
from support.certificates import certificate
from support.logs import Lines, log_to

from curveproxy.app.config.signed import ClientCertificate, ServerCertificate
from curveproxy.app.watch.own_certificates import ENDED, GONE, UNREADABLE_CERTIFICATE, CertificateFiles


def names(files: CertificateFiles, *keys: bytes) -> list[str]:
    return [each.name for each in files.of(keys or None)]


def test_a_file_that_is_replaced_is_read_again_and_what_is_none_is_not_taken(tmp_path: Path) -> None:
    lines, plant, key = Lines(), authority(tmp_path), key_file(tmp_path / "a.key_secret").public
    plant.sign(key, tmp_path / "a.cert")
    files = CertificateFiles([None, ClientCertificate.read(tmp_path, "a.cert")], log_to(lines))
    files.refresh()
    assert (names(files), list(files.paths)) == (["a"], [str(tmp_path / "a.cert")])
    plant.sign(key, tmp_path / "a.cert", "b")
    assert files.refresh()
    assert (names(files), names(files, key), names(files, bytes(32))) == (["b"], ["b"], [])
    for text in (b"nonsense", plant.text(key, names="x"), certificate() + b"#"):
        (tmp_path / "a.cert").write_bytes(text)
        files.refresh()
        assert (names(files), files.files.failed) == (["b"], True)
    (tmp_path / "a.cert").unlink()
    for _ in range(3):
        files.refresh()
    assert names(files) == ["b"]
    assert lines == [*[("warning", UNREADABLE_CERTIFICATE)] * 3, ("warning", GONE)]
    assert not CertificateFiles([None], log_to(lines)).paths


def test_while_a_key_is_replaced_the_certificate_of_the_former_stays(tmp_path: Path) -> None:
    lines, plant = Lines(), authority(tmp_path)
    old, new = (key_file(tmp_path / f"{name}.key_secret").public for name in ("old", "new"))
    plant.sign(old, tmp_path / "s.cert", "first", names="x")
    plant.sign(new, tmp_path / "other.cert", names="x")
    both = [ServerCertificate.read(tmp_path, name) for name in ("s.cert", "other.cert")]
    files = CertificateFiles(both, log_to(lines))
    assert names(files, old, new) == ["first", "other"]
    plant.sign(new, tmp_path / "s.cert", "second", names="x")
    files.refresh()
    assert names(files, old) == ["first"]
    assert names(files, old, new) == ["second", "other"]
    plant.sign(new, tmp_path / "s.cert", "third", names="x")
    files.refresh()
    assert (names(files, old), names(files, new)) == (["first"], ["third", "other"])
    assert lines == []


def test_one_that_has_ended_is_told_when_it_is_read(tmp_path: Path) -> None:
    lines, plant, key = Lines(), authority(tmp_path), key_file(tmp_path / "a.key_secret").public
    plant.sign(key, tmp_path / "a.cert", since=-7200, until=-3600)
    files = CertificateFiles([ClientCertificate.read(tmp_path, "a.cert")], log_to(lines))
    for _ in range(2):
        files.refresh()
    assert (names(files), lines) == (["a"], [("warning", ENDED)])
