"""Files that change while we run: listed once a second, and read again when a listing shows another one.

A listing tells what changed (inode, times, size, through links), and there is no watcher that could go deaf when a
secret is swapped by a link. What has changed is decided by ``Files``, which does no I/O of its own.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import trio
from attrs import define, field, frozen

from curveproxy.app.config.certificates import KeyFileError, reason
from curveproxy.app.observe.log import Notices

LISTING_SECONDS = 1.0
# A file that is missing is looked for once more, this much later, before it counts as gone.
AGAIN_SECONDS = 0.25
# A listing that takes longer is told: what has been taken away stays valid meanwhile.
SLOW_SECONDS = 10.0
SLOW_HINT = "no change is seen before that: look at the disk or the server that holds it"

T = TypeVar("T")


@frozen
class Stamp:
    """What a listing says of a file; another stamp, and it is read again."""

    inode: int
    modified_ns: int
    changed_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        return cls(status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


Listing = Mapping[str, Stamp]


@define
class Entry(Generic[T]):
    """A file that has been read. value: the last that it held; missing: it was not in the last listing."""

    stamp: Stamp | None
    value: T | None
    missing: bool = False


@define
class Files(Generic[T]):
    """What the listings of some files amount to.

    read: what the file of that name holds; None for nothing; raises KeyFileError.
    unreadable: the event to warn of when it does, with a detail and a hint.
    fresh: the files that were read at the last listing; failed: whether one of them could not be.
    """

    read: Callable[[str], T | None]
    warn: Callable[..., object]
    unreadable: str
    entries: dict[str, Entry[T]] = field(factory=dict)
    fresh: set[str] = field(factory=set)
    failed: bool = False

    def take(self, listing: Listing) -> bool:
        """Follow a listing; whether something may have changed.

        A file that stops parsing keeps what it held, and that goes only when its file is missing twice in a row: a
        directory is not changed in one instant.
        """
        changed, self.failed = False, False
        for name, entry in list(self.entries.items()):
            if name not in listing and entry.missing:
                del self.entries[name]
                changed = True
            entry.missing = name not in listing
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
            hint = "the key it had before stays valid" if before is not None else "the file is passed over"
            self.warn(self.unreadable, detail=str(error), hint=hint)
            self.failed = True
            return before


class Watched(ABC, Generic[T]):
    """A value that is made of files, kept up to date. files: what its listings amount to; current: the value."""

    files: Files[T]
    # What can not be listed, for the log.
    _place: str

    def __init__(self, log: Notices) -> None:
        self._log, self._failing = log, ""
        self._looking = threading.Lock()  # a thread that was left behind may still be at it

    @abstractmethod
    def _listing(self) -> Listing:
        """What is there now. Raises OSError."""

    @abstractmethod
    def _taken(self) -> None:
        """The files may hold something else: make the value anew."""

    def refresh(self) -> bool:
        """List, and read what has changed; whether something has. May run in a thread."""
        with self._looking:
            try:
                listing = self._listing()
            except OSError as error:
                self._warn_of_failure(reason(error))
                return False
            self._failing = ""
            if changed := self.files.take(listing):
                self._taken()
            return changed

    async def watch(self, taken: Callable[[], None]) -> None:
        """List now and then for ever, and tell ``taken`` when something has been read."""
        while True:
            await trio.sleep(AGAIN_SECONDS if self.files.some_are_missing else LISTING_SECONDS)
            try:
                # In a thread, which a shutdown does not wait for: a disk may have gone to sleep, a server may hang.
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._warn_when_slow)
                    changed = await trio.to_thread.run_sync(self.refresh, abandon_on_cancel=True)
                    nursery.cancel_scope.cancel()
            except Exception as error:  # no thread to be had, or a fault of ours: a listing that failed
                self._warn_of_failure(f"{type(error).__name__}: {error}")
            else:
                if changed:
                    taken()

    async def _warn_when_slow(self) -> None:
        await trio.sleep(SLOW_SECONDS)
        self._log.warning(f"{self._place} can not be listed yet", seconds=SLOW_SECONDS, hint=SLOW_HINT)

    def _warn_of_failure(self, detail: str) -> None:
        if self._failing != detail:
            self._failing = detail
            self._log.warning(f"{self._place} can not be listed", detail=detail, hint="all stays as it was")


def stamp(path: Path) -> Stamp | None:
    """A file's stamp, through links; None when it is not there. Raises OSError."""
    try:
        return Stamp.of(path.stat())
    except FileNotFoundError:
        path.parent.stat()  # a directory that is gone as a whole tells nothing of the file
        return None
