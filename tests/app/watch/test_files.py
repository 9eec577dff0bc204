"""What listings of files amount to, and a value that follows them."""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from curveproxy.app.config.certificates import KeyFileError
from curveproxy.app.watch import files
from curveproxy.app.watch.files import Files, Listing, Stamp, Watched, stamp


def listing(**sizes: int) -> Listing:
    return {name: Stamp(1, 1, 1, size) for name, size in sizes.items()}


def of_contents(contents: Mapping[str, str], warned: list[str]) -> Files[str]:
    """Files with these contents; those that are empty can not be read."""

    def read(name: str) -> str:
        if not contents[name]:
            raise KeyFileError(f"{name} is broken")
        return contents[name]

    def warn(event: str, **facts: object) -> None:
        warned.append(f"{event}: {facts['detail']}: {facts['hint']}")

    return Files(read, warn, "can not be read")


def values(found: Files[str]) -> dict[str, str | None]:
    return {name: entry.value for name, entry in found.entries.items()}


def test_a_file_is_read_when_its_stamp_differs_and_goes_when_it_is_missing_twice() -> None:
    contents, warned = {"a": "1", "b": "2"}, list[str]()
    found = of_contents(contents, warned)
    assert found.update(listing(a=1, b=1))
    assert (values(found), found.fresh) == ({"a": "1", "b": "2"}, {"a", "b"})
    contents["a"] = "3"
    assert not found.update(listing(a=1, b=1)), "its stamp says that it is as before"
    assert found.update(listing(a=2, b=1))
    assert (values(found), found.fresh) == ({"a": "3", "b": "2"}, {"a"})
    assert not found.update(listing(a=2))
    assert (values(found)["b"], found.some_are_missing) == ("2", True)
    assert found.update(listing(a=2))
    assert (values(found), found.some_are_missing) == ({"a": "3"}, False)
    assert warned == []


def test_a_file_that_can_not_be_read_any_more_keeps_its_value() -> None:
    contents, warned = {"a": "1", "b": ""}, list[str]()
    found = of_contents(contents, warned)
    found.update(listing(a=1, b=1))
    contents["a"] = ""
    found.update(listing(a=2, b=1))
    assert (values(found), found.failed) == ({"a": "1", "b": None}, True)
    assert warned == [
        "can not be read: b is broken: the file is passed over",
        "can not be read: a is broken: the key it had before stays valid",
    ]
    found.update(listing(a=2, b=1))
    assert not found.failed


class Directory(Watched[str]):
    """The texts of the files of a directory."""

    _place = "directory"

    def __init__(self, path: Path) -> None:
        super().__init__(structlog.wrap_logger(structlog.ReturnLogger(), [self._keep]))
        self.lines: list[str] = []
        self.path, self.changes = path, 0
        self.files = Files(lambda name: (path / name).read_text(), self._log.warning, "unreadable")

    def _keep(self, _: object, level: str, event: MutableMapping[str, Any]) -> str:
        self.lines.append(f"{level}: {event['event']}: {event.get('detail')}")
        return ""

    def _listing(self) -> Listing:
        return {file.name: Stamp.of(file.stat()) for file in self.path.iterdir()}

    def _changed(self) -> None:
        self.changes += 1


async def test_changes_are_followed_without_blocking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LISTING_SECONDS", 0.01)
    found, heard = Directory(tmp_path), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.watch, heard.set)
        (tmp_path / "new").write_text("text")
        with trio.fail_after(10):
            await heard.wait()
        nursery.cancel_scope.cancel()
    assert found.files.entries["new"].value == "text"


def test_a_directory_that_can_not_be_listed_is_told_once_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_text("1")
    found = Directory(tmp_path / "there")
    assert found.refresh()
    (tmp_path / "there").rename(tmp_path / "away")
    assert not found.refresh()
    assert not found.refresh()
    assert found.lines == ["warning: directory can not be listed: no such file or directory"]
    assert found.files.entries["a"].value == "1"


def test_a_stamp_goes_through_links_and_tells_a_missing_file_from_a_missing_directory(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "other").write_text("22")
    (tmp_path / "link").symlink_to("one")
    before = stamp(tmp_path / "link")
    os.unlink(tmp_path / "link")
    assert stamp(tmp_path / "link") is None
    (tmp_path / "link").symlink_to("other")
    assert stamp(tmp_path / "link") != before
    with pytest.raises(FileNotFoundError):
        stamp(tmp_path / "no" / "file")
