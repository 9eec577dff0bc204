"""The keys of an egress: who it is, and who its remotes are. They are read again when their files change."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from curveproxy.app.config.certificates import read_key_pair, read_public_key, warn_of_open_secret
from curveproxy.app.config.keys import RemoteKey, SecretKey
from curveproxy.app.observe.log import Log
from curveproxy.app.watch.files import Entry, Files, Listing, Watched, listing_of
from curveproxy.wire.curve.keys import KeyPair

GONE, GONE_HINT = "key files of an egress are gone", "the keys that it had stay in force: put the files back"


@frozen
class KeyFile:
    """What a key file holds: a pair, or the public half alone."""

    public: bytes
    pair: KeyPair | None = None


class EgressKeys(Watched[KeyFile]):
    """The key files of one egress.

    own: who it is; server_keys: those of its remotes, 32 octets each, in their order, at least one. Of files that are
    gone a server key that others stand beside is given up; the last one stays, as its own key does.
    """

    _place = "egress keys"
    _log: Log

    def __init__(self, own: SecretKey, server_keys: Sequence[RemoteKey], log: Log) -> None:
        super().__init__(log)
        self._configured, self._own_file = server_keys, own.file
        self.own, self.server_keys = own.pair, tuple(key.octets for key in server_keys)
        entries = {str(key.file): Entry(None, KeyFile(key.octets)) for key in server_keys if key.file is not None}
        if own.file is not None:
            entries[str(own.file)] = Entry(None, KeyFile(own.pair.public, own.pair))
            warn_of_open_secret(own.file, log.warning)
        self._paths = {name: Path(name) for name in entries}
        self.files = Files(self._read, log.warning, "key of an egress can not be read", entries)

    @property
    def public(self) -> bytes:
        """Our own public key."""
        return self.own.public

    def _changed(self) -> None:
        present = {name: entry.value for name, entry in self.files.entries.items() if entry.value is not None}
        if gone := sorted(self._paths.keys() - present.keys()):
            self._log.warning(GONE, files=gone, hint=GONE_HINT)
        self.own = self._own(present)
        found = [key.octets if key.file is None else present.get(str(key.file)) for key in self._configured]
        keys = [key.public if isinstance(key, KeyFile) else key for key in found if key is not None]
        self.server_keys = tuple(dict.fromkeys(keys)) or self.server_keys

    def _own(self, present: Mapping[str, KeyFile]) -> KeyPair:
        found = present.get(str(self._own_file))
        return found.pair if found is not None and found.pair is not None else self.own

    def _listing(self) -> Listing:
        return listing_of(self._paths)

    def _read(self, name: str) -> KeyFile:
        path = self._paths[name]
        if path == self._own_file:
            pair = read_key_pair(path)
            return KeyFile(pair.public, pair)
        return KeyFile(read_public_key(path))
