"""The allow-list: a directory of certificates, listed once a second, and the keys of the configuration beside it.

A listing tells what changed (name, inode, time, size, through links), and there is no watcher that could go deaf when
a secret is swapped by a link. What has changed is decided by ``Directory``, which does no I/O of its own.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import trio
from attrs import define, field, frozen

from curveproxy.app.keys import PUBLIC_SUFFIX, SECRET_SUFFIX, KeyFileError, read_certificate
from curveproxy.app.logs import Log
from curveproxy.policy.clients import ClientList

LISTING_SECONDS = 1.0


@frozen
class Stamp:
    """What a listing says of a file; another stamp, and it is read again."""

    inode: int
    changed_ns: int
    size: int


Listing = Mapping[str, Stamp]


@define
class Entry:
    """A file that has been read. key: the last that it held; missing: it was not in the last listing."""

    stamp: Stamp
    key: bytes | None
    missing: bool = False


@define
class Directory:
    """What the listings of one directory amount to.

    read: the public key in the file of that name; raises KeyFileError.
    warn: takes an event and its facts.
    """

    read: Callable[[str], bytes]
    warn: Callable[..., None]
    entries: dict[str, Entry] = field(factory=dict)

    def take(self, listing: Listing) -> bool:
        """Follow a listing; whether the list of keys may have changed.

        A file that stops parsing keeps its key, and a key goes only when its file is missing twice in a row: a
        directory is not changed in one instant.
        """
        changed = False
        for name, entry in list(self.entries.items()):
            if name not in listing and entry.missing:
                del self.entries[name]
                changed = True
            entry.missing = name not in listing
        for name, stamp in listing.items():
            known = self.entries.get(name)
            if known is None or known.stamp != stamp:
                self.entries[name] = Entry(stamp, self._key(name, known.key if known else None))
                changed = True
        return changed

    def _key(self, name: str, before: bytes | None) -> bytes | None:
        try:
            return self.read(name)
        except KeyFileError as error:
            hint = "the key it had before stays valid" if before else "the file is passed over"
            self.warn("client key can not be read", detail=str(error), hint=hint)
            return before

    def names(self) -> dict[bytes, str | None]:
        """Key -> name. Of two files with one key the first by name counts."""
        found: dict[bytes, str | None] = {}
        for name in sorted(self.entries, reverse=True):
            if (key := self.entries[name].key) is not None:
                found[key] = name.removesuffix(PUBLIC_SUFFIX)
        return found


class Clients:
    """The list of one service's clients, kept up to date."""

    def __init__(self, path: Path | None, keys: list[bytes], allow_any: bool, log: Log) -> None:
        self._path, self._keys, self._allow_any, self._log = path, keys, allow_any, log
        self._directory = Directory(self._read, log.warning)
        self._failing = False
        self._warned: set[str] = set()

    def load(self) -> ClientList:
        """The list as it is now; for the start, before there is anything to block."""
        self._refresh()
        listed = self._list()
        if not listed.names and not listed.allow_any:
            self._log.warning("nobody can connect", hint="put the clients' .key files into the clients directory")
        return listed

    async def watch(self, changed: Callable[[ClientList], None]) -> None:
        """Tell ``changed`` of each new list."""
        while self._path is not None:
            await trio.sleep(LISTING_SECONDS)
            # In a thread: the directory may be on a disk that has gone to sleep.
            if await trio.to_thread.run_sync(self._refresh):
                listed = self._list()
                self._log.info("client list changed", clients=len(listed.names))
                changed(listed)

    def _list(self) -> ClientList:
        return ClientList({**dict.fromkeys(self._keys), **self._directory.names()}, self._allow_any)

    def _refresh(self) -> bool:
        if self._path is None:
            return False
        try:
            listing = self._listing(self._path)
        except OSError as error:
            if not self._failing:
                self._failing = True
                detail = (error.strerror or "").lower()
                self._log.warning("clients directory can not be listed", detail=detail, hint="the list stays as it was")
            return False
        self._failing = False
        return self._directory.take(listing)

    def _listing(self, path: Path) -> Listing:
        found = {}
        for file in path.iterdir():
            if file.name.startswith(".") or file.suffix not in (PUBLIC_SUFFIX, SECRET_SUFFIX):
                continue
            if file.suffix == SECRET_SUFFIX:
                self._warn_of_secret(file)
                continue
            try:
                status = file.stat()
            except FileNotFoundError:
                continue  # it went while we looked
            found[file.name] = Stamp(status.st_ino, max(status.st_mtime_ns, status.st_ctime_ns), status.st_size)
        return found

    def _warn_of_secret(self, file: Path) -> None:
        if file.name not in self._warned:
            self._warned.add(file.name)
            self._log.warning(
                "a secret key lies among the clients", file=str(file), hint="only .key files belong there"
            )

    def _read(self, name: str) -> bytes:
        assert self._path is not None
        return read_certificate(self._path / name).public
