"""Files that change while the process runs: listed once a second, and read again when a listing differs.

A listing shows changes by inode, times and size, through links: notification by the kernel can miss a secret that is
replaced by way of a link. ``Files`` decides what has changed, and does no I/O of its own.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import trio
from attrs import define, evolve, field, frozen

from curveproxy.app.config.certificates import KeyFileError, reason
from curveproxy.app.observe.log import Notices

LISTING_SECONDS = 1.0
# A file that is missing counts as gone when a second listing, this much later, does not have it either.
AGAIN_SECONDS = 0.25
# A listing that takes longer is logged: keys that were removed stay valid meanwhile.
SLOW_SECONDS = 10.0
SLOW_HINT = "no change is seen before that: look at the disk or the server that holds it"

T = TypeVar("T")


@frozen
class Stamp:
    """A file in a listing. When its stamp differs, it is read again."""

    inode: int
    modified_ns: int
    changed_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        return cls(status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


Listing = Mapping[str, Stamp]


@frozen
class Entry(Generic[T]):
    """A file that has been read. value: the last that could be read; missing: it was not in the last listing."""

    stamp: Stamp | None
    value: T | None
    missing: bool = False


@define
class Files(Generic[T]):
    """The contents of some files, by their listings.

    read: the value of the file of that name, None for none; raises KeyFileError.
    unreadable: the event to warn of when it does, with a detail and a hint; are_keys: for that hint.
    fresh: the files that were read after the last listing; failed: whether one of them could not be read.
    """

    read: Callable[[str], T | None]
    warn: Callable[..., object]
    unreadable: str
    entries: dict[str, Entry[T]] = field(factory=dict)
    fresh: set[str] = field(factory=set)
    failed: bool = False
    are_keys: bool = True

    def update(self, listing: Listing) -> bool:
        """Follow a listing. Returns whether something may have changed.

        The value of a file that can not be parsed any more stays. It goes when the file is missing in two listings in a
        row, for a directory is not changed at one moment.
        """
        changed, self.failed = False, False
        for name, entry in list(self.entries.items()):
            if name not in listing and entry.missing:
                del self.entries[name]
                changed = True
            elif entry.missing != (name not in listing):
                self.entries[name] = evolve(entry, missing=not entry.missing)
        self.fresh = set()
        for name, stamp in listing.items():
            known = self.entries.get(name)
            if known is None or known.stamp != stamp:
                self.entries[name] = Entry(stamp, self._read(name, known.value if known else None))
                self.fresh.add(name)
        return changed or bool(self.fresh)

    @property
    def some_are_missing(self) -> bool:
        return any(entry.missing for entry in self.entries.values())

    def _read(self, name: str, before: T | None) -> T | None:
        try:
            return self.read(name)
        except KeyFileError as error:
            stays = "the key it had before stays valid" if self.are_keys else "what it held before stays in force"
            hint = stays if before is not None else "the file is passed over"
            self.warn(self.unreadable, detail=str(error), hint=hint)
            self.failed = True
            return before


class Watched(ABC, Generic[T]):
    """A value that is made of files, and kept up to date with them."""

    files: Files[T]
    # What is listed, for the log.
    _place: str

    def __init__(self, log: Notices) -> None:
        self._log, self._failing = log, ""
        self._listing_lock = threading.Lock()  # an abandoned thread may still be listing

    @abstractmethod
    def _listing(self) -> Listing:
        """What is there now. Raises OSError."""

    @abstractmethod
    def _changed(self) -> None:
        """Make the value again, for the files may have changed."""

    def refresh(self) -> bool:
        """List the files, and read those that differ. Returns whether something may have changed.

        May run in a thread.
        """
        with self._listing_lock:
            try:
                listing = self._listing()
            except OSError as error:
                self._warn_of_failure(reason(error))
                return False
            self._failing = ""
            if changed := self.files.update(listing):
                self._changed()
            return changed

    async def watch(self, changed: Callable[[], None]) -> None:
        """Refresh for ever, and call ``changed`` when something may have changed."""
        while True:
            await trio.sleep(AGAIN_SECONDS if self.files.some_are_missing else LISTING_SECONDS)
            try:
                # In a thread that a shutdown does not wait for: a disk may be asleep, or a file server hang.
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._warn_when_slow)
                    has_changed = await trio.to_thread.run_sync(self.refresh, abandon_on_cancel=True)
                    nursery.cancel_scope.cancel()
            except Exception as error:  # the boundary: there is no thread, or it is an error of ours
                self._warn_of_failure(f"{type(error).__name__}: {error}")
            else:
                if has_changed:
                    changed()

    async def _warn_when_slow(self) -> None:
        await trio.sleep(SLOW_SECONDS)
        self._log.warning(f"{self._place} can not be listed yet", seconds=SLOW_SECONDS, hint=SLOW_HINT)

    def _warn_of_failure(self, detail: str) -> None:
        if self._failing != detail:
            self._failing = detail
            self._log.warning(f"{self._place} can not be listed", detail=detail, hint="all stays as it was")


def listing_of(paths: Mapping[str, Path]) -> Listing:
    """Of these files, by the same names, those that are there. Raises OSError."""
    stamps = {name: stamp(path) for name, path in paths.items()}
    return {name: found for name, found in stamps.items() if found is not None}


def stamp(path: Path) -> Stamp | None:
    """A file's stamp, through links; None when it is not there. Raises OSError."""
    try:
        return Stamp.of(path.stat())
    except FileNotFoundError:
        path.parent.stat()  # where the whole directory is gone, the file may still exist
        return None
