"""Whose certificates are believed, by files that change."""

from pathlib import Path
from typing import Any

from support.authority import SignsHere, authority, key_file
from support.logs import Lines, log_to

from curveproxy.app.config.authorities import add_revocation
from curveproxy.app.config.schema import AuthorityConfig
from curveproxy.app.config.signed import AuthorityKey, RevokedFile, read_signed
from curveproxy.app.watch.trust import FILES_MAX, FLAWED, GONE, UNREADABLE_TRUST, TrustFiles, some, warn_of_flawed
from curveproxy.policy.access.authorities import Authority, Trust
from curveproxy.policy.access.revocations import Revocations


def listed(plant: SignsHere, **given: Any) -> AuthorityConfig:
    return AuthorityConfig(AuthorityKey.read(plant.directory, plant.file.name), **given)


def revoked(path: Path, text: str = "") -> RevokedFile:
    path.write_text(text)
    return RevokedFile.read(path.parent, path.name)


def test_they_are_as_the_configuration_says(tmp_path: Path) -> None:
    lines, one, other = Lines(), authority(tmp_path), authority(tmp_path, "plant-2")
    tables = [listed(one, names=["desk-*", "till"], max_days=7), listed(other)]
    files = TrustFiles(tables, revoked(tmp_path / "revoked", "name desk-8\n"), 5, log_to(lines))
    for _ in range(2):
        assert files.trust == Trust(
            (Authority("plant-1", one.key, ("desk-*", "till"), 7), Authority("plant-2", other.key)),
            Revocations(names=frozenset({"desk-8"})),
            5,
        )
        files.refresh()
    assert not files.refresh()
    assert TrustFiles([], None, 60, log_to(lines)).trust == Trust()
    assert lines == []


def test_a_line_that_is_added_counts(tmp_path: Path) -> None:
    lines, plant = Lines(), authority(tmp_path)
    files = TrustFiles([listed(plant)], revoked(tmp_path / "revoked"), 60, log_to(lines))
    certificate = read_signed(plant.sign(key_file(tmp_path / "desk-7.key_secret").public, tmp_path / "desk-7.cert"))
    files.refresh()
    assert not files.trust.revocations.revokes(certificate)
    add_revocation(tmp_path / "revoked", certificate)
    assert files.refresh()
    assert files.trust.revocations.revokes(certificate)
    assert lines == []


def test_what_can_not_be_read_any_more_or_is_gone_stays(tmp_path: Path) -> None:
    lines, plant = Lines(), authority(tmp_path)
    files = TrustFiles([listed(plant)], revoked(tmp_path / "revoked", "name desk-8\n"), 60, log_to(lines))
    files.refresh()
    before = files.trust
    (tmp_path / "revoked").write_text("name desk-8\nname desk-9\nnonsense\n")
    plant.file.write_text("nonsense")
    files.refresh()
    assert (files.trust, files.files.failed) == (before, True)
    assert lines == [("warning", UNREADABLE_TRUST)] * 2
    (tmp_path / "revoked").unlink()
    plant.file.unlink()
    for _ in range(3):
        files.refresh()
    assert files.trust == before
    assert lines[2:] == [("warning", GONE)]
    (tmp_path / "revoked").write_text("name desk-9\n")
    files.refresh()
    assert files.trust.revocations.names == {"desk-9"}
    assert files.trust.authorities == before.authorities


def test_an_authority_whose_file_is_replaced_is_another(tmp_path: Path) -> None:
    lines, one, other = Lines(), authority(tmp_path), authority(tmp_path, "plant-2")
    later = authority(tmp_path, "later")
    files = TrustFiles([listed(one), listed(other)], None, 60, log_to(lines))
    later.file.rename(one.file)
    assert files.refresh()
    assert [(each.file, each.key) for each in files.trust.authorities] == [
        ("plant-1", later.key),
        ("plant-2", other.key),
    ]
    one.file.write_text(other.file.read_text())
    files.refresh()
    assert [each.key for each in files.trust.authorities] == [later.key, other.key], "two of one key are one too many"
    assert lines == [("warning", UNREADABLE_TRUST)]


def test_certificates_that_are_not_believed_are_told_by_their_flaw(tmp_path: Path) -> None:
    lines, plant, stranger = Lines(), authority(tmp_path), authority(tmp_path, "stranger")
    key = key_file(tmp_path / "desk-7.key_secret").public
    for number in range(FILES_MAX + 1):
        stranger.sign(key, tmp_path / f"strange-{number:02}.cert")
    plant.sign(key, tmp_path / "good.cert")
    plant.sign(key, tmp_path / "ended.cert", since=-7200, until=-3600)
    plant.sign(key, tmp_path / "long.cert", until=8 * 86400)
    certificates = {path.name: read_signed(path) for path in tmp_path.glob("*.cert")}
    trust = TrustFiles([listed(plant, max_days=7)], None, 60, log_to(lines)).trust
    told: dict[str, Any] = {}

    class Log:
        def warning(self, event: str, **facts: Any) -> None:
            assert event == FLAWED
            told[facts["flaw"]] = facts["files"]

        info = warning

    warn_of_flawed(certificates, trust, Log())
    assert (told["expired"], told["bounds"], set(told)) == (
        ["ended.cert"],
        ["long.cert"],
        {"authority", "expired", "bounds"},
    )
    assert told["authority"] == [*(f"strange-{number:02}.cert" for number in range(FILES_MAX)), "and 1 more"]
    assert some(["a"]) == ["a"]
