"""The allow-list: what a listing changes, and what it must not."""

from pathlib import Path
from typing import Any

from curveproxy.app.clients import Clients, Directory, Stamp
from curveproxy.app.keys import KeyFileError, write_key_pair
from curveproxy.wire.box import KeyPair

A, B = b"a" * 32, b"b" * 32


class Log:
    """Remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, event: str, **_: Any) -> None:
        self.lines.append(event)

    info = warning


def directory(files: dict[str, bytes | None], log: Log) -> Directory:
    def read(name: str) -> bytes:
        key = files[name]
        if key is None:
            raise KeyFileError(f"{name} is broken")
        return key

    return Directory(read, log.warning)


def listing(**sizes: int) -> dict[str, Stamp]:
    return {f"{name}.key": Stamp(1, 1, size) for name, size in sizes.items()}


def test_a_key_comes_at_once_and_goes_after_two_listings() -> None:
    files: dict[str, bytes | None] = {"alice.key": A}
    found = directory(files, Log())
    assert found.take(listing(alice=1))
    assert found.names() == {A: "alice"}
    assert not found.take(listing(alice=1))
    assert not found.take({})
    assert found.names() == {A: "alice"}
    assert found.take({})
    assert found.names() == {}


def test_a_file_that_is_away_for_one_listing_keeps_its_key() -> None:
    found = directory({"alice.key": A}, Log())
    for seen in (listing(alice=1), {}, listing(alice=1), {}, listing(alice=1)):
        found.take(seen)
        assert found.names() == {A: "alice"}


def test_a_file_that_stops_parsing_keeps_its_key_and_is_told() -> None:
    files: dict[str, bytes | None] = {"alice.key": A, "bob.key": None}
    log = Log()
    found = directory(files, log)
    found.take(listing(alice=1, bob=1))
    assert found.names() == {A: "alice"}
    files["alice.key"], files["bob.key"] = None, B
    found.take(listing(alice=2, bob=2))
    assert found.names() == {A: "alice", B: "bob"}
    assert len(log.lines) == 2
    found.take(listing(alice=2, bob=2))
    assert len(log.lines) == 2


def test_of_two_files_with_one_key_the_first_counts() -> None:
    found = directory({"bob.key": A, "alice.key": A}, Log())
    found.take(listing(bob=1, alice=1))
    assert found.names() == {A: "alice"}


def test_a_real_directory(tmp_path: Path) -> None:
    log, pair, inline = Log(), KeyPair.generate(), KeyPair.generate()
    clients = Clients(tmp_path, [inline.public], False, log)
    assert clients.load().names == {inline.public: None}
    write_key_pair(tmp_path / "carol.key_secret", pair)
    (tmp_path / "notes.txt").write_text("not a key")
    (tmp_path / ".hidden.key").write_text("not one either")
    (tmp_path / "broken.key").write_text("not a certificate")
    assert clients.load().names == {inline.public: None, pair.public: "carol"}
    assert log.lines == ["a secret key lies among the clients", "client key can not be read"]
    target = tmp_path / "..data"
    target.mkdir()
    (tmp_path / "carol.key").rename(target / "carol.key")
    (tmp_path / "carol.key").symlink_to(target / "carol.key")  # as a kubelet lays secrets
    assert clients.load().names[pair.public] == "carol"


def test_a_directory_that_can_not_be_listed_changes_nothing(tmp_path: Path) -> None:
    log, pair = Log(), KeyPair.generate()
    place = tmp_path / "clients"
    write_key_pair(place / "carol.key_secret", pair)
    (place / "carol.key_secret").unlink()
    clients = Clients(place, [], False, log)
    assert pair.public in clients.load().names
    place.rename(tmp_path / "gone")
    for _ in range(3):
        assert pair.public in clients.load().names
    assert log.lines == ["clients directory can not be listed"]


def test_an_empty_list_is_a_list_and_is_told(tmp_path: Path) -> None:
    log = Log()
    assert not Clients(tmp_path, [], False, log).load().allows(A)
    assert log.lines == ["nobody can connect"]
    assert Clients(None, [], True, log).load().allows(A)
