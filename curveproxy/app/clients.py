"""The allow-list: a directory of certificates, listed once a second, and the keys of the configuration beside it.

A listing tells what changed (name, inode, times, size, through links), and there is no watcher that could go deaf
when a secret is swapped by a link. What has changed is decided by ``Directory``, which does no I/O of its own.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import trio
from attrs import define, field, frozen

from curveproxy.app.config import Service
from curveproxy.app.keys import PUBLIC_SUFFIX, SECRET_SUFFIX, KeyFileError, read_certificate, reason
from curveproxy.app.logs import Log
from curveproxy.policy.clients import ClientList

LISTING_SECONDS = 1.0

# The one warning that ``check`` calls an error: the client whose key it is can not connect.
UNREADABLE = "client key can not be read"


@frozen
class Stamp:
    """What a listing says of a file; another stamp, and it is read again."""

    inode: int
    modified_ns: int
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
        fresh = set()
        for name, stamp in listing.items():
            known = self.entries.get(name)
            if known is None or known.stamp != stamp:
                self.entries[name] = Entry(stamp, self._key(name, known.key if known else None))
                fresh.add(name)
        self._warn_of_twins(fresh)
        return changed or bool(fresh)

    def _key(self, name: str, before: bytes | None) -> bytes | None:
        try:
            return self.read(name)
        except KeyFileError as error:
            hint = "the key it had before stays valid" if before else "the file is passed over"
            self.warn(UNREADABLE, detail=str(error), hint=hint)
            return before

    def _warn_of_twins(self, fresh: set[str]) -> None:
        """One key under two names. Of a file that was renamed the old name is missing: that is no twin."""
        first: dict[bytes, str] = {}
        for name in sorted(self.entries) if fresh else ():
            entry = self.entries[name]
            if entry.key is None or entry.missing:
                continue
            if (other := first.setdefault(entry.key, name)) != name and fresh & {name, other}:
                self.warn("two files hold one client's key", files=[other, name], hint=f"the name of {other} is used")

    def names(self) -> dict[bytes, str | None]:
        """Key -> name. Of two files with one key the first by name counts."""
        found: dict[bytes, str | None] = {}
        for name in sorted(self.entries, reverse=True):
            if (key := self.entries[name].key) is not None:
                # It is told to the service, in UTF-8; a file name may be anything.
                found[key] = os.fsencode(name.removesuffix(PUBLIC_SUFFIX)).decode(errors="replace")
        return found


class Clients:
    """The list of one service's clients, kept up to date."""

    def __init__(self, path: Path | None, keys: list[bytes], allow_any: bool, log: Log) -> None:
        self._path, self._keys, self._allow_any, self._log = path, keys, allow_any, log
        self._directory = Directory(self._read, log.warning)
        self._list = self._whole()
        self._failing = ""
        self._warned: set[str] = set()

    @classmethod
    def of(cls, service: Service, log: Log) -> Self:
        """The clients of a service of the configuration."""
        clients = service.clients
        return cls(clients.directory, [key.octets for key in clients.keys], clients.allow == "any", log)

    def load(self) -> ClientList:
        """The list as it is now; for the start, before there is anything to block."""
        self._refresh()
        self._warn_if_empty()
        return self._list

    async def watch(self, changed: Callable[[ClientList], None]) -> None:
        """Tell ``changed`` of each new list."""
        while self._path is not None:
            await trio.sleep(LISTING_SECONDS)
            before = self._list
            try:
                # In a thread, which a shutdown does not wait for: a disk may have gone to sleep, a server may hang.
                await trio.to_thread.run_sync(self._refresh, abandon_on_cancel=True)
            except Exception as error:  # no thread to be had, or a fault of ours: a listing that failed
                self._warn_of_failure(f"{type(error).__name__}: {error}")
            if self._list != before:
                changed(self._list)
                self._warn_if_empty()
                self._log.info("client list changed", clients=len(self._list.names))

    def _refresh(self) -> None:
        if self._path is None:
            return
        try:
            listing = self._listing(self._path)
        except OSError as error:
            self._warn_of_failure(reason(error))
            return
        self._failing = ""
        if self._directory.take(listing):
            self._list = self._whole()

    def _whole(self) -> ClientList:
        return ClientList({**dict.fromkeys(self._keys), **self._directory.names()}, self._allow_any)

    def _listing(self, path: Path) -> Listing:
        found = {}
        for file in path.iterdir():
            if file.name.startswith("."):
                continue
            if file.suffix == SECRET_SUFFIX:
                self._warn_once(file, "a secret key lies among the clients", "only .key files belong there")
            if file.suffix != PUBLIC_SUFFIX:
                continue
            try:
                status = file.stat()
            except FileNotFoundError:
                continue  # it went while we looked
            except OSError:  # one that can not be followed spoils only itself
                status = file.lstat()
            if stat.S_ISFIFO(status.st_mode):  # to open it would block
                self._warn_once(file, "a pipe lies among the clients", "the file is passed over")
                continue
            found[file.name] = Stamp(status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        return found

    def _read(self, name: str) -> bytes:
        assert self._path is not None
        return read_certificate(self._path / name).public

    # --- warnings, each told once

    def _warn_once(self, file: Path, event: str, hint: str) -> None:
        if file.name not in self._warned:
            self._warned.add(file.name)
            self._log.warning(event, file=str(file), hint=hint)

    def _warn_of_failure(self, detail: str) -> None:
        if self._failing != detail:
            self._failing = detail
            self._log.warning("clients directory can not be listed", detail=detail, hint="the list stays as it was")

    def _warn_if_empty(self) -> None:
        if not self._list.names and not self._allow_any:
            self._log.warning("nobody can connect", hint="put the clients' .key files into the clients directory")
